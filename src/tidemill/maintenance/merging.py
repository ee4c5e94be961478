"""Several files of a lake table written as one."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.engine.quoting import identifier, literal
from tidemill.errors import LakeError
from tidemill.home import file_digest
from tidemill.ingest import dedup
from tidemill.ingest.staging.write import PARQUET
from tidemill.lake import relations
from tidemill.lake import schema as lake_schema
from tidemill.lake import state as lake_state
from tidemill.records import BY_TABLE

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.lake.schema import Addition, DataFile


def merge(connection: DuckDBPyConnection, table: str, files: Sequence[DataFile], folder: Path) -> Addition:
    """Write the rows of some files of one table and day into one; what none of them has a value in is left out.

    Records are ordered by their instant, then by their key, so that a reader of some hours reads little of it.

    Raises:
        LakeError: the files do not hold what the lake's log says.
        DamagedError: one is not what was written; merged, nothing would tell it any more.
    """
    file_digest.glance(lake_state.stamps(files))
    file_digest.examine([file.path for file in files], set())
    absent = frozenset.intersection(*(file.absent for file in files))
    columns = {name: kind for name, kind in lake_schema.TABLES[table].items() if name not in absent}
    order = f" ORDER BY {BY_TABLE[table].day_of}, {BY_TABLE[table].names[0]}" if table in BY_TABLE else ""
    target = folder / "merged.parquet"
    names = ", ".join(map(identifier, columns))
    connection.execute(
        f"COPY (SELECT {names} FROM ({relations.stored(columns, files)}){order}) TO {literal(target)} ({PARQUET})"
    )
    (addition,) = dedup.additions(connection, table, {str(target): files[0].day}, absent)
    rows = sum(file.rows for file in files)
    if addition.rows != rows:
        day = f" of {files[0].day}" if files[0].day else ""
        raise LakeError(
            f"the files of {table}{day} hold {addition.rows} rows, but the lake's log says {rows}; they are left alone"
        )
    return addition
