"""A DuckDB database in which a script was run: the peers' own DuckDB makes it, as its files are of its version."""

from __future__ import annotations

import sys
from pathlib import Path

import duckdb

with duckdb.connect(sys.argv[1]) as connection:
    connection.execute(Path(sys.argv[2]).read_text(encoding="utf-8"))
