"""Writing the stale partitions of one table: period tables a file at a time, windows each, others whole."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

from tidemill.build.file_layout import layout
from tidemill.build.staleness import ALL, EMPTY
from tidemill.catalog import prices
from tidemill.catalog import tables as catalog_tables
from tidemill.config import duration
from tidemill.engine import calendar, connection, parallel, percentiles, relations
from tidemill.lake import relations as lake_relations
from tidemill.records import BY_TABLE

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from tidemill.build.context import Build
    from tidemill.build.staleness import Work
    from tidemill.catalog.tables import Table

    Files = Mapping[str, str]
    Rows = Mapping[str, int]


def write(build: Build, table: Table, work: Work, files: Files, *, sparing: bool = False) -> tuple[Files, Rows]:
    """Write what there is to do of a table; returns the file of each period, and how many rows each partition has.

    If it is to be `sparing` of memory, it is done a period at a time, with percentiles by sorting.

    Raises:
        duckdb.Error: the table's select cannot be run.
    """
    if table.partition in duration.PERIODS:
        return _write_periods(build, table, work, files, sparing=sparing)
    if table.partition == "window":
        return _write_windows(build, table, work, files, sparing=sparing)
    _bind_tables(build, table)
    select = relations.ordered(_select(build, table, sparing=sparing), table.sort)
    name, count = relations.write(build.connection, select, build.folder, ALL, build.settings.parameters)
    return {ALL: name}, {ALL: count}


def _select(
    build: Build, table: Table, records: Sequence[str] = (), days: Sequence[str] | None = None, *, sparing: bool
) -> str:
    """A table's select over the records of some UTC days, and tables' rows of some days or all.

    Where its percentiles' values would not fit, they are taken by sorting.
    """
    rows = sum(file.rows for kind in table.records for file in build.lake.of(kind, records))
    for other in build.inputs(table):
        known, cut = build.known(other.name), days if other.partition == "day" else None
        rows += sum(int(made["rows"]) for value, made in known.items() if cut is None or value in cut)
    if not sparing and percentiles.fits(connection.memory(build.connection) // parallel.AT_ONCE, table.select, rows):
        return table.select
    return percentiles.by_sorting(build.connection, table.select)


def _write_periods(build: Build, table: Table, work: Work, files: Files, *, sparing: bool) -> tuple[Files, Rows]:
    """Build stale periods, a file at a time; the other periods of that file are taken as they stand."""
    known = build.known(table.name).keys()
    before, after = layout(known), layout((known | work.stale.keys()) - work.gone)
    found, rows = {}, dict.fromkeys(work.stale, 0)
    for first, periods in groupby(sorted(after), key=after.__getitem__):
        values = [*periods]
        stale = [value for value in values if value in work.stale]
        same = values == [value for value in sorted(before) if before[value] == first]
        if not stale and same and _has_columns(build, table, files[first]):
            found[first] = files[first]
        else:
            stays = {before[value] for value in values if value not in work.stale}
            kept = build.kept(table.name, [files[key] for key in sorted(stays)])
            found[first], counts = _write_file(build, table, values, stale=stale, kept=kept, sparing=sparing)
            rows |= counts
    return found, rows


def _has_columns(build: Build, table: Table, file: str) -> bool:
    """Whether a file has the columns that the table's SQL gives it now: one of sealed periods may be of older SQL."""
    import pyarrow.parquet as pq

    return not build.lake.pruned or pq.read_schema(build.file(table.name, file)).names == list(table.comments)


def _write_file(
    build: Build, table: Table, values: Sequence[str], *, stale: Sequence[str], kept: Sequence[str], sparing: bool
) -> tuple[str, Rows]:
    """One file: its stale periods built anew, the others from the files in which they stand."""
    period = relations.period(table.partition, table.partition_column)
    pruned = bool(build.lake.pruned)
    new = _new(build, table, stale, sparing=sparing) if stale or pruned else None
    if kept:
        stays = f"{period} IN {relations.dates(value for value in values if value not in stale)}"
        select = relations.merged(new, table.sort, kept, stays, list(table.comments) if pruned else None)
    else:
        select = relations.ordered(new or table.select, table.sort)
    name, count = relations.write(build.connection, select, build.folder, values[0], build.settings.parameters)
    if not stale:
        return name, {}
    counts = relations.rows_by_period(build.connection, build.folder / name, period) if count else {}
    return name, {value: counts.get(value, 0) for value in stale}


def _new(build: Build, table: Table, stale: Sequence[str], *, sparing: bool) -> str:
    """The select of the rows of stale periods, for which everything is bound; if sparing, they are written by now."""
    if not sparing or len(stale) <= 1:
        return _bind_periods(build, table, [value for value in stale if value != EMPTY], sparing=sparing)
    written = []
    for value in stale:
        select = _bind_periods(build, table, [value], sparing=True)
        name, _ = relations.write(build.connection, select, build.folder, value, build.settings.parameters)
        written.append(str(build.folder / name))
    return relations.published(written)


def _bind_periods(build: Build, table: Table, periods: Sequence[str], *, sparing: bool) -> str:
    """Bind what a table reads for some periods; returns its select over that."""
    days = sorted({day for period in periods for day in calendar.days(period, table.partition)})
    touched = sorted({utc for day in days for utc in calendar.lake_days(day, build.settings.timezone)})
    for kind in table.records:
        instant = BY_TABLE[kind].day_of
        where = "true" if build.settings.timezone == "UTC" else relations.in_days(instant, days)
        lake_relations.bind_records(build.connection, kind, build.of_lake(kind, touched), where)
    _bind_tables(build, table, days)
    return _select(build, table, touched, days, sparing=sparing)


def _write_windows(build: Build, table: Table, work: Work, files: Files, *, sparing: bool) -> tuple[Files, Rows]:
    found = {value: file for value, file in files.items() if value not in work.gone}
    rows = {}
    for value in work.stale:
        hours = int(value.removesuffix("h"))
        days = _bind_window(build, table, hours)
        parameters = build.settings.parameters | {"window_hours": hours, "as_of": build.as_of}
        select = relations.ordered(_select(build, table, days, sparing=sparing), table.sort)
        found[value], rows[value] = relations.write(build.connection, select, build.folder, f"{hours:04}h", parameters)
    return found, rows


def _bind_window(build: Build, table: Table, hours: int) -> list[str]:
    """Bind the records of a window, and the tables that a table reads as they were known at the end of as_of's day.

    Returns the UTC days that it touches.
    """
    as_of = build.as_of.isoformat()
    days = calendar.window_days(build.as_of, table.stretch(hours))
    for kind in table.records:
        instant = BY_TABLE[kind].day_of
        where = relations.in_window(instant, as_of=as_of, hours=table.stretch(hours))
        inside = relations.in_window(instant, as_of=as_of, hours=hours) if table.before else None
        lake_relations.bind_records(build.connection, kind, build.of_lake(kind, days), where, inside)
    _bind_prices(build, table)
    _bind_known(build, table, calendar.reporting_day(build.as_of, build.settings.timezone))
    return days


def _bind_known(build: Build, table: Table, last: str) -> None:
    """Bind the tables that a table reads: day tables up to a day, those that are of days by their selects over such."""
    for other in build.inputs(table):
        if other.partition == "day":
            relations.bind_table_until(build.connection, other.name, build.files(other), other.partition_column, last)
        elif catalog_tables.is_of_days(other):
            _bind_known(build, other, last)
            name, _ = relations.write(
                build.connection, other.select, build.folder, other.name, build.settings.parameters
            )
            relations.bind(build.connection, other.name, relations.published([str(build.folder / name)]))
        else:
            relations.bind_table(build.connection, other.name, build.files(other), other.partition_column, None)


def _bind_tables(build: Build, table: Table, days: Sequence[str] | None = None) -> None:
    """Bind the tables that a table reads: of the same days, where they have days, or whole."""
    _bind_prices(build, table)
    for other in build.inputs(table):
        cut = days if other.partition == "day" else None
        relations.bind_table(build.connection, other.name, build.files(other, cut), other.partition_column, cut)


def _bind_prices(build: Build, table: Table) -> None:
    if catalog_tables.PRICES in table.reads:
        prices.bind(build.connection, catalog_tables.PRICES, build.home.prices)
