"""Staging records that a format's SQL maps to the contracts."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.engine import sandbox
from tidemill.engine.quoting import identifier, literal, literals
from tidemill.errors import FormatError, UsageError
from tidemill.ingest.sql import columns as sql_columns
from tidemill.ingest.sql import fields
from tidemill.ingest.sql import lines as sql_lines
from tidemill.ingest.staging import inputs
from tidemill.ingest.staging.write import copy, keep_rejects
from tidemill.records import CONTRACTS
from tidemill.sources.files import Layout, suffixes

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping

    from duckdb import DuckDBPyConnection

    from tidemill.ingest.load import Load

_TABLES: Final = frozenset({".csv", ".parquet"})


def stage_format(connection: DuckDBPyConnection, load: Load) -> None:
    """Stage what each of a format's selects gives, and count the raw records that gave many rows, or none."""
    columns = inputs.columns(connection, load) if load.layout in {Layout.CSV, Layout.PARQUET} else None
    if load.layout is Layout.PARQUET and columns:
        load.types = columns.types
    lines = "" if columns else inputs.lines(connection, load, numbered=True)
    for record, select in load.format.selects.items():
        tree = _checked(connection, load, record, select)
        base = _without(columns, load.parts) if columns else _of_objects(connection, load, lines, select, tree)
        connection.execute(f"CREATE OR REPLACE TEMP VIEW raw AS SELECT *{_constants(load.parts)} FROM ({base})")
        types = _bind_mapped(connection, load, record, select)
        given = sql_columns.formatted(CONTRACTS[record], "SELECT * FROM mapped", types, timestamp=load.source.timestamp)
        load.rows += copy(connection, load, CONTRACTS[record], given)
    if columns:
        keep_rejects(connection, load, None)
    else:
        connection.execute(
            f"INSERT INTO refusals SELECT line, raw, NULL, NULL, reason FROM ({sql_lines.broken(lines)})"
        )
    _count_lines(connection, load, columns.select if columns else _good(lines))


def _of_objects(connection: DuckDBPyConnection, load: Load, lines: str, select: str, tree: object) -> str:
    """Return the select of the fields that a format's select reads of JSON records.

    A name that is an alias, too, is a field where any record of the file has it. Only the records can tell.
    """
    names = fields.names(tree)
    # Rows of a table in the quarantine have all its columns as keys, in the table's spelling.
    table = load.portion is None and suffixes(Path(load.uri))[0] in _TABLES
    doubtful = {name.lower() for name in names.used} if table else names.doubtful
    there = list(_head_fields(load))
    if doubtful or names.whole:
        found = fields.keys(connection, lines, None if names.whole else doubtful)
        if len(found) > fields.MOST_FIELDS:
            raise format_fault(load, f"`*` stands for more than {fields.MOST_FIELDS:,} fields; name those to be read")
        there += found
        load.types = dict.fromkeys(there, "VARCHAR") | dict(load.types)
    held, absent = fields.columns(names, doubtful, there)
    fixed = {part.lower() for part in load.parts}
    held = {name: key for name, key in held.items() if name.lower() not in fixed}
    absent = [name for name in absent if name.lower() not in fixed]
    known = {name: load.types.get(key, "VARCHAR") for name, key in held.items()}
    needed = fields.needed(connection, select, known | dict.fromkeys(load.parts, "VARCHAR"), absent)
    return fields.objects(lines, held | {name: name for name in needed}, load.types)


def _head_fields(load: Load) -> Iterable[str]:
    """Return the fields that were found in what was read of the file before: names mean the same in its tail."""
    return load.portion.seen.fields if load.portion else load.types


def _without(columns: sql_columns.Columns, parts: Mapping[str, str]) -> str:
    """Return the select of a table's rows without the columns that a part of the path replaces."""
    fixed = {part.lower() for part in parts}
    replaced = ", ".join(identifier(name) for name in columns.types if name.lower() in fixed)
    return f"SELECT * EXCLUDE ({replaced}) FROM ({columns.select})" if replaced else columns.select


def _constants(parts: Mapping[str, str]) -> str:
    return "".join(f", {literal(value)} AS {identifier(name)}" for name, value in parts.items())


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


def _checked(connection: DuckDBPyConnection, load: Load, record: str, select: str) -> object:
    """Return the tree of a format's select, which reads `raw` alone."""
    try:
        trespass = sandbox.trespass(connection, select, {"raw"})
        if trespass == sandbox.NOT_ONE:
            raise format_fault(load, f"one SELECT must follow the line `-- record: {record}`")
        if trespass:
            raise format_fault(load, f"its select of {record} {trespass}; it may read `raw` alone")
        return sandbox.tree(connection, select)
    except duckdb.Error as error:
        raise format_fault(load, str(error).splitlines()[0]) from error


def _bind_mapped(connection: DuckDBPyConnection, load: Load, record: str, select: str) -> Mapping[str, str]:
    """Bind `mapped` to a format's select, which may end in semicolons and comments; returns its columns' types."""
    try:
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
