"""Thresholds: which rows of what a build is about to publish are beyond a limit, and which were so already.

A window that a window table holds is those rows of it; any other one is the table's select over that window up to the
build's moment, as `tidemill show --since` has it. A breach goes on for as long as each evaluation finds it, and is one
row of threshold_breaches. A threshold is evaluated when its table was looked at by the build.
"""

from __future__ import annotations

from contextlib import contextmanager
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any

import duckdb

from tidemill.build import breaches
from tidemill.build.checks.scope import Scope
from tidemill.catalog import column_types, system_tables
from tidemill.catalog import tables as catalog_tables
from tidemill.catalog.tables import WINDOW_KEY
from tidemill.config.settings import origin
from tidemill.engine import connection as engine_connection
from tidemill.engine import export, relations
from tidemill.errors import SettingsError, TableError, TidemillError, UsageError
from tidemill.home import disk_errors, file_digest
from tidemill.query import filters, window_query
from tidemill.query.window import Asked

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping
    from pathlib import Path

    from tidemill.build.context import Build
    from tidemill.catalog.tables import Table
    from tidemill.config.settings import Settings
    from tidemill.config.threshold import Threshold
    from tidemill.home.home import Home
    from tidemill.snapshots.manifest import Manifest


def check(home: Home, settings: Settings) -> None:
    """See that every threshold is of a number in a table that there is, before anything is built.

    Raises:
        SettingsError: one is not; the message names file and key, and what is near.
    """
    for threshold in settings.thresholds.values():
        with _blamed(home, threshold, "table"):
            table = _table(threshold.table)
        try:
            types = column_types.types(catalog_tables.table(name) for name in catalog_tables.with_inputs([table.name]))[
                table.name
            ]
        except TableError:  # the build says so when it comes to that table
            continue
        with _blamed(home, threshold, "column"):
            _check_number(threshold.column, types)
        with _blamed(home, threshold, "where"), engine_connection.connect(timezone=None) as connection:
            filters.equal(connection.sql(relations.nothing(types)), threshold.where)


@contextmanager
def _blamed(home: Home, threshold: Threshold, key: str) -> Iterator[None]:
    loc = ("thresholds", threshold.name, key)
    try:
        yield
    except UsageError as error:
        raise SettingsError(f"{origin(home.settings_file, loc)}: {'.'.join(loc)}: {error}") from error


def _table(name: str) -> Table:
    if name in system_tables.OWN:
        raise UsageError(f"{name} is about the pipeline itself; a threshold is of a table that is built of records")
    return catalog_tables.table(name)


def _check_number(column: str, types: Mapping[str, str]) -> None:
    if column not in types:
        raise UsageError.unknown("column", column, types)
    if not types[column].startswith(export.NUMBERS):
        numbers = sorted(name for name, kind in types.items() if kind.startswith(export.NUMBERS))
        raise UsageError(f"{column} is {types[column]}, and a limit is to a number; such are: {', '.join(numbers)}")


def redefined(build: Build) -> bool:
    """Whether a threshold is another than when it was evaluated last, or nothing was ever evaluated."""
    due = {threshold.name: threshold.definition for threshold in _due(build)}
    before = build.before.thresholds
    return build.before.breaches is None or bool(_gone(build)) or any(before.get(n) != made for n, made in due.items())


def evaluate(build: Build) -> list[str]:
    """Find the breaches in what a build is about to publish; a line for each new one, and for what went wrong.

    They are kept with the next publish alone.
    """
    before = build.before
    ever = sorted((before.folder / system_tables.THRESHOLD_BREACHES.name).glob("*.parquet")) if before.breaches else []
    lasting = [before.breaches] if before.breaches else []
    file_digest.examine([str(path) for path in (*ever, *lasting)], build.trusted)
    breaches.begin(build.connection, ever, lasting)
    evaluated, faults = [], []
    for threshold in _due(build):
        try:
            breaches.add(build.connection, _found(build, threshold))
        except (duckdb.Error, TidemillError) as error:
            disk_errors.check(error, build.folder)
            faults.append(f"threshold {threshold.name} cannot be evaluated: {str(error).splitlines()[0]}")
        else:
            evaluated.append(threshold)
    others = [made.name for made in evaluated if before.thresholds.get(made.name) != made.definition]
    breaches.settle(build.connection, [threshold.name for threshold in evaluated], [*others, *_gone(build)])
    build.thresholds = {name: made for name, made in before.thresholds.items() if name in build.settings.thresholds}
    build.thresholds |= {threshold.name: threshold.definition for threshold in evaluated}
    build.breached = breaches.new(build.connection)
    return [*faults, *_lines(build.breached, build.thresholds)]


def _due(build: Build) -> list[Threshold]:
    """Those of tables that the build looked at: others stay as they were."""
    return [threshold for threshold in build.settings.thresholds.values() if threshold.table in build.fresh]


def _gone(build: Build) -> set[str]:
    return build.before.thresholds.keys() - build.settings.thresholds.keys()


def _found(build: Build, threshold: Threshold) -> Path:
    """A file of what breaches a threshold: it goes from one connection to another, and may be large."""
    table, file = catalog_tables.table(threshold.table), build.folder / "breaches.parquet"
    if threshold.hours and threshold.hours not in table.windows:
        asked = Asked(since=threshold.window, as_of=build.as_of)
        over = window_query.over(
            build.home, build.settings, table, asked, {}, records=build.lake, beside=build.connection
        )
        with over as (rows, _):
            breaches.find(file, filters.equal(rows, threshold.where), threshold, _key(table), build.as_of)
        return file
    name, window = frozenset({table.name}), {"window_hours": threshold.hours} if threshold.hours else {}
    Scope(build, None, {}).bind(name)
    try:
        rows = filters.equal(filters.equal(build.connection.view(table.name), window), threshold.where)
        breaches.find(file, rows, threshold, _key(table), build.as_of)
    finally:
        relations.unbind(build.connection, name)
    return file


def _key(table: Table) -> list[str]:
    return [name for name in table.key if name not in WINDOW_KEY]


def standing(manifest: Manifest) -> list[str]:
    """A line for each breach that was open at the newest publish, the worst of each threshold first."""
    found = breaches.still_open(manifest.breaches) if manifest.breaches else []
    return _lines(found, manifest.thresholds, since=True)


def _lines(
    found: Iterable[tuple[Any, ...]], definitions: Mapping[str, Mapping[str, Any]], *, since: bool = False
) -> list[str]:
    lines: list[str] = []
    for name, those in groupby(found, key=itemgetter(1)):
        rows = list(those)
        lines += [_line(definitions[name], row, since=since) for row in rows]
        if more := rows[0][-1] - len(rows):
            lines.append(f"threshold {name} is breached by {more:,} more; see: tidemill show threshold_breaches")
    return lines


def _line(defined: Mapping[str, Any], row: tuple[Any, ...], *, since: bool) -> str:
    at, name, table, key, value, limit, hours, _ = row
    when = f" since {at:%Y-%m-%dT%H:%M:%SZ}" if since else ""
    which = "" if key == "{}" else f" of {key}"
    over = f" over {hours}h" if hours else ""
    figure = f"{value:.15g} {defined['operator']} {limit:.15g}"
    verb = "was" if since else "is"
    return f"threshold {name} is breached{when}: {defined['column']}{which} in {table}{over} {verb} {figure}"
