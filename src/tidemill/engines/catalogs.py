"""Which files the catalog of a snapshot names."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

import duckdb

if TYPE_CHECKING:
    from pathlib import Path

    from duckdb import DuckDBPyConnection

_FILE: Final = re.compile(r"([^/']+\.parquet)'")
_PATH: Final = re.compile(r"'((?:[^']|'')+\.parquet)'")


def lake_files(catalog: Path) -> set[str]:
    """The names of the lake's files that a catalog's views read, without their folders.

    A name is given to one file only; the folder depends on the path by which somebody called the home.
    """
    with duckdb.connect(str(catalog), read_only=True) as database:
        views = database.execute("SELECT sql FROM duckdb_views() WHERE schema_name = 'lake'").fetchall()
    return {name for (text,) in views for name in _FILE.findall(text)}


def files(connection: DuckDBPyConnection) -> list[str]:
    """The paths of all files that the views of the database in use read."""
    views = connection.execute(
        "SELECT sql FROM duckdb_views() WHERE NOT internal AND database_name = current_database()"
    ).fetchall()
    return sorted({path.replace("''", "'") for (text,) in views for path in _PATH.findall(text)})
