"""Reading a snapshot with SQL: one SELECT a call, over the published files and the lake files that they name."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import duckdb

from tidemill.engine import sandbox
from tidemill.engine.messages import failures
from tidemill.engine.quoting import identifier, literal, literals
from tidemill.errors import UsageError
from tidemill.snapshots import catalog_files

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

CATALOG: Final = "tidemill"
"""What the attached catalog of a snapshot is called."""


def confine(connection: duckdb.DuckDBPyConnection, snapshot: Path, *, seconds: float) -> None:
    """Let a connection read a snapshot's catalog and the files that its views name, and reach nothing else, for good.

    The catalog is attached: connections to the file itself would share one database of the process, and its settings.
    A query that takes more `seconds` is ended; 0 is no limit. Both hold for connections `beside` this one, too.
    """
    catalog = snapshot / "catalog.duckdb"
    connection.execute(f"ATTACH {literal(catalog)} AS {CATALOG} (READ_ONLY); USE {CATALOG}")
    limit(connection, seconds=seconds)
    connection.execute("SET GLOBAL TimeZone = 'UTC'")
    connection.execute(f"SET allowed_paths = {literals(catalog_files.files(connection))}")
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")


def limit(connection: duckdb.DuckDBPyConnection, *, seconds: float) -> None:
    """End what takes longer on a connection, and on those beside it."""
    connection.execute(f"SET GLOBAL max_execution_time = {int(seconds * 1000)}")


@contextmanager
def beside(connection: duckdb.DuckDBPyConnection) -> Iterator[duckdb.DuckDBPyConnection]:
    """Another connection to the same confined database, for another thread, for as long as it is needed."""
    with connection.cursor() as other:
        other.execute(f"USE {CATALOG}")
        yield other


def table(connection: duckdb.DuckDBPyConnection, name: str, limit: int | None) -> list[dict[str, Any]]:
    """The first rows of a published table, or all, in its order."""
    return rows(connection, f"FROM {identifier(name)} LIMIT $limit", {"limit": limit})


def window(
    connection: duckdb.DuckDBPyConnection, table: str, hours: int, order: str, limit: int | None
) -> list[dict[str, Any]]:
    """The first rows of one window of a published table, or all; in its order, if no other is given."""
    ordered = f"ORDER BY {order}" if order else ""
    query = f"FROM {identifier(table)} WHERE window_hours = $hours {ordered} LIMIT $limit"
    return rows(connection, query, {"hours": hours, "limit": limit})


def rows(
    connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, object] | None = None
) -> list[dict[str, Any]]:
    """The rows of a query of our own over a snapshot, each as its columns' values; instants are of UTC.

    Raises:
        TidemillError: it failed, or took too long.
    """
    with failures():
        result = connection.execute(query, dict(parameters or {}))
        names = [name for name, *_ in result.description or ()]
        return [dict(zip(names, row, strict=True)) for row in result.fetchall()]


def select(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.DuckDBPyRelation:
    """Run one SELECT; UsageError for anything else or for SQL with a mistake in it."""
    with failures():
        statements = connection.extract_statements(query)
        if len(statements) != 1 or not _only_reads(connection, statements[0]):
            raise UsageError("query takes one SELECT (or EXPLAIN, DESCRIBE, SHOW, SUMMARIZE) that writes nothing")
        relation = connection.sql(statements[0].query)
    if relation is None:
        raise UsageError("the query returns no rows or columns")
    return relation


def _only_reads(connection: duckdb.DuckDBPyConnection, statement: duckdb.Statement) -> bool:
    """Whether a statement is a SELECT, or explains one, and writes nothing: WITH x AS (COPY …) is a SELECT too."""
    if statement.type is duckdb.StatementType.SELECT:
        return sandbox.is_read(connection, statement.query)
    if statement.type is not duckdb.StatementType.EXPLAIN:
        return False
    text = statement.query.encode()
    words = _words(text)
    place, word = words[1] if words[1][1] == b"ANALYZE" else words[0]
    explained = connection.extract_statements(text[place + len(word) :].decode())
    kinds = [inner.type for inner in explained]
    return kinds == [duckdb.StatementType.SELECT] and sandbox.is_read(connection, explained[0].query)


def _words(text: bytes) -> list[tuple[int, bytes]]:
    """The keywords of a query, in upper case, with their places."""
    tokens = [place for place, kind in duckdb.tokenize(text.decode()) if kind is duckdb.token_type.keyword]
    return [(place, word[0].upper()) for place in tokens if (word := re.match(rb"\w+", text[place:]))]
