"""The lake's tables: their columns, and the files that hold their rows."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tidemill.records import CONTRACTS, LOADS, QUARANTINE, RELEASED

if TYPE_CHECKING:
    from collections.abc import Mapping

    import pyarrow as pa


DAY: Final = "day"


RECORD_TABLES: Final = tuple(contract.table for contract in CONTRACTS.values())


TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    **{contract.table: contract.stored for contract in CONTRACTS.values()},
    "quarantine": QUARANTINE,
    "released": RELEASED,
    "loads": LOADS,
}
"""Every table of the lake with its columns, in the order in which a commit writes them."""


@dataclass(frozen=True)
class DataFile:
    """One Parquet file of the lake: all its rows are of one UTC day; of one load, if the two ids are equal.

    Columns that are `absent` have no value in any row, and the file may leave them out. Its size and its time, in
    milliseconds, are those that the log says.
    """

    path: str
    rows: int
    size: int
    modified: int
    day: str = ""
    first_load: str = ""
    last_load: str = ""
    absent: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Addition:
    """A file that a commit adds: where it is staged, and where in which table it will lie."""

    table: str
    staged: str
    path: str
    size: int
    rows: int
    day: str
    first_load: str
    last_load: str
    absent: list[str]


def schema(table: str) -> pa.Schema:
    """The Arrow schema of a table, with the day of its partitions."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {
        "VARCHAR": pa.string(),
        "BIGINT": pa.int64(),
        "DOUBLE": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", tz="UTC"),
    }
    fields = {name: types[kind] for name, kind in TABLES[table].items()}
    return pa.schema(fields | {DAY: pa.date32()} if table in RECORD_TABLES else fields)


def name_file(digest: str, day: str = "") -> str:
    """A path that no other file of the table has: its name tells its content."""
    name = f"{digest[:40]}.parquet"
    return f"{DAY}={day}/{name}" if day else name


def statistics_of(table: str) -> str:
    """The columns of which the log may tell something: all, since any may be left out of a file."""
    return ",".join(TABLES[table])
