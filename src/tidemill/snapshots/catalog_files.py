"""The catalog of a snapshot: its storage format, and the files that it names."""

from __future__ import annotations

import re
import struct
from typing import TYPE_CHECKING, Final

import duckdb

if TYPE_CHECKING:
    from pathlib import Path

    from duckdb import DuckDBPyConnection

STORAGE: Final = "v1.0.0"
"""The storage format of a catalog: the oldest that DuckDB writes, so that every DuckDB since 1.0 can open it."""
_STORAGE_NUMBER: Final = 64
"""The number of that format in the header of a file."""
_HEADER: Final = struct.Struct("<8x4sQ")
"""The begin of a database file: a checksum, the letters DUCK, the number of the storage format."""
_FILE: Final = re.compile(r"([^/']+\.parquet)'")
_PATH: Final = re.compile(r"'((?:[^']|'')+\.parquet)'")


def is_outdated(catalog: Path) -> bool:
    """Return whether a catalog has another storage format, which older versions of tidemill wrote."""
    with catalog.open("rb") as file:
        return _HEADER.unpack(file.read(_HEADER.size)) != (b"DUCK", _STORAGE_NUMBER)


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
