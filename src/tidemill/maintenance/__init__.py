"""Compaction, retention, verification and upgrades of a home."""
