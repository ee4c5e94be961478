"""Checks of tables before they are published."""
