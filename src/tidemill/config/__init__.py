"""Settings of a home, their defaults and limits."""
