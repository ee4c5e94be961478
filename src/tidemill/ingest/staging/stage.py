"""One load, read and checked beside the lake: records as Parquet by verdict and day, refusals with their text."""

from __future__ import annotations

import shutil
from dataclasses import replace
from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.engine import connection as engine_connection
from tidemill.engine.quoting import literal, literals
from tidemill.home import disk_errors
from tidemill.ingest.sql import columns as sql_columns
from tidemill.ingest.sql import dedup, json_objects, validation
from tidemill.ingest.sql import lines as sql_lines
from tidemill.ingest.staging import bundles, inputs, unusable
from tidemill.ingest.staging import write as staging_write
from tidemill.ingest.staging.mapped import stage_format
from tidemill.ingest.staging.native import stage_native
from tidemill.records import CONTRACTS, EVENT, JOB, METRIC, QUARANTINE
from tidemill.sources.discovery import is_plain
from tidemill.sources.files import MAX_RAW_BYTES, Layout
from tidemill.sources.sanitizing import RETURN, check_whole, has_blank_rows, spool, spool_rows

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.ingest.load import Load
    from tidemill.records import Contract
    from tidemill.sources.files import Portion

SHARED_RAW_BYTES: Final = 65_536
"""A longer text that several refused records share stands with the first of them only."""


def stage(connection: DuckDBPyConnection, load: Load, *, alone: bool = True) -> None:
    """Read and check a load; afterwards its folder holds all that settling needs.

    Where memory does not suffice for several threads, it is read with one, if nothing else goes on: it is `alone`.
    """
    threads = engine_connection.threads(connection)
    try:
        _stage_carefully(connection, load, threads if alone else 1)
    finally:
        if alone and engine_connection.threads(connection) != threads:
            connection.execute(f"SET threads = {threads}")


def _stage_carefully(connection: DuckDBPyConnection, load: Load, threads: int) -> None:
    if load.portion:
        _look_at(load, load.portion)
    if load.members:
        bundles.remember(connection, load)
    while True:
        _make_readable(load)
        try:
            _stage(connection, load)
        except duckdb.Error as error:
            if isinstance(error, duckdb.OutOfMemoryException) and threads > 1:
                threads = 1
                connection.execute("SET threads = 1")
            elif not _more_careful(load, error):
                if not unusable.is_of_source(load, error):
                    disk_errors.check(error, load.folder)
                raise unusable.fault(load, error) from error
            shutil.rmtree(load.folder)
        else:
            break
    if load.members:
        bundles.count(connection, load)


def _make_readable(load: Load) -> None:
    load.folder.mkdir(parents=True)
    if load.spooled:
        _spool(load)
    elif load.portion and not is_plain(load.portion.path):
        _name_plainly(load, load.portion.path)


def _look_at(load: Load, portion: Portion) -> None:
    """Tell what a file is before the engine reads it."""
    if portion.compression != "none":
        check_whole(portion, load.most_bytes)
    if portion.layout is Layout.CSV and has_blank_rows(portion):
        load.spooled = True  # else rows that are refused would have other lines than they have


def _more_careful(load: Load, error: duckdb.Error) -> bool:
    """Whether there is a slower way to read a load, which takes more than the one that failed; it is taken next."""
    if not isinstance(error, (duckdb.InvalidInputException, duckdb.NotImplementedException)):
        return False
    if not load.lenient and staging_write.MALFORMED in str(error):
        load.lenient = True
        return True
    if not load.lenient and load.spooled and load.layout is Layout.CSV:
        load.lenient = True  # one carriage return outside of quotes, and the engine reads nothing of the file
        return True
    if not load.spooled and load.portion and load.layout in {Layout.LINES, Layout.CSV}:
        load.spooled = True
        return True
    return False


def _spool(load: Load) -> None:
    if load.portion is None:
        return
    target = load.folder / "lines"
    if load.layout is Layout.CSV:
        spool_rows(
            load.portion, target, load.bad_lines, load.blanks, sql_columns.MAX_LINE_BYTES, returns=not load.lenient
        )
    else:
        spool(load.portion, target, load.bad_lines, sql_columns.MAX_LINE_BYTES, sql_lines.DELIMITER.encode())
    load.readable = str(target)


def _name_plainly(load: Load, path: Path) -> None:
    """Let the engine read a file by another name, as its own stands for other files, or is not UTF-8."""
    link = load.folder / "input"
    link.symlink_to(path)
    load.readable = str(link)


def read_alone(load: Load) -> None:
    """Make a load that a bundle carried readable by itself: what the bundle could not be read without, it cannot."""
    if load.carrier and load.carrier.spooled and not load.spooled:
        load.folder, load.spooled = load.carrier.folder / load.load_id, True
        load.folder.mkdir()
        _spool(load)


def _stage(connection: DuckDBPyConnection, load: Load) -> None:
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE refusals "
        "(line BIGINT, raw VARCHAR, record VARCHAR, field VARCHAR, reason VARCHAR)"
    )
    connection.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
    load.rows = 0
    if load.bad_lines.exists():
        bad = sql_lines.bad_lines(str(load.bad_lines))
        connection.execute(
            f"INSERT INTO refusals SELECT line, raw, $1, NULL, reason FROM ({bad})", [load.source.record]
        )
    if load.format.native:
        stage_native(connection, load)
    else:
        stage_format(connection, load)
    if load.layout is Layout.CSV and _found_rejects(connection, load):
        _stage(connection, load)
    else:
        _write_refusals(connection, load)


def _found_rejects(connection: DuckDBPyConnection, load: Load) -> bool:
    """Whether rows of a CSV file turned out to be none, which count as lines: it is staged again with that known."""
    if load.rejected.exists():
        return False
    copied = connection.execute(
        f"COPY ({sql_columns.rejected(load.blanks)}) TO {literal(load.rejected)} (FORMAT parquet)"
    ).fetchall()
    if not copied[0][0]:
        load.rejected.unlink()
        return False
    for contract in CONTRACTS.values():
        shutil.rmtree(load.folder / contract.table, ignore_errors=True)
    return True


def _write_refusals(connection: DuckDBPyConnection, load: Load) -> None:
    """Gather the refused records with line and text into one file with the columns of the quarantine."""
    for contract in CONTRACTS.values():
        record = literal(contract.record)
        if load.source.record is None:  # what is no record at all, be it beside others, is none of that kind
            record = f"CASE WHEN name IS NOT NULL THEN {record} END"
        if load.numbered(contract).exists():  # it was staged in parts, each of which has counted its own
            for part in load.numbered(contract).iterdir():
                line = f"line + {load.parts_from[part.name]}"
                rows = f"SELECT {line}, raw, {record}, name, source FROM read_parquet({literal(part)})"
                connection.execute(f"INSERT INTO refusals {rows}")
            continue
        files = [str(path) for path in load.staged(contract, "refused")]
        if not files:
            continue
        staged = f"SELECT * FROM read_parquet({literals(files)}, hive_partitioning=false)"
        lean = load.fast and contract is not JOB
        match = (
            f"(SELECT DISTINCT attributes AS raw, name, source FROM ({staged})) s USING (raw)"
            if lean
            else f"({staged}) s USING (line)"
        )
        connection.execute(
            f"""INSERT INTO refusals
            SELECT n.line, n.raw, {record}, s.name, s.source
            FROM ({inputs.numbered(connection, load)}) n JOIN {match}"""
        )
    if load.layout is Layout.CSV and load.spooled:
        _tell_apart(connection, load)
    names = ", ".join(QUARANTINE)
    refused = f"""SELECT {literal(load.load_id)} AS load_id, {literal(load.source.name)} AS source,
        {literal(load.uri)} AS uri, * REPLACE ({kept_text()} AS raw) FROM refusals"""
    if load.members:
        refused = bundles.told_apart(refused, uri="m.uri")
    load.quarantined = int(
        connection.execute(
            f"""COPY (
            SELECT {names} FROM ({refused}) ORDER BY load_id, line)
            TO {literal(load.refused)} (FORMAT parquet)"""
        ).fetchall()[0][0]
    )


def _tell_apart(connection: DuckDBPyConnection, load: Load) -> None:
    """Let no row of a CSV file that could not be read share its line with another: a retry takes rows by their lines.

    Where quotes are broken, nobody can say which row a line is: what would share one is counted on after the last.
    """
    reasons = (
        f"SELECT unnest({literals(['not UTF-8', 'too long', RETURN])}) UNION "
        "SELECT lower(error_type::VARCHAR) FROM reject_errors"
    )
    told = f"SELECT rowid AS place, line, field IS NULL AND reason IN ({reasons}) AS unread FROM refusals"
    kept = [str(path) for path in load.folder.glob("*/verdict=[aw]*/**/*.parquet")]
    if kept:
        told += f" UNION ALL SELECT NULL, line, false FROM read_parquet({literals(kept)}, union_by_name=true)"
    nth = f"SELECT place, unread, row_number() OVER (PARTITION BY line ORDER BY unread, place) AS nth FROM ({told})"
    connection.execute(
        f"""UPDATE refusals SET line = t.line FROM (
            SELECT place, {load.rows} + (SELECT max(line) FROM refusals) + row_number() OVER (ORDER BY place) AS line
            FROM ({nth}) WHERE nth > 1 AND unread) t
        WHERE refusals.rowid = t.place"""
    )


def kept_text() -> str:
    """How much of a refused text is kept: a MiB, and of a long one that several records share only the first."""
    return (
        f"CASE WHEN strlen(raw) > {SHARED_RAW_BYTES} AND row_number() OVER (PARTITION BY line) > 1 THEN NULL "
        f"WHEN strlen(raw) > {MAX_RAW_BYTES} AND NOT ends_with(raw, ' bytes)') "
        f"THEN left(raw, {MAX_RAW_BYTES}) || '… (' || strlen(raw) || ' bytes)' ELSE raw END"
    )


def relocate(connection: DuckDBPyConnection, load: Load, contract: Contract, ids: Sequence[str]) -> str:
    """The select of (load_id, id, content, line) over the records of some ids, read again for their lines."""
    own_id = f"CASE WHEN json_valid(raw) THEN {json_objects.text_of('id')} END"
    read = _read_again(connection, load, contract, f"{own_id} IN (SELECT unnest({literals(ids)}))")
    return f"SELECT load_id, day, id, {dedup.content(contract)} AS content, line FROM ({read})"


def lines_of(connection: DuckDBPyConnection, load: Load, contract: Contract, condition: str) -> str:
    """The select of the lines of the records that meet a condition, read again for them."""
    return f"SELECT line FROM ({_read_again(connection, load, contract)}) WHERE {condition}"


def _read_again(connection: DuckDBPyConnection, load: Load, contract: Contract, where: str = "true") -> str:
    """The select of the good records of some native lines, with their lines."""
    mine = f"SELECT line, raw FROM ({inputs.numbered(connection, load)}) WHERE {where}"
    given = json_objects.native_objects(contract, mine, timestamp=load.source.timestamp)
    select = validation.checked(
        contract,
        given.select,
        source=load.source.name,
        load_id=load.load_id,
        timezone=load.source.timezone,
        id_prefix=load.source.id_prefix,
        parsed=given.parsed,
        absent=given.absent,
    )
    return f"SELECT * FROM ({select}) WHERE refusal IS NULL"


def stage_head(connection: DuckDBPyConnection, load: Load, *, alone: bool = True) -> None:
    """Count the head's records without an id that the tail repeats, so that counting goes on over both."""
    tail = load.portion
    files = [str(path) for contract in (EVENT, METRIC) for path in load.staged(contract, "accepted")]
    if tail is None or tail.start == 0 or not files:
        return
    derived = f"SELECT id FROM read_parquet({literals(files)}, union_by_name=true) WHERE starts_with(id, '#')"
    if not connection.execute(f"{derived} LIMIT 1").fetchall():
        return
    head = replace(
        load,
        portion=replace(tail, start=0, end=tail.start, first_line=0),
        folder=load.folder / "head",
        spooled=True,
        types={},
    )
    stage(connection, head, alone=alone)
    files = [str(path) for contract in (EVENT, METRIC) for path in head.staged(contract, "accepted")]
    if files:
        connection.execute(
            f"""COPY (SELECT {literal(load.load_id)} AS load_id, id, count(*) AS copies
            FROM read_parquet({literals(files)}, union_by_name=true) WHERE id IN ({derived}) GROUP BY id)
            TO {literal(load.heads)} (FORMAT parquet)"""
        )
    shutil.rmtree(head.folder)
