"""Writing checked records beside the lake, by verdict and day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.engine.quoting import identifier, literal, literals
from tidemill.ingest.sql import columns as sql_columns
from tidemill.ingest.sql import lines as sql_lines
from tidemill.ingest.sql import validation
from tidemill.ingest.staging.bundles import told_apart
from tidemill.records import JOB
from tidemill.sources.files import Layout

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.ingest.load import Load
    from tidemill.records import Contract

ROWS_A_PARTITION: Final = 49_152
PARQUET: Final = "FORMAT parquet, PARQUET_VERSION v2"
MALFORMED: Final = "Malformed JSON"
"""How the engine says that a text is no JSON."""


def tune(connection: DuckDBPyConnection) -> None:
    """Keep what the writer of partitions holds in memory small: so many rows a partition and thread.

    And tell lines apart by a sorted join: of how many lines a file has the engine knows nothing, and takes few.
    """
    connection.execute(f"SET partitioned_write_flush_threshold = {ROWS_A_PARTITION}; SET asof_loop_join_threshold = 0")


def copy(connection: DuckDBPyConnection, load: Load, contract: Contract, given: sql_columns.Given) -> int:
    """Type, check and write one record kind: folders verdict=accepted, refused and waiting; returns the rows."""
    verdict = "CASE WHEN refusal IS NOT NULL THEN 'refused' WHEN day IS NULL THEN 'waiting' ELSE 'accepted' END"
    line = "" if _lean(load, contract) else ", line"
    by = "verdict, day" if load.large else "verdict"
    load.absent[contract.table] = _absent(contract, given)
    checked = _checked(load, contract, given)
    if load.members:  # a refused one is looked up by its line of the bundle
        checked = told_apart(checked, "CASE WHEN s.refusal IS NULL THEN s.line - m.start ELSE s.line END")
    found = connection.execute(
        f"COPY (SELECT {verdict} AS verdict, day, {_stored(load, contract, given)}{line} "
        f"FROM ({checked})) TO {literal(load.folder / contract.table)} "
        f"({PARQUET}, PARTITION_BY ({by}), OVERWRITE_OR_IGNORE)"
    ).fetchall()
    return int(found[0][0])


def copy_part(
    connection: DuckDBPyConnection, load: Load, contract: Contract, given: Callable[[], sql_columns.Given], part: Path
) -> int:
    """The same for a part of a load, whose records seem to be good and of one day: one file, faster than by day.

    If they are not, here or in another part, they are told apart, and the lines of the refused ones are counted.
    """
    if not load.lenient:
        rows = _copy_flat(connection, load, contract, given(), part.name)
        if rows is not None:
            return rows
        load.lenient = True  # the other parts may well be like that
    taken = given()
    load.absent[contract.table] = _absent(contract, taken)
    found = connection.execute(
        f"COPY (SELECT CASE WHEN refusal IS NULL THEN 'accepted' ELSE 'refused' END AS verdict, day, "
        f"{_stored(load, contract, taken)} FROM ({_checked(load, contract, taken)})) "
        f"TO {literal(load.folder / contract.table)} "
        f"({PARQUET}, PARTITION_BY (verdict, day), OVERWRITE_OR_IGNORE, FILENAME_PATTERN '{part.name}-{{i}}')"
    ).fetchall()
    refused = [str(path) for path in load.staged(contract, "refused") if path.name.startswith(f"{part.name}-")]
    if refused:
        numbered = load.numbered(contract) / part.name
        numbered.parent.mkdir(exist_ok=True)
        told = f"SELECT DISTINCT attributes AS raw, name, source FROM read_parquet({literals(refused)})"
        connection.execute(
            f"COPY (SELECT * FROM ({sql_lines.lines(str(part), long=load.spooled)}) JOIN ({told}) USING (raw)) "
            f"TO {literal(numbered)} ({PARQUET})"
        )
    return int(found[0][0])


def _copy_flat(
    connection: DuckDBPyConnection, load: Load, contract: Contract, given: sql_columns.Given, name: str
) -> int | None:
    """Write a part as one file; None, with nothing written, when a record is refused or of another day."""
    load.absent[contract.table] = _absent(contract, given)
    day = f"CAST(make_timestamp(epoch_us({contract.day_of})) AS DATE)"
    flat = load.folder / contract.table / f"{name}.parquet"
    flat.parent.mkdir(exist_ok=True)
    stored = _stored(load, contract, given, load_id="NULL")
    try:
        connection.execute(
            f"COPY (SELECT {stored} FROM ({_checked(load, contract, given)})) TO {literal(flat)} ({PARQUET})"
        )
    except duckdb.InvalidInputException as error:
        flat.unlink(missing_ok=True)
        if MALFORMED in str(error):
            return None
        raise
    rows, good, first, last = connection.execute(
        f"SELECT count(*), count(load_id), min({day})::VARCHAR, max({day})::VARCHAR FROM read_parquet({literal(flat)})"
    ).fetchall()[0]
    if rows != good or first != last:
        flat.unlink()
        return None
    folder = load.folder / contract.table / "verdict=accepted" / f"day={first}"
    folder.mkdir(parents=True, exist_ok=True)
    flat.rename(folder / flat.name)
    return int(rows)


def _checked(load: Load, contract: Contract, given: sql_columns.Given) -> str:
    source = load.source
    return validation.checked(
        contract,
        given.select,
        source=source.name,
        load_id=load.load_id,
        timezone=source.timezone,
        id_prefix=source.id_prefix,
        parsed=given.parsed,
        absent=given.absent,
    )


def _lean(load: Load, contract: Contract) -> bool:
    return load.fast and contract is not JOB


def _absent(contract: Contract, given: sql_columns.Given) -> frozenset[str]:
    """The columns that no staged record has a value in."""
    return given.absent - validation.always(contract)


def _stored(load: Load, contract: Contract, given: sql_columns.Given, **of_refused: str) -> str:
    """What is written of a record; of a refused one field and reason take the place of columns."""
    absent = _absent(contract, given)
    text = {"attributes": "raw"} if _lean(load, contract) else {}
    refused = {"name": "refusal.field", "source": "refusal.reason"} | text | of_refused
    return ", ".join(
        f"CASE WHEN refusal IS NULL THEN {identifier(name)} ELSE {refused[name]} END AS {identifier(name)}"
        if name in refused
        else identifier(name)
        for name in contract.stored
        if name not in absent
    )


def keep_rejects(connection: DuckDBPyConnection, load: Load, record: str | None) -> None:
    """Keep the rows that the CSV reader could not split into columns as refusals."""
    if load.layout is Layout.CSV:
        values = "SELECT line, raw, $1, NULL, reason"
        connection.execute(f"INSERT INTO refusals {values} FROM ({sql_columns.rejects()})", [record])
