"""What DuckDB says of a statement that failed, as one line that says where."""

from __future__ import annotations

import re

import duckdb

_PLACE = re.compile(r"\n+LINE (\d+):", re.MULTILINE)


def located(file: str, error: duckdb.Error) -> str:
    """The file, the line where the engine names one, and its message: `sql/a.sql, line 3: Binder Error: …`.

    A statement must begin on the first line of the file's text, however it is wrapped.
    """
    if isinstance(error, duckdb.OutOfMemoryException):
        return f"{file}: {unfit(error)}"
    text, *rest = _PLACE.split(str(error))
    where = f"{file}, line {rest[0]}" if rest else file
    return f"{where}: {' '.join(text.split())}"


def unfit(error: duckdb.OutOfMemoryException) -> str:
    """What to do where memory does not suffice."""
    why = str(error).splitlines()[0].removeprefix("Out of Memory Error: ")
    return f"it does not fit memory_limit; set a higher one in tidemill.toml, or fewer threads ({why})"
