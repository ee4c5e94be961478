"""Delta tables of records: commits, journal and state."""
