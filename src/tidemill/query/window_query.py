"""A table over a window of one's own: its select, bound to the records of the lake instead of a partition's.

Window tables, and period tables of records alone, take exactly the window, and filters look at what records carry.
What is built from other tables takes whole days of the reporting timezone, and is filtered by its own columns.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, date, datetime
from types import MappingProxyType
from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.catalog import prices
from tidemill.catalog import tables as catalog_tables
from tidemill.engine import calendar, export, percentiles, relations, session
from tidemill.engine import connection as engine_connection
from tidemill.errors import TableError, UsageError
from tidemill.home import file_digest
from tidemill.lake import commits
from tidemill.lake import schema as lake_schema
from tidemill.lake import state as lake_state
from tidemill.query import filters as query_filters
from tidemill.query import window as query_window
from tidemill.records import BY_TABLE

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    import pyarrow as pa
    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from tidemill.catalog.tables import Table
    from tidemill.config.settings import Settings
    from tidemill.home.home import Home
    from tidemill.lake.commits import Snapshot
    from tidemill.lake.schema import DataFile
    from tidemill.query.window import Asked, Window

    Filters = Mapping[str, object]

_FIRST_DAY: Final = "1970-01-01"


@dataclass(frozen=True)
class Shown:
    """A table's rows over a window, in its order, and what a reader must know of them."""

    rows: pa.Table
    notes: tuple[str, ...]


@dataclass(frozen=True)
class _View:
    """One table over one window, on a connection of its own."""

    home: Home
    settings: Settings
    table: Table
    lake: Snapshot
    connection: DuckDBPyConnection
    window: Window
    published: Mapping[str, Sequence[str]]
    own_parameters: Mapping[str, object]

    @property
    def others(self) -> list[Table]:
        """The tables that it reads otherwise than published, and those that they read, each after those it reads."""
        names = sorted(self.table.reads & catalog_tables.tables().keys() - self.published.keys())
        return [catalog_tables.table(name) for name in catalog_tables.with_inputs(names)] if names else []

    @property
    def parameters(self) -> dict[str, object]:
        """What selects may name."""
        window = {"window_hours": self.window.hours, "as_of": self.window.as_of}
        return {**self.settings.parameters, **window, **self.own_parameters}


def show(home: Home, settings: Settings, name: str, asked: Asked, where: Filters | None = None) -> Shown:
    """A table over the window that is asked for, of the records whose columns are as `where` says.

    Raises:
        UsageError: there is no such table or filter, or the window is none.
        TableError: its select cannot be run.
    """
    if catalog_tables.known(name) not in catalog_tables.tables():
        raise UsageError(f"{name} is about the pipeline itself and has no window; show it without one")
    with over(home, settings, catalog_tables.table(name), asked, where or {}, records=commits.current(home)) as (
        rows,
        notes,
    ):
        return Shown(export.arrow(rows), tuple(notes))


@contextmanager
def over(
    home: Home,
    settings: Settings,
    table: Table,
    asked: Asked,
    filters: Filters,
    *,
    records: Snapshot,
    beside: DuckDBPyConnection | None = None,
    published: Mapping[str, Sequence[str]] = MappingProxyType({}),
    parameters: Mapping[str, object] = MappingProxyType({}),
) -> Iterator[tuple[DuckDBPyRelation, list[str]]]:
    """A table over a window of some records, for as long as its connection is open, and what a reader must know.

    A connection `beside` which it works shares its memory with it. Of tables that are `published` it reads those
    files, all of them; `parameters` are those that its select names beside the settings'.

    Raises:
        UsageError: there is no such filter, or the window is none.
        TableError: its select cannot be run.
    """
    exact = _exact(table)
    if exact:
        _check_filters(table, filters)
    with _connect(home, settings, beside) as connection:
        window = query_window.window(connection, records, asked)
        view = _View(home, settings, table, records, connection, window, published, parameters)
        try:
            days, bound = _bind_window(view, filters) if exact else _bind_days(view, filters)
            notes = [*_edges(window, records), *bound]
            yield _run(view, _select(view, table, days), {} if exact else filters), notes
        except duckdb.Error as error:
            raise TableError(f"table {table.name} cannot be shown: {str(error).splitlines()[0]}") from error


def _connect(home: Home, settings: Settings, beside: DuckDBPyConnection | None) -> DuckDBPyConnection:
    if beside:
        return engine_connection.beside(beside, settings.timezone)
    return session.connect(home, settings, timezone=settings.timezone)


def _exact(table: Table) -> bool:
    """Whether it takes exactly the window, and filters of what records carry."""
    return table.partition == "window" or bool(table.records and not table.reads & catalog_tables.tables().keys())


def _check_filters(table: Table, filters: Filters) -> None:
    known = set.intersection(*(set(BY_TABLE[kind].filters) for kind in table.records)) if table.records else set()
    for name in filters:
        if name not in known:
            raise UsageError.unknown("filter", name, known)


def _run(view: _View, select: str, filters: Filters) -> DuckDBPyRelation:
    relation = engine_connection.run(view.connection, select, view.parameters)
    return query_filters.ordered(query_filters.equal(relation, filters), view.table.sort)


def _edges(window: Window, records: Snapshot) -> list[str]:
    """What a reader must know of where a window lies."""
    if window.first > datetime.now(UTC):
        return ["the window begins in the future"]
    newest = max((file.day for kind in lake_schema.RECORD_TABLES for file in records.of(kind)), default="")
    if newest < str(window.first.date()):
        held = f"the newest is of {newest}" if newest else "the lake holds none"
        return [f"no record is in the window: {held}"]
    if str(window.first.date()) < records.pruned:
        return [f"records of before {records.pruned} were pruned: the window begins earlier, and lacks them"]
    return []


def _bind_window(view: _View, filters: Filters) -> tuple[list[str], list[str]]:
    """Bind exactly the window's records, and other tables as they were known at the end of its last day.

    Returns the UTC days that were bound, and what a reader must know.
    """
    last = calendar.reporting_day(view.window.last, view.settings.timezone)
    for other in view.others:
        _bind_known(view, other, last, {name: value for name, value in filters.items() if name in other.key})
    for name, paths in view.published.items():
        relations.bind(view.connection, name, relations.published(paths))
    window, stretch = view.window, view.window.stretched(view.table.before)
    days = stretch.lake_days(file.day for kind in lake_schema.RECORD_TABLES for file in view.lake.of(kind))
    for kind in view.table.records:
        where = query_filters.between(kind, stretch.first, stretch.end)
        inside = query_filters.between(kind, window.first, window.end) if view.table.before else None
        files = _whole(view, kind, days)
        query_filters.bind_records(view.connection, kind, files, where, inside=inside, filters=filters)
    _bind_prices(view, [view.table])
    return days, []


def _whole(view: _View, kind: str, days: Sequence[str]) -> list[DataFile]:
    """The files of a kind of record and some days, none of them cut or changed."""
    files = view.lake.of(kind, days)
    file_digest.glance(lake_state.stamps(files))
    return files


def _bind_known(view: _View, other: Table, last: str, filters: Filters) -> None:
    """Keep a table of all days up to one; of whose key a part is asked for, only that: the rest is not meant."""
    until = calendar.lake_days(last, view.settings.timezone)[-1]
    for kind in other.records:
        days = [file.day for file in view.lake.of(kind) if file.day <= until]
        query_filters.bind_records(
            view.connection, kind, _whole(view, kind, days), query_filters.on_days(kind, _FIRST_DAY, last)
        )
    _bind_prices(view, [other])
    query_filters.keep(view.connection, other.name, _select(view, other, None), view.parameters, filters)


def _bind_days(view: _View, filters: Filters) -> tuple[list[str], list[str]]:
    """Bind the records of whole days, and the tables over them that it reads; returns as `_bind_window` does."""
    zone = view.settings.timezone
    first, last = (calendar.reporting_day(moment, zone) for moment in (view.window.first, view.window.last))
    ends = calendar.lake_days(first, zone)[0], calendar.lake_days(last, zone)[-1]
    days = calendar.span(*map(date.fromisoformat, ends))
    tables = [*view.others, view.table]
    for kind in sorted({kind for table in tables for kind in table.records}):
        query_filters.bind_records(
            view.connection, kind, _whole(view, kind, days), query_filters.on_days(kind, first, last)
        )
    _bind_prices(view, tables)
    for other in view.others:
        if other.parameters or sum(other.name in table.reads for table in tables) > 1:
            query_filters.keep(view.connection, other.name, _select(view, other, days), view.parameters)
        else:  # of a view only what is asked for is made
            relations.bind(view.connection, other.name, _select(view, other, days))
    filtered = "; filters look at its own columns" if filters else ""
    whole = f"{view.table.name} is built from other tables: whole days, {first} to {last} ({zone}), are taken{filtered}"
    return days, [whole]


def _bind_prices(view: _View, tables: Sequence[Table]) -> None:
    if any(catalog_tables.PRICES in table.reads for table in tables):
        prices.bind(view.connection, catalog_tables.PRICES, view.home.prices)


def _select(view: _View, table: Table, days: Sequence[str] | None) -> str:
    """A table's select over what is bound of some days: its percentiles by sorting, if their values would not fit.

    Neither those of all the files' rows, nor of the records meant.
    """
    kinds = sorted({kind for other in [table, *view.others] for kind in other.records})
    room = engine_connection.memory(view.connection)
    stored = sum(file.rows for kind in kinds for file in view.lake.of(kind, days))
    if percentiles.fits(room, table.select, stored) or percentiles.fits(
        room, table.select, query_filters.rows(view.connection, kinds)
    ):
        return table.select
    return percentiles.by_sorting(view.connection, table.select)
