"""Files made into staged records."""
