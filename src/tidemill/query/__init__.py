"""A table's select over a window that the reader chooses."""
