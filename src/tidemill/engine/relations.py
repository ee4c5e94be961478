"""Files of the lake and of tables as the relations that a table's select names."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Final

from tidemill.engine.connection import named
from tidemill.engine.quoting import identifier, literal, literals

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection


PERIOD_COLUMNS: Final = frozenset({"day", "week_start", "month_start"})


def nothing(columns: Mapping[str, str]) -> str:
    """The select of no rows with those columns."""
    return (
        "SELECT " + ", ".join(f"NULL::{kind} AS {identifier(name)}" for name, kind in columns.items()) + " WHERE false"
    )


def published(paths: Iterable[str]) -> str:
    """The select of the rows of a table's files."""
    return f"SELECT * FROM read_parquet({literals(paths)}, hive_partitioning=false)"


def flagged(select: str, inside: str) -> str:
    """A select's rows with the column `in_window`, which says whether they meet a condition."""
    return f"SELECT *, {inside} AS in_window FROM ({select})"


def bind(connection: DuckDBPyConnection, name: str, select: str) -> None:
    """Bind a relation by name."""
    connection.execute(f"CREATE OR REPLACE TEMP VIEW {identifier(name)} AS {select}")


def dates(days: Iterable[str]) -> str:
    """Some dates, as what comes after IN."""
    return f"(SELECT unnest({literals(days)}::DATE[]))"


def in_days(column: str, days: Iterable[str]) -> str:
    """The condition that an instant is in some reporting days."""
    return f"local_day({identifier(column)}) IN {dates(days)}"


def unbind(connection: DuckDBPyConnection, names: Iterable[str]) -> None:
    """Forget relations, so that a select of another table cannot meet them."""
    for name in names:
        connection.execute(f"DROP VIEW IF EXISTS {identifier(name)}")


def in_window(column: str, *, as_of: str, hours: int) -> str:
    """The condition that an instant is in the hours up to as_of: as_of - hours < t ≤ as_of."""
    end = f"{literal(as_of)}::TIMESTAMPTZ"
    return f"{identifier(column)} > {end} - INTERVAL {int(hours)} HOUR AND {identifier(column)} <= {end}"


def period(partition: str, column: str) -> str:
    """The first day of the period (day, week or month) that an output row belongs to."""
    return identifier(column) if column in PERIOD_COLUMNS else f"local_{partition}({identifier(column)})"


def ordered(select: str, sort: Iterable[str]) -> str:
    """A select's rows in a table's order."""
    return f"SELECT * FROM ({select}\n) ORDER BY {', '.join(sort)}"


def merged(
    select: str | None, sort: Iterable[str], before: Sequence[str], stays: str, columns: Iterable[str] | None = None
) -> str:
    """A file's rows in order: those of the files before that stay, by a condition, and the new ones, if there are.

    They have those columns, if they are given, whatever the files before have.
    """
    old = f"SELECT * FROM ({published(before)}) WHERE {stays}"
    rows = f"({old}) UNION ALL BY NAME ({select}\n)" if select else old
    return ordered(f"SELECT {', '.join(map(identifier, columns))} FROM ({rows})" if columns else rows, sort)


def bind_table(
    connection: DuckDBPyConnection, name: str, paths: Iterable[str], column: str, days: Iterable[str] | None
) -> None:
    """Bind a table's rows, whole or of some reporting days."""
    where = "true" if days is None else f"{period('day', column)} IN {dates(days)}"
    bind(connection, name, f"SELECT * FROM ({published(paths)}) WHERE {where}")


def bind_table_until(connection: DuckDBPyConnection, name: str, paths: Iterable[str], column: str, last: str) -> None:
    """Bind a table's rows of all reporting days up to one."""
    bind(connection, name, f"SELECT * FROM ({published(paths)}) WHERE {period('day', column)} <= DATE {literal(last)}")


def write(
    connection: DuckDBPyConnection,
    select: str,
    folder: Path,
    period: str,
    parameters: Mapping[str, object] | None = None,
) -> tuple[str, int]:
    """Write a select's rows as Parquet, under a name that the content has earned; returns it, and how many rows.

    So no name is ever given to other bytes, and a file that is not whole has none.
    """
    beside = folder / f"{uuid.uuid4().hex}.parquet.part"
    copy = f"COPY ({select}) TO {literal(beside)} (FORMAT parquet)"
    try:
        count = connection.execute(copy, named(connection, copy, parameters or {})).fetchall()[0][0]
    except BaseException:
        beside.unlink(missing_ok=True)
        raise
    with beside.open("rb") as file:
        name = f"{period}-{hashlib.file_digest(file, 'sha256').hexdigest()[:24]}.parquet"
    beside.chmod(0o444)
    beside.rename(folder / name)
    return name, int(count)


def rows_by_period(connection: DuckDBPyConnection, path: Path, period: str) -> dict[str, int]:
    """Count the rows of a table's file by period."""
    found = connection.execute(f"SELECT {period}::VARCHAR, count(*) FROM read_parquet({literal(path)}) GROUP BY ALL")
    return {day: int(count) for day, count in found.fetchall()}
