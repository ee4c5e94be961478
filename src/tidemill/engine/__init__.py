"""The SQL engine: connections, macros, quoting, sandbox and export."""
