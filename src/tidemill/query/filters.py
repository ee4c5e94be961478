"""Records cut to a window and to equal columns, and the relations that tables' selects then make of each other."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from tidemill.engine import connection as engine_connection
from tidemill.engine import relations
from tidemill.engine.quoting import identifier, literal
from tidemill.errors import UsageError
from tidemill.lake import relations as lake_relations
from tidemill.records import BY_TABLE, JOB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from datetime import datetime

    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from duckdb.sqltypes import DuckDBPyType

    from tidemill.lake.schema import DataFile

    Filters = Mapping[str, object]


def between(kind: str, first: datetime, end: datetime) -> str:
    """The condition that a record's instant is first ≤ t < end."""
    instant = identifier(BY_TABLE[kind].day_of)
    return f"{instant} >= {_instant(first)} AND {instant} < {_instant(end)}"


def on_days(kind: str, first: str, last: str) -> str:
    """The condition that a record is of the reporting days from first to last."""
    return f"local_day({identifier(BY_TABLE[kind].day_of)}) BETWEEN DATE {literal(first)} AND DATE {literal(last)}"


def bind_records(
    connection: DuckDBPyConnection,
    kind: str,
    files: Sequence[DataFile],
    where: str,
    *,
    inside: str | None = None,
    filters: Filters | None = None,
) -> None:
    """Bind jobs, events or metrics as those of some files that meet a condition and carry what is asked for.

    A job carries what its state says, so its observations are cut by the condition, and its states by the filters.
    With a second condition `inside`, `in_window` says whether they meet that one, too.
    """
    contract = BY_TABLE[kind]
    rows = f"SELECT * FROM ({lake_relations.stored(contract.stored, files)}) WHERE {where}"
    states = lake_relations.job_states(rows) if contract is JOB else rows
    select = f"SELECT * FROM ({states}) WHERE {_carries(filters or {})}"
    relations.bind(connection, kind, relations.flagged(select, inside) if inside else select)


def keep(
    connection: DuckDBPyConnection,
    name: str,
    select: str,
    parameters: Mapping[str, object],
    filters: Filters | None = None,
) -> None:
    """Make a table of a select, once for all that read it, so that what it reads may be bound anew."""
    carries = f"SELECT * FROM ({select}\n) WHERE {_carries(filters or {})}"
    connection.execute(
        f"CREATE TEMP TABLE {identifier(name)} AS {carries}", engine_connection.named(connection, select, parameters)
    )


def rows(connection: DuckDBPyConnection, kinds: Sequence[str]) -> int:
    """How many records the bound relations hold."""
    counts = " + ".join(f"(SELECT count(*) FROM {identifier(kind)})" for kind in kinds)
    return int(connection.execute(f"SELECT {counts}").fetchall()[0][0])


def equal(relation: DuckDBPyRelation, filters: Filters) -> DuckDBPyRelation:
    """The rows of a relation whose columns have those values; None is no value.

    Raises:
        UsageError: there is no such column, or the value is not of its type.
    """
    types = dict(zip(relation.columns, relation.types, strict=True))
    for name, value in filters.items():
        if name not in types:
            raise UsageError.unknown("column", name, types)
        _check(name, value, types[name])
    for name, value in filters.items():
        column = identifier(name)
        same = f"{column} IS NULL" if value is None else f"{column} = {literal(value)}::{comparable(types[name])}"
        relation = relation.filter(same)
    return relation


def ordered(relation: DuckDBPyRelation, sort: Sequence[str]) -> DuckDBPyRelation:
    """A relation's rows in a table's order."""
    return relation.order(", ".join(sort))


def _carries(filters: Filters) -> str:
    """The condition that a record's texts are those; None is no text."""
    conditions = (
        f"{identifier(name)} IS NULL" if value is None else f"{identifier(name)} = {literal(value)}"
        for name, value in filters.items()
    )
    return " AND ".join(conditions) or "true"


def _instant(moment: datetime) -> str:
    return f"TIMESTAMPTZ {literal(moment.isoformat())}"


def comparable(kind: DuckDBPyType) -> str:
    """What a value is cast to before it is compared: a whole number is not rounded to."""
    return "DECIMAL(38, 12)" if kind.id == "bigint" else str(kind)


def _check(name: str, value: object, kind: DuckDBPyType) -> None:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        query = f"SELECT TRY_CAST({literal(value)} AS {comparable(kind)}) IS NOT NULL"
        if value is not None and not connection.execute(query).fetchall()[0][0]:
            raise UsageError(f"where {name}: {value} is no {kind}")
