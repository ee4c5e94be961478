"""Files of the lake and of tables as the relations that a table's select names."""

from __future__ import annotations

import hashlib
import uuid
from typing import TYPE_CHECKING, Final

from tidemill.engine.connection import named
from tidemill.engine.quoting import identifier, literal, literals
from tidemill.records import BY_TABLE, JOB, RELEASED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.lake.delta import DataFile

PERIOD_COLUMNS: Final = frozenset({"day", "week_start", "month_start"})

_ENDED: Final = "('completed', 'failed', 'cancelled')"
_BEGUN: Final = "('completed', 'failed', 'cancelled', 'running', 'paused')"


def nothing(columns: Mapping[str, str]) -> str:
    """The select of no rows with those columns."""
    return (
        "SELECT " + ", ".join(f"NULL::{kind} AS {identifier(name)}" for name, kind in columns.items()) + " WHERE false"
    )


def stored(columns: Mapping[str, str], files: Sequence[DataFile]) -> str:
    """The select of every row of a lake table in some files, whichever columns they leave out."""
    if not files:
        return nothing(columns)
    alike: dict[frozenset[str], list[str]] = {}
    for file in files:
        alike.setdefault(file.absent.intersection(columns), []).append(file.path)
    return " UNION ALL ".join(_stored(columns, absent, paths) for absent, paths in alike.items())


def _stored(columns: Mapping[str, str], absent: frozenset[str], paths: Sequence[str]) -> str:
    values = (
        f"NULL::{kind} AS {identifier(name)}" if name in absent else identifier(name) for name, kind in columns.items()
    )
    return f"SELECT {', '.join(values)} FROM read_parquet({literals(paths)}, hive_partitioning=false)"


def published(paths: Iterable[str]) -> str:
    """The select of the rows of a table's files."""
    return f"SELECT * FROM read_parquet({literals(paths)}, hive_partitioning=false)"


def job_states(observations: str) -> str:
    """The select of each job's state from its observations: the newest of each column, never by order of arrival.

    Newest is by observed_at, then by how far the status has got, then by the record's hash. started_at and
    completed_at stand only where the status has got so far.
    """
    progress = (
        f"CASE WHEN status IN {_ENDED} THEN 3 WHEN status IN {_BEGUN} THEN 2 WHEN status = 'queued' THEN 1 ELSE 0 END"
    )
    mapped = ", ".join(identifier(name) for name in (*JOB.names, "attributes"))
    newest = {
        name: f"arg_max({identifier(name)}, newness) FILTER (WHERE {identifier(name)} IS NOT NULL)"
        for name in (*JOB.names, "source", "attributes")
        if name not in {"job_id", "created_at"}
    }
    newest |= {"job_id": "job_id", "created_at": "any_value(created_at)", "load_id": "arg_max(load_id, newness)"}
    columns = ", ".join(f"{newest[name]} AS {identifier(name)}" for name in JOB.stored)
    return (
        f"SELECT * REPLACE (CASE WHEN status IN {_BEGUN} THEN started_at END AS started_at, "
        f"CASE WHEN status IN {_ENDED} THEN completed_at END AS completed_at) FROM ("
        f"SELECT {columns} FROM (SELECT *, (observed_at, {progress}, hash({mapped})) AS newness FROM ({observations})) "
        "GROUP BY job_id)"
    )


def bind_records(
    connection: DuckDBPyConnection, table: str, files: Sequence[DataFile], where: str, inside: str | None = None
) -> None:
    """Bind jobs, events or metrics as the records of some files that meet a condition.

    With a second condition `inside` they have a column `in_window` that says whether they meet that one, too.
    """
    contract = BY_TABLE[table]
    rows = stored(contract.stored, files)
    select = f"SELECT * FROM ({rows}) WHERE {where}"
    select = job_states(select) if contract is JOB else select
    bind(connection, table, flagged(select, inside) if inside else select)


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
    """How many rows of a table's file belong to each period."""
    found = connection.execute(f"SELECT {period}::VARCHAR, count(*) FROM read_parquet({literal(path)}) GROUP BY ALL")
    return {day: int(count) for day, count in found.fetchall()}


def rows_by_load(connection: DuckDBPyConnection, paths: Sequence[str]) -> dict[str, int]:
    """How many rows of some files of the lake each load has."""
    found = connection.execute(f"SELECT load_id, count(*) FROM read_parquet({literals(paths)}) GROUP BY ALL").fetchall()
    return dict(found)


def unknown_loads(connection: DuckDBPyConnection, ledger: Sequence[str], load_ids: Iterable[str]) -> list[str]:
    """Those of some loads that are not in the ledger."""
    asked = sorted(load_ids)
    if not asked:
        return []
    known = f"SELECT load_id FROM read_parquet({literals(ledger)})" if ledger else nothing({"load_id": "VARCHAR"})
    rows = connection.execute(f"SELECT unnest($1::VARCHAR[]) AS load_id EXCEPT ({known}) ORDER BY ALL", [asked])
    return [load_id for (load_id,) in rows.fetchall()]


def newest(connection: DuckDBPyConnection, files: Mapping[str, Sequence[str]]) -> datetime | None:
    """The newest of events' and metrics' timestamp and jobs' observed_at; None in an empty lake."""
    instants = {"jobs": "observed_at", "events": "timestamp", "metrics": "timestamp"}
    selects = [
        f"SELECT max({instants[t]}) AS t FROM read_parquet({literals(paths)})" for t, paths in files.items() if paths
    ]
    if not selects:
        return None
    found: datetime | None = connection.execute(f"SELECT max(t) FROM ({' UNION ALL '.join(selects)})").fetchall()[0][0]
    return found


def held(quarantine: Sequence[str], released: Sequence[str], loads: Sequence[str]) -> str | None:
    """The quarantine's rows that no retry has taken, with their load's format; None when it is empty."""
    if not quarantine:
        return None
    gone = f"FROM read_parquet({literals(released)})" if released else nothing(RELEASED)
    return (
        f"SELECT q.*, l.format, l.given FROM read_parquet({literals(quarantine)}) q "
        f"JOIN read_parquet({literals(loads)}) l ON l.load_id = q.load_id "
        f"ANTI JOIN ({gone}) g ON g.of_load_id = q.load_id AND g.line IS NOT DISTINCT FROM q.line "
        "AND g.record IS NOT DISTINCT FROM q.record"
    )


def held_for(connection: DuckDBPyConnection, held: str, reason: str) -> int:
    """How many of the quarantine's rows are there for a reason."""
    rows = connection.execute(f"SELECT count(*) FROM ({held}) WHERE reason = {literal(reason)}").fetchall()
    return int(rows[0][0])
