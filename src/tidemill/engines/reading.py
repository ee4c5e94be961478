"""Reading a snapshot with SQL: one SELECT a call, over the published files and the lake files that they name."""

from __future__ import annotations

import re
import tempfile
import uuid
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.engines import faults
from tidemill.engines.quoting import literal, literals
from tidemill.errors import TidemillError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

READS: Final = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}
_MISTAKES: Final = (
    duckdb.ParserException,
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.PermissionException,
)


def connect(snapshot: Path, lake: Path) -> duckdb.DuckDBPyConnection:
    """A read-only connection to a snapshot's catalog that can reach nothing but the snapshot and the lake.

    The catalog is attached: connections to the file itself would share one database of the process, and its settings.
    """
    connection = duckdb.connect()
    connection.execute(f"ATTACH {literal(snapshot / 'catalog.duckdb')} AS tidemill (READ_ONLY); USE tidemill")
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
    connection.execute("SET autoinstall_known_extensions = false; SET python_enable_replacements = false")
    beside = Path(tempfile.gettempdir(), f"tidemill-{uuid.uuid4().hex}")  # DuckDB makes it when it must, and removes it
    connection.execute(f"SET temp_directory = {literal(beside)}")
    connection.execute(f"SET allowed_directories = {literals([snapshot, lake])}")
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    return connection


def select(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.DuckDBPyRelation:
    """Run one SELECT; UsageError for anything else or for SQL with a mistake in it."""
    with failures():
        statements = connection.extract_statements(query)
        if len(statements) != 1 or not _only_reads(connection, statements[0]):
            raise UsageError("query takes one SELECT (or EXPLAIN, DESCRIBE, SHOW, SUMMARIZE), and COPY nowhere in it")
        relation = connection.sql(statements[0].query)
    if relation is None:
        raise UsageError("the query returns no rows or columns")
    return relation


def _only_reads(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> bool:
    """Whether a statement is a SELECT, or explains one, and writes no file: WITH x AS (COPY …) is a SELECT too."""
    text = statement.query.encode()
    words = _words(text)
    if statement.type not in READS or b"COPY" in (word for _, word in words):
        return False
    if statement.type is duckdb.StatementType.SELECT:
        return True
    place, word = words[1] if words[1][1] == b"ANALYZE" else words[0]
    explained = connection.extract_statements(text[place + len(word) :].decode())
    return [inner.type for inner in explained] == [duckdb.StatementType.SELECT]


def _words(text: bytes) -> list[tuple[int, bytes]]:
    """The keywords of a query, in upper case, with their places."""
    tokens = [place for place, kind in duckdb.tokenize(text.decode()) if kind is duckdb.token_type.keyword]
    return [(place, word[0].upper()) for place in tokens if (word := re.match(rb"\w+", text[place:]))]


@contextmanager
def failures() -> Iterator[None]:
    """What DuckDB says of a query, as one line: a mistake in it, or a failure of its values."""
    try:
        yield
    except _MISTAKES as error:
        raise UsageError(f"the query cannot be run: {_line(error)}") from error
    except duckdb.OutOfMemoryException as error:
        raise TidemillError(f"the query failed: {faults.unfit(error)}") from error
    except duckdb.Error as error:
        raise TidemillError(f"the query failed: {_line(error)}") from error


def _line(error: duckdb.Error) -> str:
    return " ".join(str(error).split("\n\nLINE")[0].split())
