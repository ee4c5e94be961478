"""DuckDB, bare: the statements of a file in one session."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

with duckdb.connect() as connection:
    connection.execute("SET enable_progress_bar = false; SET TimeZone = 'UTC'")
    connection.execute(Path(sys.argv[1]).read_text(encoding="utf-8"))
