"""Stored records as relations of the engine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidemill.engine.quoting import identifier, literal, literals
from tidemill.records import BY_TABLE, JOB, RELEASED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import datetime

    from duckdb import DuckDBPyConnection

    from tidemill.lake.schema import DataFile
from tidemill.engine.relations import bind, flagged, nothing

_ENDED: Final = "('completed', 'failed', 'cancelled')"


_BEGUN: Final = "('completed', 'failed', 'cancelled', 'running', 'paused')"


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
