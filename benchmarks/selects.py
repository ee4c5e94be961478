"""Our tables' selects as scripts for a bare session, and as models of the peers that take SQL: the same text."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

from benchmarks import homes
from tidemill.catalog import prices
from tidemill.catalog import tables as catalog_tables
from tidemill.config import duration
from tidemill.config.settings import Settings
from tidemill.engine import connection, relations
from tidemill.lake import relations as lake_relations

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tidemill.catalog.tables import Table

ROLLUPS: Final = (
    "activity_daily",
    "activity_hourly",
    "agents_daily",
    "event_types_daily",
    "session_activity_daily",
    "tools_daily",
)
"""What every peer can express: exact percentiles, distinct counts, sums, and one table of many groups."""
_MACRO: Final = re.compile(r"CREATE OR REPLACE TEMP MACRO (\w+)")


def period_tables() -> list[Table]:
    """Every table of days, weeks or months, in the order in which they are built."""
    return [table for table in catalog_tables.tables().values() if table.partition in duration.PERIODS]


def bare(home: Path, tables: Iterable[Table], target: Path) -> str:
    """The script of a session that binds the records once and writes each table's select, and does nothing else."""
    kinds = {kind: f"SELECT * FROM {files(home, kind)}" for kind in catalog_tables.RECORD_RELATIONS}
    kinds["jobs"] = lake_relations.job_states(kinds["jobs"])
    kinds[catalog_tables.PRICES] = relations.nothing(prices.COLUMNS)
    views = [f"CREATE VIEW {name} AS {select}" for name, select in kinds.items()]
    copies = [f"COPY ({plain(table)}\n) TO '{target / table.name}.parquet' (FORMAT parquet)" for table in tables]
    return ";\n".join([connection.macros("UTC").rstrip(" ;\n"), *views, *copies])


def files(home: Path, kind: str, *, hive: bool = False) -> str:
    """The records of a kind as the relation of the lake's whole Parquet files, with the column day or without."""
    return f"read_parquet('{home}/{homes.WHOLE}/{kind}/*/*.parquet', hive_partitioning = {str(hive).lower()})"


def plain(table: Table) -> str:
    """A table's select with its parameters' values in it."""
    return re.sub(r"\$(\w+)", lambda name: str(Settings().parameters[name[1]]), table.select)


def macros(names: Sequence[str] = ROLLUPS) -> str:
    """The macros that some tables' selects call, and those that these call, to be kept in a database."""
    known = {found[1]: text for text in connection.macros("UTC").split(";\n") if (found := _MACRO.search(text))}
    texts = [catalog_tables.table(name).select for name in names]
    needed: set[str] = set()
    while texts:
        called = {word for word in re.findall(r"\w+", texts.pop()) if word in known} - needed
        needed |= called
        texts += [known[name] for name in called]
    made = [known[name].replace(" TEMP ", " ").strip() for name in known if name in needed]
    return ";\n".join([*made, ""])
