"""The pipeline's own tables: they stand beside those of sql/tables in every snapshot, and no SQL file makes them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Mapping

FAMILY: Final = "pipeline"


@dataclass(frozen=True)
class Column:
    """A column's SQL type, and what it is."""

    type: str
    description: str


@dataclass(frozen=True)
class OwnTable:
    """One of the pipeline's own tables, written anew by each publish."""

    name: str
    description: str
    key: tuple[str, ...]
    columns: Mapping[str, Column]


BUILDS: Final = OwnTable(
    "builds",
    "How each partition of each table came about.",
    ("table_name", "partition_value"),
    {
        "table_name": Column("VARCHAR", "the table"),
        "partition_value": Column("VARCHAR", "the first day of a period, the hours of a window as 24h, or all"),
        "fingerprint": Column("VARCHAR", "the digest of what it was made of: it is built again when that differs"),
        "rows": Column("BIGINT", "how many rows it has"),
        "seconds": Column("DOUBLE", "its share of the time that building the table's stale partitions took"),
        "built_at": Column("TIMESTAMP WITH TIME ZONE", "when it was built"),
        "run_id": Column("VARCHAR", "the build that built it"),
        "despite": Column("VARCHAR", "the failed checks despite which it was published; NULL if there were none"),
    },
)

TABLE_COLUMNS: Final = OwnTable(
    "table_columns",
    "Every column of every published table, with its type and what it is.",
    ("table_name", "column_name"),
    {
        "table_name": Column("VARCHAR", "the table"),
        "column_name": Column("VARCHAR", "the column; a table's columns stand in their order"),
        "type": Column("VARCHAR", "its SQL type"),
        "description": Column("VARCHAR", "what it is; NULL of a column that the table's SQL does not have any more"),
    },
)

THRESHOLD_BREACHES: Final = OwnTable(
    "threshold_breaches",
    "Every row that breached a threshold of the settings: one for as long as it lasts, another when it comes back.",
    ("breached_at", "threshold", "table_name", "key", "window_hours"),
    {
        "breached_at": Column("TIMESTAMP WITH TIME ZONE", "the moment (as_of) of the build that saw it first"),
        "threshold": Column("VARCHAR", "the threshold's name"),
        "table_name": Column("VARCHAR", "the table that the row is of"),
        "key": Column("VARCHAR", "the row's key as a JSON object, without window_hours and as_of"),
        "value_found": Column("DOUBLE", "what the column was then"),
        "limit_value": Column("DOUBLE", "the threshold's limit"),
        "window_hours": Column("BIGINT", "the hours of the window that it was found in; NULL if in none"),
    },
)

OWN: Final = {table.name: table for table in (BUILDS, TABLE_COLUMNS, THRESHOLD_BREACHES)}
