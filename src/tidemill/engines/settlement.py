"""Staged loads become additions to the lake: what is new of them, day by day, and what the ledger says."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from tidemill.engines import settle as sql
from tidemill.engines.quoting import literal, literals
from tidemill.lake import Addition, name_file
from tidemill.records import CONTRACTS, EVENT, JOB, LEDGER, METRIC, QUARANTINE
from tidemill.engines.staging import kept_text, numbered, relocate

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.lake import Snapshot
    from tidemill.records import Contract
    from tidemill.engines.staging import Load

FEW_FILES = 4
"""Up to so many staged files of a day are taken as they are; more are written again as one."""


def settle(
    connection: DuckDBPyConnection, lake: Snapshot, loads: Sequence[Load], folder: Path
) -> tuple[list[Addition], list[dict[str, object]]]:
    """The files to append and the rows of the ledger, for loads of one source in their order; under the lock."""
    folder.mkdir(parents=True)
    connection.execute("CREATE OR REPLACE TEMP TABLE dropped (load_id VARCHAR, verdict VARCHAR, records BIGINT)")
    connection.execute("CREATE OR REPLACE TEMP TABLE late_refusals (load_id VARCHAR, line BIGINT, record VARCHAR, field VARCHAR, reason VARCHAR)")
    additions = [a for contract in (EVENT, METRIC) for a in _settle_days(connection, lake, loads, contract, folder)]
    additions += _settle_jobs(connection, lake, loads, folder)
    ledger = _ledger(connection, loads, additions)
    if loads[0].kind == "retry":
        if not any(row["accepted"] for row in ledger):
            return [], []
        additions.append(_released(connection, loads, folder))
    else:
        additions += _quarantine(connection, loads, folder)
    additions.append(_ledger_file(connection, ledger, folder))
    return additions, ledger


def _settle_days(
    connection: DuckDBPyConnection, lake: Snapshot, loads: Sequence[Load], contract: Contract, folder: Path
) -> Iterable[Addition]:
    staged: dict[str, list[Path]] = {}
    for load in loads:
        for path in load.staged(contract, "accepted"):
            staged.setdefault(path.parent.name.removeprefix("day="), []).append(path)
    heads = [str(load.heads) for load in loads if load.heads.exists()]
    for day, paths in sorted(staged.items()):
        yield from _settle_day(connection, lake, loads, contract, day, paths, heads, folder)


def _settle_day(
    connection: DuckDBPyConnection,
    lake: Snapshot,
    loads: Sequence[Load],
    contract: Contract,
    day: str,
    paths: Sequence[Path],
    heads: Sequence[str],
    folder: Path,
) -> Iterable[Addition]:
    order = {load.load_id: turn for turn, load in enumerate(loads)}
    rows = sql.candidates([str(path) for path in paths], order)
    source = loads[0].source.name
    known = sql.stored(contract, lake.paths(contract.table, [day]), source)
    plain = all(load.fast for load in loads) and len(paths) <= FEW_FILES
    doubts = sql.repeated(connection, rows, known) or heads
    if plain and not doubts:
        for path in paths:
            yield _addition(connection, contract.table, path, day)
        return
    if doubts:
        copies = f"SELECT load_id, id, copies FROM read_parquet({literals(heads)})" if heads else "SELECT NULL AS load_id, NULL AS id, 0 AS copies WHERE false"
        sql.examine(connection, contract, source, rows, copies)
        for load_id, ids in sql.quarrels(connection, known, contract):
            load = loads[order[load_id]]
            sql.place(connection, relocate(connection, load, contract, ids))
        sql.judge(connection)
        _drop(connection, contract)
    else:
        connection.execute("CREATE OR REPLACE TEMP TABLE judged (filename VARCHAR, row BIGINT, id VARCHAR, verdict VARCHAR)")
    target = folder / f"{contract.table}-{day}.parquet"
    connection.execute(f"COPY ({sql.chosen(contract, rows)}) TO {literal(target)} (FORMAT parquet)")
    yield _addition(connection, contract.table, target, day)


def _drop(connection: DuckDBPyConnection, contract: Contract) -> None:
    connection.execute(
        "INSERT INTO dropped SELECT load_id, verdict, count(*) FROM judged WHERE verdict = 'duplicate' GROUP BY ALL"
    )
    connection.execute(
        "INSERT INTO late_refusals SELECT load_id, line, $1, 'id', 'conflict' FROM judged WHERE verdict = 'conflict'",
        [contract.record],
    )


def _settle_jobs(
    connection: DuckDBPyConnection, lake: Snapshot, loads: Sequence[Load], folder: Path
) -> Iterable[Addition]:
    paths = [str(path) for load in loads for verdict in ("accepted", "waiting") for path in load.staged(JOB, verdict)]
    if not paths:
        return
    rows = sql.candidates(paths, {load.load_id: turn for turn, load in enumerate(loads)})
    everywhere = lake.paths(JOB.table)
    birthdays = "SELECT job_id, created_at FROM read_parquet({}, hive_partitioning=false)".format(literals(everywhere))
    if not everywhere:
        birthdays = "SELECT NULL::VARCHAR AS job_id, NULL::TIMESTAMPTZ AS created_at WHERE false"
    sql.settle_jobs(connection, rows, birthdays, sql.stored(JOB, everywhere, loads[0].source.name))
    connection.execute(
        "INSERT INTO dropped SELECT load_id, verdict, count(*) FROM settled WHERE verdict = 'duplicate' GROUP BY ALL"
    )
    connection.execute(
        """INSERT INTO late_refusals SELECT load_id, line, 'job', 'created_at', verdict FROM settled
        WHERE verdict IN ('unknown job', 'created_at changed')"""
    )
    names = ", ".join(JOB.stored)
    days = connection.execute("SELECT DISTINCT day::VARCHAR FROM settled WHERE verdict = 'accepted' ORDER BY 1").fetchall()
    for (day,) in days:
        target = folder / f"jobs-{day}.parquet"
        connection.execute(
            f"COPY (SELECT {names} FROM settled WHERE verdict = 'accepted' AND day = {literal(day)}) TO {literal(target)} (FORMAT parquet)"
        )
        yield _addition(connection, JOB.table, target, day)


def _addition(connection: DuckDBPyConnection, table: str, path: Path, day: str = "") -> Addition:
    rows, first, last = connection.execute(
        f"SELECT count(*), min(load_id), max(load_id) FROM read_parquet({literal(path)})"
    ).fetchall()[0]
    return Addition(table, str(path), name_file(day), path.stat().st_size, rows, day, first or "", last or "")


def _quarantine(connection: DuckDBPyConnection, loads: Sequence[Load], folder: Path) -> Iterable[Addition]:
    """The refused records of the loads: those of staging, and those that only settling could tell."""
    found = [load.folder / "refused.parquet" for load in loads if load.quarantined]
    for load in loads:
        count = connection.execute("SELECT count(*) FROM late_refusals WHERE load_id = $1", [load.load_id]).fetchall()[0][0]
        if count:
            target = folder / f"refused-{load.load_id}.parquet"
            connection.execute(
                f"""COPY (SELECT {", ".join(QUARANTINE)} FROM (
                    SELECT r.load_id, {literal(load.source.name)} AS source, {literal(load.uri)} AS uri, r.line, r.record, r.field, r.reason,
                           {kept_text()} AS raw
                    FROM (SELECT r.*, n.raw FROM (SELECT * FROM late_refusals WHERE load_id = {literal(load.load_id)}) r
                          LEFT JOIN ({numbered(connection, load)}) n ON n.line = r.line) r))
                TO {literal(target)} (FORMAT parquet)"""
            )
            found.append(target)
    if not found:
        return []
    target = folder / "quarantine.parquet"
    files = literals(str(path) for path in found)
    connection.execute(f"COPY (FROM read_parquet({files}) ORDER BY load_id, line) TO {literal(target)} (FORMAT parquet)")
    return [_addition(connection, "quarantine", target)]


def _released(connection: DuckDBPyConnection, loads: Sequence[Load], folder: Path) -> Addition:
    """Which lines of the quarantine the retries took: those that they did not refuse again."""
    selects = [
        f"""SELECT {literal(load.load_id)} AS load_id, of_load_id, of_line AS line FROM ({load.origin})
        WHERE line NOT IN (SELECT line FROM read_parquet({literal(load.folder / "refused.parquet")}))
          AND line NOT IN (SELECT line FROM late_refusals WHERE load_id = {literal(load.load_id)})"""
        for load in loads
    ]
    target = folder / "released.parquet"
    connection.execute(f"COPY ({' UNION ALL '.join(selects)}) TO {literal(target)} (FORMAT parquet)")
    return _addition(connection, "released", target)


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
                f"SELECT load_id, count(*), min({contract.day_of}), max({contract.day_of}) FROM read_parquet({literals(files)}) GROUP BY ALL"
            ).fetchall()
            for load_id, count, first, last in rows:
                before = accepted.get(load_id, (0, first, last))
                accepted[load_id] = (before[0] + count, min(before[1], first), max(before[2], last))
    rows = []
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
        }
        rows.append(values)
    return rows


def _ledger_file(connection: DuckDBPyConnection, ledger: Sequence[dict[str, object]], folder: Path) -> Addition:
    columns = ", ".join(f"{name} {kind}" for name, kind in LEDGER.items())
    connection.execute(f"CREATE OR REPLACE TEMP TABLE ledger ({columns})")
    marks = ", ".join("?" for _ in LEDGER)
    connection.executemany(f"INSERT INTO ledger VALUES ({marks})", [list(row.values()) for row in ledger])
    target = folder / "loads.parquet"
    connection.execute(f"COPY ledger TO {literal(target)} (FORMAT parquet)")
    return _addition(connection, "loads", target)

