"""What DuckDB says of a statement that failed, as one line that says where."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.errors import TidemillError, TooLongError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

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


DAMAGE: Final = "what is damaged is named by: tidemill check --deep"


_MISTAKES: Final = (
    duckdb.ParserException,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.PermissionException,
)


_MISSING: Final = re.compile(r'Cannot access file "(.+\.parquet)/\*\*/\*\.parquet"')
"""A file that may be read and is not there DuckDB takes for a folder, which may not be."""


@contextmanager
def failures() -> Iterator[None]:
    """Translate DuckDB's error about a query into one line: a mistake in it, or a failure of its values."""
    try:
        yield
    except _MISTAKES as error:
        if missing := _MISSING.search(str(error)):
            raise TidemillError(f"the query failed: {missing[1]} is missing ({DAMAGE})") from error
        raise UsageError(f"the query cannot be run: {_line(error)}") from error
    except duckdb.OutOfMemoryException as error:
        raise TidemillError(f"the query failed: {unfit(error)}") from error
    except duckdb.Error as error:
        if "maximum execution time" in str(error):
            what = "took longer than query.timeout_seconds allows; ask for less, or raise it in tidemill.toml"
            raise TooLongError(f"the query {what}") from error
        hint = f" ({DAMAGE})" if ".parquet" in str(error) or isinstance(error, duckdb.IOException) else ""
        raise TidemillError(f"the query failed: {_line(error)}{hint}") from error


def _line(error: duckdb.Error) -> str:
    return " ".join(str(error).split("\n\nLINE")[0].split())
