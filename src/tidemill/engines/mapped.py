"""Staging records that a format's SQL maps to the contracts."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from tidemill.engines import inputs, parsed, raw
from tidemill.engines.checking import copy, keep_rejects
from tidemill.engines.quoting import identifier, literal, literals
from tidemill.errors import FormatError, UsageError
from tidemill.formats import fields
from tidemill.records import CONTRACTS
from tidemill.sources.files import (
    Layout,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

    from duckdb import DuckDBPyConnection

    from tidemill.engines.load import Load


def stage_format(connection: DuckDBPyConnection, load: Load) -> None:
    """Stage what each of a format's selects gives, and count the raw records that gave many rows, or none."""
    parts = load.parts
    columns = inputs.columns(connection, load) if load.layout in {Layout.CSV, Layout.PARQUET} else None
    if load.layout is Layout.PARQUET and columns:
        load.types = columns.types
    lines = "" if columns else inputs.lines(connection, load, numbered=True)
    for record, select in load.format.selects.items():
        wanted = [name for name in fields(select) if name not in parts] if not columns else []
        base = columns.select if columns else raw.cast(raw.fields(lines, wanted), wanted, load.types)
        constants = "".join(f", {literal(value)} AS {identifier(name)}" for name, value in parts.items())
        connection.execute(f"CREATE OR REPLACE TEMP VIEW raw AS SELECT *{constants} FROM ({base})")
        types = _bind_mapped(connection, load, record, select)
        given = raw.formatted(CONTRACTS[record], "SELECT * FROM mapped", types, timestamp=load.source.timestamp)
        load.rows += copy(connection, load, CONTRACTS[record], given)
    if columns:
        keep_rejects(connection, load, None)
    else:
        connection.execute(f"INSERT INTO refusals SELECT line, raw, NULL, NULL, reason FROM ({raw.broken(lines)})")
    _count_lines(connection, load, columns.select if columns else _good(lines))


def _good(lines: str) -> str:
    return f"SELECT line FROM ({lines}) WHERE line NOT IN (SELECT line FROM refusals)"


def _count_lines(connection: DuckDBPyConnection, load: Load, good: str) -> None:
    """Count what a format read, left out and made more of; `good` is the select of the lines that it was given."""
    files = [str(path) for path in load.folder.rglob("*.parquet")]
    staged = (
        f"SELECT line FROM read_parquet({literals(files)}, union_by_name=true)" if files else "SELECT 0 WHERE false"
    )
    given, lines, strays = connection.execute(
        f"""WITH given AS MATERIALIZED (SELECT line FROM ({good})), staged(line) AS MATERIALIZED ({staged})
        SELECT (SELECT count(*) FROM given), (SELECT count(DISTINCT line) FROM staged),
               (SELECT count(*) FROM staged ANTI JOIN given USING (line))"""
    ).fetchall()[0]
    if strays:
        raise format_fault(load, f"{strays} of its rows have no `line` of the file; pass `line` on as it is")
    refused = connection.execute("SELECT count(*) FROM refusals").fetchall()[0][0]
    load.records_read = given + refused
    load.expanded = load.rows - lines
    load.ignored = given - lines


def _bind_mapped(connection: DuckDBPyConnection, load: Load, record: str, select: str) -> Mapping[str, str]:
    """Bind `mapped` to a format's select, which may end in semicolons and comments; returns its columns' types."""
    try:
        trespass = parsed.trespass(connection, select, {"raw"})
        if trespass == parsed.NOT_ONE:
            raise format_fault(load, f"one SELECT must follow the line `-- record: {record}`")
        if trespass:
            raise format_fault(load, f"its select of {record} {trespass}; it may read `raw` alone")
        connection.execute(f"CREATE OR REPLACE TEMP VIEW mapped AS {select}")
        rows = connection.execute("DESCRIBE mapped").fetchall()
    except duckdb.Error as error:
        raise format_fault(load, str(error).splitlines()[0]) from error
    types = {name: kind for name, kind, *_ in rows}
    known = (*CONTRACTS[record].names, "line", "attributes")
    for name in types:
        if name not in known:
            raise format_fault(load, str(UsageError.unknown(f"column of {record}", name, known)))
    if "line" not in types:
        raise format_fault(load, f"the select of {record} does not return `line`")
    return types


def format_fault(load: Load, what: str) -> FormatError:
    """What a format cannot do with a file, as one line."""
    return FormatError(f"format {load.format.name} cannot read {load.uri}: {what}")
