"""SQL text that parses, validates and deduplicates records."""
