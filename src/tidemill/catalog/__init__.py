"""The tables that can be built: headers, columns and dependencies."""
