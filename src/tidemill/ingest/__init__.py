"""From sources to the lake."""
