"""From the lake to tables."""
