"""Staged loads become additions to the lake: what is new of them, day by day, and what the ledger says."""

from __future__ import annotations

import json
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.engine.quoting import literal, literals
from tidemill.engine.relations import dates
from tidemill.home import file_digest
from tidemill.ingest.sql import dedup, release
from tidemill.ingest.staging import inputs
from tidemill.ingest.staging.stage import kept_text, lines_of, read_alone, relocate
from tidemill.lake import state as lake_state
from tidemill.lake.retention import REASON
from tidemill.lake.schema import Addition, name_file, schema
from tidemill.records import CONTRACTS, EVENT, JOB, METRIC, QUARANTINE

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from tidemill.ingest.load import Load
    from tidemill.lake.commits import Snapshot
    from tidemill.lake.schema import DataFile
    from tidemill.records import Contract


@dataclass(frozen=True)
class _Batch:
    """Loads of one source in their order, on their way into a lake; records of before `opening` are of sealed days."""

    connection: DuckDBPyConnection
    lake: Snapshot
    loads: Sequence[Load]
    folder: Path
    opening: datetime | None


def settle(
    connection: DuckDBPyConnection, lake: Snapshot, loads: Sequence[Load], folder: Path, opening: datetime | None
) -> tuple[list[Addition], list[dict[str, object]]]:
    """The files to append and the rows of the ledger, for loads of one source in their order; under the lock.

    Records of before `opening` are of sealed days, and refused.
    """
    folder.mkdir(parents=True)
    connection.execute("CREATE OR REPLACE TEMP TABLE dropped (load_id VARCHAR, verdict VARCHAR, records BIGINT)")
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE late_refusals "
        "(load_id VARCHAR, line BIGINT, record VARCHAR, field VARCHAR, reason VARCHAR)"
    )
    dedup.take_turns(connection, [load.load_id for load in loads])
    batch = _Batch(connection, lake, loads, folder, opening)
    added = [*_settle_days(batch, EVENT), *_settle_days(batch, METRIC), *_settle_jobs(batch)]
    ledger = _ledger(connection, loads, added)
    if loads[0].kind == "retry":
        released = additions(connection, "released", {str(release.released(connection, loads, folder)): ""})
        if not released and not any(row["accepted"] for row in ledger):
            return [], []
        sealed = additions(connection, "quarantine", {str(release.sealed_since(connection, loads, folder)): ""})
        added += released + sealed
    else:
        added += _quarantine(connection, loads, folder)
    added += _ledger_file(connection, ledger, folder)
    return added, ledger


def carriers(loads: Sequence[Load]) -> list[Load]:
    """What holds the staged records of some loads: each load itself, or the bundle that carries it."""
    return list({id(carrier): carrier for carrier in (load.carrier or load for load in loads)}.values())


def _settle_days(batch: _Batch, contract: Contract) -> list[Addition]:
    """Settle small loads together, all their days at once; a large one day by day."""
    large = batch.loads[0].large
    groups: dict[str | None, list[str]] = {}
    for load in carriers(batch.loads):
        for path in load.staged(contract, "accepted"):
            groups.setdefault(path.parent.name.removeprefix("day=") if large else None, []).append(str(path))
    found: list[Addition] = []
    for day, paths in sorted(groups.items(), key=str):
        found += _settle_group(batch, contract, day, paths)
    return found


def _settle_group(batch: _Batch, contract: Contract, day: str | None, paths: Sequence[str]) -> list[Addition]:
    """Settle the staged rows of one day, or of all; where nothing is doubtful they are taken as they were staged."""
    connection, loads = batch.connection, batch.loads
    source = loads[0].source.name
    absent = _absent(loads, contract)
    heads = [str(load.heads) for load in loads if load.heads.exists()]
    rows = dedup.candidates(contract, paths, day)
    if pruned := _refuse_pruned(batch, contract, rows):
        rows = f"SELECT * FROM ({rows}) WHERE NOT {pruned}"
    days = [day] if day else dedup.days(connection, rows)
    known = dedup.stored(contract, _whole(batch.lake.of(contract.table, days)), source)
    doubts = dedup.repeated(connection, rows, known) or heads
    if day and loads[0].fast and not doubts and not pruned:
        return additions(connection, contract.table, dict.fromkeys(paths, day), absent)
    dedup.forget(connection)
    if doubts:
        dedup.examine(connection, contract, source, rows, heads)
        for load_id, ids in dedup.quarrels(connection, known, contract):
            load = next(load for load in loads if load.load_id == load_id)
            dedup.place(connection, relocate(connection, load, contract, ids))
        dedup.judge(connection)
        _drop(connection, contract)
    target = batch.folder / contract.table / (day or "all")
    kept = [name for name in contract.stored if name not in absent]
    return additions(connection, contract.table, dedup.write_days(connection, dedup.chosen(kept, rows), target), absent)


def _refuse_pruned(batch: _Batch, contract: Contract, rows: str) -> str:
    """Refuse the staged rows that are of sealed days; the condition that one is so, empty if none is."""
    if batch.opening is None:
        return ""
    sealed = dedup.before(contract, batch.opening)
    found = f"FROM ({rows}) WHERE {sealed}"
    days = batch.connection.execute(f"SELECT load_id, list(DISTINCT day::VARCHAR) {found} GROUP BY ALL").fetchall()
    late = dict(days)
    for load in batch.loads:
        if load.load_id in late:
            lines = f"SELECT line {found} AND load_id = {literal(load.load_id)}"
            if load.fast:
                lines = lines_of(batch.connection, load, contract, f"{sealed} AND day IN {dates(late[load.load_id])}")
            batch.connection.execute(
                f"INSERT INTO late_refusals SELECT $1, line, $2, $3, $4 FROM ({lines})",
                [load.load_id, contract.record, contract.day_of, REASON],
            )
    return sealed if late else ""


def _drop(connection: DuckDBPyConnection, contract: Contract) -> None:
    connection.execute(
        "INSERT INTO dropped SELECT load_id, verdict, count(*) FROM judged WHERE verdict = 'duplicate' GROUP BY ALL"
    )
    connection.execute(
        "INSERT INTO late_refusals SELECT load_id, line, $1, 'id', 'conflict' FROM judged WHERE verdict = 'conflict'",
        [contract.record],
    )


def _settle_jobs(batch: _Batch) -> list[Addition]:
    connection, held = batch.connection, carriers(batch.loads)
    paths = [str(path) for load in held for verdict in ("accepted", "waiting") for path in load.staged(JOB, verdict)]
    if not paths:
        return []
    rows = dedup.candidates(JOB, paths)
    stored = _whole(batch.lake.of(JOB.table))
    days = dedup.births(connection, rows, [file.path for file in stored])
    known = dedup.stored(JOB, [file for file in stored if file.day in days], batch.loads[0].source.name)
    dedup.settle_jobs(connection, rows, known, dedup.before(JOB, batch.opening) if batch.opening else "false")
    connection.execute(
        "INSERT INTO dropped SELECT load_id, verdict, count(*) FROM settled WHERE verdict = 'duplicate' GROUP BY ALL"
    )
    connection.execute(
        """INSERT INTO late_refusals SELECT load_id, line, 'job', 'created_at', verdict FROM settled
        WHERE verdict NOT IN ('accepted', 'duplicate')"""
    )
    absent = _absent(held, JOB)
    kept = ", ".join(name for name in JOB.stored if name not in absent)
    accepted = f"SELECT {kept}, day FROM settled WHERE verdict = 'accepted'"
    return additions(connection, JOB.table, dedup.write_days(connection, accepted, batch.folder / JOB.table), absent)


def _whole(files: Sequence[DataFile]) -> Sequence[DataFile]:
    """Files of the lake in which known records are looked up: one that is not whole would let them in twice."""
    file_digest.glance(lake_state.stamps(files))
    return files


def _absent(loads: Sequence[Load], contract: Contract) -> frozenset[str]:
    """The columns that have no value in any record of some loads."""
    staged = [load.absent[contract.table] for load in carriers(loads) if contract.table in load.absent]
    return frozenset.intersection(*staged) if staged else frozenset()


def additions(
    connection: DuckDBPyConnection, table: str, days: Mapping[str, str], absent: Iterable[str] = ()
) -> list[Addition]:
    """Written files, each with its day, as additions to a table of the lake; those without rows are none."""
    found = []
    for path, count, first, last in dedup.load_bounds(connection, list(days)):
        day = days[path]
        found.append(
            Addition(
                table=table,
                staged=path,
                path=name_file(file_digest.digest(path), day),
                size=Path(path).stat().st_size,
                rows=count,
                day=day,
                first_load=first or "",
                last_load=last or "",
                absent=sorted(absent),
            )
        )
    return found


def _quarantine(connection: DuckDBPyConnection, loads: Sequence[Load], folder: Path) -> list[Addition]:
    """The refused records of the loads: those of staging, and those that only settling could tell."""
    found = [load.refused for load in carriers(loads) if load.quarantined]
    late = {row[0] for row in connection.execute("SELECT DISTINCT load_id FROM late_refusals").fetchall()}
    for load in loads:
        if load.load_id in late:
            read_alone(load)
            target = folder / f"refused-{load.load_id}.parquet"
            connection.execute(
                f"""COPY (SELECT {", ".join(QUARANTINE)} FROM (
                    SELECT r.load_id, {literal(load.source.name)} AS source, {literal(load.uri)} AS uri,
                           r.line, r.record, r.field, r.reason,
                           {kept_text()} AS raw
                    FROM (SELECT r.*, n.raw FROM (SELECT * FROM late_refusals WHERE load_id = {literal(load.load_id)}) r
                          LEFT JOIN ({inputs.numbered(connection, load)}) n ON n.line = r.line) r))
                TO {literal(target)} (FORMAT parquet)"""
            )
            found.append(target)
    if not found:
        return []
    target = folder / "quarantine.parquet"
    files = literals(str(path) for path in found)
    connection.execute(
        f"COPY (FROM read_parquet({files}) SEMI JOIN turns USING (load_id) ORDER BY load_id, line) "
        f"TO {literal(target)} (FORMAT parquet)"
    )
    return additions(connection, "quarantine", {str(target): ""})


def _ledger(
    connection: DuckDBPyConnection, loads: Sequence[Load], additions: Sequence[Addition]
) -> list[dict[str, object]]:
    dropped = dict(connection.execute("SELECT load_id, sum(records)::BIGINT FROM dropped GROUP BY ALL").fetchall())
    late = dict(connection.execute("SELECT load_id, count(*) FROM late_refusals GROUP BY ALL").fetchall())
    accepted: dict[str, tuple[int, datetime, datetime]] = {}
    for contract in CONTRACTS.values():
        files = [addition.staged for addition in additions if addition.table == contract.table]
        if files:
            rows = connection.execute(
                f"SELECT load_id, count(*), min({contract.day_of}), max({contract.day_of}) "
                f"FROM read_parquet({literals(files)}) GROUP BY ALL"
            ).fetchall()
            for load_id, count, first, last in rows:
                before = accepted.get(load_id, (0, first, last))
                accepted[load_id] = (before[0] + count, min(before[1], first), max(before[2], last))
    ledger: list[dict[str, object]] = []
    for load in loads:
        count, first, last = accepted.get(load.load_id, (0, None, None))
        values = {
            "load_id": load.load_id,
            "source": load.source.name,
            "kind": load.kind,
            "format": load.format.name,
            "uri": load.uri,
            "bytes": load.bytes,
            "content_hash": load.content_hash,
            "records_read": load.records_read,
            "expanded": load.expanded,
            "accepted": count,
            "duplicates": dropped.get(load.load_id, 0),
            "quarantined": load.quarantined + late.get(load.load_id, 0),
            "ignored": load.ignored,
            "first_timestamp": first,
            "last_timestamp": last,
            "started_at": load.started_at,
            "finished_at": datetime.now(UTC),
            "given": json.dumps({"settings": load.source.given, "types": dict(load.types)}),
        }
        ledger.append(values)
    return ledger


def _ledger_file(connection: DuckDBPyConnection, ledger: Sequence[dict[str, object]], folder: Path) -> list[Addition]:
    import pyarrow as pa
    import pyarrow.parquet as pq

    target = folder / "loads.parquet"
    pq.write_table(pa.Table.from_pylist(list(ledger), schema=schema("loads")), target)
    return additions(connection, "loads", {str(target): ""})
