"""Writing checked records beside the lake, by verdict and day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidemill.engines import contract as contract_sql
from tidemill.engines import raw
from tidemill.engines.quoting import identifier, literal
from tidemill.records import JOB
from tidemill.sources.files import (
    Layout,
    one_day,
)

if TYPE_CHECKING:
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.engines.load import Load
    from tidemill.records import Contract

ROWS_A_PARTITION: Final = 49_152


def tune(connection: DuckDBPyConnection) -> None:
    """Keep what the writer of partitions holds in memory small: so many rows a partition and thread."""
    connection.execute(f"SET partitioned_write_flush_threshold = {ROWS_A_PARTITION}")


def copy(connection: DuckDBPyConnection, load: Load, contract: Contract, given: str) -> int:
    """Type, check and write one record kind: folders verdict=accepted, refused and waiting; returns the rows."""
    source = load.source
    select = contract_sql.checked(
        contract, given, source=source.name, load_id=load.load_id, timezone=source.timezone, id_prefix=source.id_prefix
    )
    lean = load.fast and contract is not JOB
    refused = {"name": "refusal.field", "source": "refusal.reason"} | ({"attributes": "raw"} if lean else {})
    columns = ", ".join(
        f"CASE WHEN refusal IS NULL THEN {identifier(name)} ELSE {refused[name]} END AS {identifier(name)}"
        if name in refused
        else identifier(name)
        for name in contract.stored
    )
    target = load.folder / contract.table
    if lean and load.large and load.portion and one_day(load.portion):
        return _copy_one_day(
            connection, contract, f"SELECT {columns}, day, refusal FROM ({select})", target, load.load_id
        )
    verdict = "CASE WHEN refusal IS NOT NULL THEN 'refused' WHEN day IS NULL THEN 'waiting' ELSE 'accepted' END"
    line = "" if lean else ", line"
    found = connection.execute(
        f"COPY (SELECT {verdict} AS verdict, day, {columns}{line} FROM ({select})) TO {literal(target)} "
        f"(FORMAT parquet, PARTITION_BY ({'verdict, day' if load.large else 'verdict'}), OVERWRITE_OR_IGNORE)"
    ).fetchall()
    return int(found[0][0])


def _copy_one_day(connection: DuckDBPyConnection, contract: Contract, select: str, target: Path, load_id: str) -> int:
    """Write records that seem to be of one day as one file, a third faster than by day; if they are not, split it.

    A refused record has no load_id in that file.
    """
    target.mkdir()
    flat = target / "flat.parquet"
    columns = ", ".join(
        "CASE WHEN refusal IS NULL THEN load_id END AS load_id" if name == "load_id" else identifier(name)
        for name in contract.stored
    )
    connection.execute("SET preserve_insertion_order = false")
    try:
        connection.execute(f"COPY (SELECT {columns} FROM ({select})) TO {literal(flat)} (FORMAT parquet)")
    finally:
        connection.execute("SET preserve_insertion_order = true")
    day = f"CAST(make_timestamp(epoch_us({contract.day_of})) AS DATE)"
    rows, good, first, last = connection.execute(
        f"SELECT count(*), count(load_id), min({day})::VARCHAR, max({day})::VARCHAR FROM read_parquet({literal(flat)})"
    ).fetchall()[0]
    if rows == good and first == last:
        folder = target / "verdict=accepted" / f"day={first}"
        folder.mkdir(parents=True)
        flat.rename(folder / flat.name)
    else:
        verdict = "CASE WHEN load_id IS NULL THEN 'refused' ELSE 'accepted' END AS verdict"
        good_day = f"CASE WHEN load_id IS NOT NULL THEN {day} END AS day"
        connection.execute(
            f"COPY (SELECT {verdict}, {good_day}, * REPLACE ({literal(load_id)} AS load_id) "
            f"FROM read_parquet({literal(flat)})) TO {literal(target)} "
            "(FORMAT parquet, PARTITION_BY (verdict, day), OVERWRITE_OR_IGNORE)"
        )
        flat.unlink()
    return int(rows)


def keep_rejects(connection: DuckDBPyConnection, load: Load, record: str | None) -> None:
    """Keep the rows that the CSV reader could not split into columns as refusals."""
    if load.layout is Layout.CSV:
        values = "SELECT line, raw, $1, NULL, reason"
        connection.execute(f"INSERT INTO refusals {values} FROM ({raw.rejects()})", [record])
