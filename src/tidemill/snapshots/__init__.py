"""Published snapshots: manifest, pointer and catalog."""
