"""The dictionary of tables: what each is, its key, how it is built, and its columns."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemill.catalog import column_types, system_tables
from tidemill.catalog import tables as catalog_tables

if TYPE_CHECKING:
    from collections.abc import Mapping


@dataclass(frozen=True)
class Entry:
    """One table in the dictionary."""

    name: str
    family: str
    description: str
    grain: str
    key: tuple[str, ...]
    partition: str
    reads: tuple[str, ...]
    columns: Mapping[str, system_tables.Column]


def entry(name: str) -> Entry:
    """The entry of one table; UsageError names the nearest to one that is not there."""
    if name in system_tables.OWN:
        return _of_own(system_tables.OWN[name])
    table = catalog_tables.table(name)
    return _of_table(
        table, column_types.types(catalog_tables.table(other) for other in catalog_tables.with_inputs([name]))[name]
    )


def entries() -> list[Entry]:
    """Every table, by family and name; the pipeline's own last."""
    types = column_types.types(catalog_tables.tables().values())
    found = [_of_table(table, types[name]) for name, table in catalog_tables.tables().items()]
    return sorted(found, key=lambda one: (one.family, one.name)) + [
        _of_own(table) for table in system_tables.OWN.values()
    ]


def _of_table(table: catalog_tables.Table, types: Mapping[str, str]) -> Entry:
    how = {"window": f"window: {', '.join(map(_hours, table.windows))}", "none": "whole"}
    return Entry(
        name=table.name,
        family=table.family,
        description=table.description,
        grain=table.grain,
        key=table.key,
        partition=how.get(table.partition) or _period(table),
        reads=tuple(sorted(table.reads)),
        columns={name: system_tables.Column(kind, table.comments.get(name, "")) for name, kind in types.items()},
    )


def _of_own(table: system_tables.OwnTable) -> Entry:
    grain = ", ".join(table.key)
    return Entry(
        table.name, system_tables.FAMILY, table.description, grain, table.key, "at each publish", (), table.columns
    )


def _period(table: catalog_tables.Table) -> str:
    same = table.partition == table.partition_column
    return table.partition if same else f"{table.partition} of {table.partition_column}"


def _hours(hours: int) -> str:
    return f"{hours // 24}d" if hours % 24 == 0 and hours > 24 else f"{hours}h"  # noqa: PLR2004 - a day is 24h
