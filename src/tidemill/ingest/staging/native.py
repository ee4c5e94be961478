"""Staging records whose fields carry the contracts' own names."""

from __future__ import annotations

import shutil
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidemill.engine import connection as engine_connection
from tidemill.engine.quoting import literal, literals
from tidemill.errors import SourceError
from tidemill.ingest.sql import columns as sql_columns
from tidemill.ingest.sql import json_objects
from tidemill.ingest.sql import lines as sql_lines
from tidemill.ingest.sql.validation import MACROS
from tidemill.ingest.staging import inputs
from tidemill.ingest.staging.write import copy, copy_part, keep_rejects
from tidemill.records import CONTRACTS, JOB
from tidemill.sources import splitting
from tidemill.sources.files import Layout

if TYPE_CHECKING:
    from collections.abc import Collection

    from duckdb import DuckDBPyConnection

    from tidemill.ingest.load import Load
    from tidemill.records import Contract

PARTS_AT_ONCE: Final = 2
"""One keeps the processors busy while the other begins or writes its last rows."""


def stage_native(connection: DuckDBPyConnection, load: Load) -> None:
    """Stage the records of a file whose fields carry the contracts' own names."""
    source = load.source
    if load.layout in {Layout.CSV, Layout.PARQUET}:
        _stage_columns(connection, load)
    else:
        record = source.record or _first_record(connection, load)
        if record not in CONTRACTS or not _stage_one(connection, load, CONTRACTS[record]):
            _stage_mixed(connection, load)
    refused = connection.execute("SELECT count(*) FROM refusals").fetchall()[0][0]
    load.records_read = load.rows + refused


def _first_record(connection: DuckDBPyConnection, load: Load) -> str | None:
    """What the first line says it is."""
    first = sql_lines.kinds(f"SELECT * FROM ({inputs.lines(connection, load, numbered=False)}) LIMIT 1")
    found = connection.execute(f"SELECT record FROM ({first})").fetchall()
    return found[0][0] if found else None


def _stage_one(connection: DuckDBPyConnection, load: Load, contract: Contract) -> bool:
    """Stage native lines as one record; False, with nothing staged, when some of them say that they are another.

    Only the columns that its first records have are looked for; it is staged again with all of them when a later
    record turns out to have one more.
    """
    for columns in (_present(connection, load, contract), None):
        load.rows = _copy_lines(connection, load, contract, columns)
        load.looked_over = True  # a line that numbering would drop has failed this
        missed = [name for name in contract.names if columns is not None and name not in columns]
        kept = [str(path) for verdict in ("accepted", "waiting") for path in load.staged(contract, verdict)]
        if not (missed and kept and connection.execute(json_objects.overlooked(kept, missed)).fetchall()):
            break
        shutil.rmtree(load.folder / contract.table)
    if load.source.record is None and _says_other(connection, load, contract):
        shutil.rmtree(load.folder / contract.table)
        load.rows = 0
        return False
    return True


def _present(connection: DuckDBPyConnection, load: Load, contract: Contract) -> set[str]:
    """The columns that the first records have, and those that each must have."""
    found = connection.execute(json_objects.keys(inputs.lines(connection, load, numbered=False))).fetchall()
    return {key for (key,) in found} | {column.name for column in contract.columns if column.required}


def _copy_lines(connection: DuckDBPyConnection, load: Load, contract: Contract, present: Collection[str] | None) -> int:
    """Write lines as one record: those of a large file day by day, if it is in the order of time."""
    lean = load.fast and contract is not JOB

    def given(path: Path | None = None) -> sql_columns.Given:
        return json_objects.native_objects(
            contract,
            inputs.lines(connection, load, numbered=not lean, path=path),
            timestamp=load.source.timestamp,
            present=present,
            says_record=load.source.record is None,
            lenient=load.lenient or not load.fast,
        )

    whole = Path(load.readable)
    plain = load.spooled or (load.portion and load.portion.compression == "none")
    found = splitting.find(whole) if lean and load.large and plain else []
    if not found:
        return copy(connection, load, contract, given())

    def staged(number: int, start: int, end: int) -> tuple[str, int, int]:
        part = load.folder / f"part-{number}"
        lines = splitting.cut(whole, start, end, part)
        with engine_connection.beside(connection) as own:
            own.execute(MACROS)
            rows = copy_part(own, load, contract, lambda: given(part), part)
        part.unlink()
        return part.name, rows, lines

    connection.execute("SET preserve_insertion_order = false")
    try:
        with ThreadPoolExecutor(min(PARTS_AT_ONCE, engine_connection.threads(connection))) as pool:
            done = list(pool.map(staged, range(len(found)), *zip(*found, strict=True)))
    finally:
        connection.execute("SET preserve_insertion_order = true")
    names, rows, counts = zip(*done, strict=True)
    first = load.portion.first_line if load.portion else 0
    load.parts_from = dict(zip(names, accumulate(counts[:-1], initial=first), strict=True))
    return sum(rows)


def _says_other(connection: DuckDBPyConnection, load: Load, contract: Contract) -> bool:
    files = [str(path) for path in load.staged(contract, "refused")]
    reason = literal(sql_columns.not_of(contract))
    rows = f"SELECT 1 FROM read_parquet({literals(files)}, hive_partitioning=false) WHERE source = {reason} LIMIT 1"
    return bool(files and connection.execute(rows).fetchall())


def _stage_columns(connection: DuckDBPyConnection, load: Load) -> None:
    """Stage the rows of a native CSV or Parquet file: all as one record, or each as what its column `record` says."""
    columns = inputs.columns(connection, load)
    kinds, present = columns.kinds, {load.source.record}
    if load.source.record is None:
        if "record" not in columns.types:
            message = f"{load.uri}: which record is it? Say --record job, event or metric (or `record` of the source)"
            raise SourceError(message)
        present = {row[0] for row in connection.execute(f"SELECT DISTINCT record FROM ({kinds})").fetchall()}
    for contract in (CONTRACTS[record] for record in CONTRACTS if record in present):
        mine = columns if load.source.record else columns.of(contract.record)
        load.rows += copy(
            connection, load, contract, sql_columns.native_columns(contract, mine, timestamp=load.source.timestamp)
        )
    _refuse_others(connection, kinds, present)
    keep_rejects(connection, load, load.source.record)


def _refuse_others(connection: DuckDBPyConnection, kinds: str, present: Collection[str | None]) -> None:
    """Refuse the records that do not say which one of the three they are, or are no records at all."""
    if not set(present) - CONTRACTS.keys():
        return
    connection.execute(
        f"""INSERT INTO refusals
        SELECT k.line, k.raw, NULL, CASE WHEN b.reason IS NULL THEN 'record' END,
               coalesce(b.reason, CASE WHEN k.record IS NULL THEN 'missing: say job, event or metric, or --record'
                                       ELSE 'not one of job, event, metric' END)
        FROM ({kinds}) k LEFT JOIN ({sql_lines.broken(f"SELECT line, raw FROM ({kinds})")}) b ON b.line = k.line
        WHERE k.record IS NULL OR k.record NOT IN {tuple(CONTRACTS)}"""
    )


def _stage_mixed(connection: DuckDBPyConnection, load: Load) -> None:
    kinds = sql_lines.kinds(inputs.lines(connection, load, numbered=True))
    present = {row[0] for row in connection.execute(f"SELECT DISTINCT record FROM ({kinds})").fetchall()}
    for contract in (CONTRACTS[record] for record in CONTRACTS if record in present):
        these = sql_lines.kinds(inputs.lines(connection, load, numbered=not load.fast or contract is JOB))
        mine = f"SELECT line, raw FROM ({these}) WHERE record = {literal(contract.record)}"
        load.rows += copy(
            connection, load, contract, json_objects.native_objects(contract, mine, timestamp=load.source.timestamp)
        )
    _refuse_others(connection, kinds, present)
