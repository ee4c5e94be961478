"""Reading a snapshot with SQL: one SELECT a call, over the published files and the lake files that they name."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.engines.quoting import literals
from tidemill.errors import TidemillError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

READS: Final = {duckdb.StatementType.SELECT, duckdb.StatementType.EXPLAIN}


def connect(snapshot: Path, lake: Path) -> duckdb.DuckDBPyConnection:
    """A read-only connection to a snapshot's catalog that can reach nothing but the snapshot and the lake."""
    connection = duckdb.connect(str(snapshot / "catalog.duckdb"), read_only=True)
    connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false; SET autoinstall_known_extensions = false")
    connection.execute(f"SET allowed_directories = {literals([snapshot, lake])}")
    connection.execute("SET enable_external_access = false; SET lock_configuration = true")
    return connection


def select(connection: duckdb.DuckDBPyConnection, query: str) -> duckdb.DuckDBPyRelation:
    """Run one SELECT; UsageError for anything else or for SQL with a mistake in it."""
    try:
        statements = connection.extract_statements(query)
        if len(statements) != 1 or statements[0].type not in READS:
            raise UsageError("query takes one SELECT (or EXPLAIN, DESCRIBE, SHOW, SUMMARIZE)")
        relation = connection.sql(statements[0].query)
    except (duckdb.ParserException, duckdb.BinderException, duckdb.CatalogException, duckdb.PermissionException) as error:
        raise UsageError(f"the query cannot be run: {_line(error)}") from error
    except duckdb.Error as error:
        raise TidemillError(f"the query failed: {_line(error)}") from error
    if relation is None:
        raise UsageError("the query returns no rows or columns")
    return relation


def _line(error: duckdb.Error) -> str:
    return " ".join(str(error).split("\n\nLINE")[0].split())
