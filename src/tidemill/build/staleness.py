"""Which partitions of a table are stale: those that were made of something else than there is now."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

from tidemill.catalog import tables as catalog_tables
from tidemill.config import duration
from tidemill.engine import calendar
from tidemill.engine import connection as engine_connection
from tidemill.errors import DamagedError
from tidemill.lake import commits, relations
from tidemill.lake import schema as lake_schema
from tidemill.lake.retention import is_gone, is_sealed
from tidemill.snapshots.manifest import digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from tidemill.build.context import Build
    from tidemill.catalog.tables import Table
    from tidemill.home.home import Home
    from tidemill.lake.commits import Snapshot
    from tidemill.lake.schema import DataFile
    from tidemill.snapshots.manifest import Manifest

ALL: Final = "all"
"""The only partition of a table that is built whole."""
EMPTY: Final = "empty"
"""The only partition of a period table without records: readers find its columns there."""
ASKED: Final = "its day was asked for"
FULL: Final = "--full"
GONE: Final = "it has no records any more"
_REASONS: Final = {
    "select": "its SQL or a setting changed",
    "records": "its records changed",
    "tables": "a table that it reads changed",
}


@dataclass(frozen=True)
class Mark:
    """What a partition is made of: the digests of its select, of its records, and of the tables that it reads.

    Of a window that stands, `only_later` says that it would be the same if it still ended when it does.
    """

    select: str
    records: str
    tables: str
    as_of: str = ""
    only_later: bool = False

    @property
    def fingerprint(self) -> str:
        """One digest of it all: a partition is rebuilt exactly when it differs from the one it was built with."""
        return digest([self.select, self.records, self.tables, self.as_of])

    def differs(self, known: Mapping[str, object] | None) -> str:
        """Why a partition that was built with other marks, or never, is stale; empty when it is fresh."""
        if known is None:
            return "new"
        if known["fingerprint"] == self.fingerprint:
            return ""
        why = [reason for name, reason in _REASONS.items() if known[name] != getattr(self, name)]
        return "its moment passed" if self.only_later or not why else "; ".join(why)


@dataclass(frozen=True)
class Work:
    """What there is to do for a table: partitions to build, each with its mark, and those that nothing is left of.

    `asked` says why one is built that is fresh.
    """

    stale: Mapping[str, Mark]
    gone: frozenset[str]
    asked: str = FULL

    def __bool__(self) -> bool:
        return bool(self.stale or self.gone)

    def why(self, known: Mapping[str, Mapping[str, object]]) -> dict[str, str]:
        """Why there is something to do for each partition, given how they stand."""
        stale = {value: mark.differs(known.get(value)) or self.asked for value, mark in self.stale.items()}
        return stale | dict.fromkeys(sorted(self.gone), GONE)


def work(build: Build, table: Table) -> Work:
    """What there is to do for a table."""
    known, marks = build.known(table.name), _marks(build, table)
    stays = _stays(build, table) if table.partition in duration.PERIODS else frozenset()
    stale = {
        value: mark for value, mark in marks.items() if mark.differs(known.get(value)) or _is_asked(build, table, value)
    }
    if stays:
        stale.pop(EMPTY, None)
    return Work(stale, frozenset(known.keys() - marks.keys()) - stays, FULL if build.full else ASKED)


def _is_asked(build: Build, table: Table, value: str) -> bool:
    """Whether a partition is to be built, fresh or not: all are, or it has one of the days that were asked for."""
    if build.days is None or table.partition not in duration.PERIODS or value == EMPTY:
        return build.full
    first, last = map(str, build.days)
    return build.full or any(first <= day <= last for day in calendar.days(value, table.partition))


def _stays(build: Build, table: Table) -> frozenset[str]:
    """Of a table's periods those that stay as they are: sealed ones, or just what is partly pruned if it forgets."""
    sealed, zone, pruned = _sealed(build, build.known(table.name)), build.settings.timezone, build.lake.pruned
    return frozenset(value for value in sealed if not (build.forget and is_gone(value, table.partition, pruned, zone)))


def _sealed(build: Build, periods: Iterable[str]) -> frozenset[str]:
    """Of some periods those that have a pruned day."""
    zone, pruned = build.settings.timezone, build.lake.pruned
    return frozenset(value for value in periods if pruned and value != EMPTY and is_sealed(value, pruned, zone))


def records(
    home: Home, connection: DuckDBPyConnection, now: Snapshot, before: Manifest
) -> dict[str, dict[str, dict[str, str]]]:
    """For each record kind and UTC day: what its files are, and the digest of its sorted (load_id, rows).

    Raises:
        DamagedError: of a day that changed the ledger does not know a load.
    """
    loads: set[str] = set()
    found = {
        table: _digests(connection, now.of(table), before.lake.get(table, {}), loads)
        for table in lake_schema.RECORD_TABLES
    }
    if unknown := relations.unknown_loads(connection, now.paths("loads"), loads):
        raise DamagedError([commits.unknown_load(home, load_id) for load_id in unknown])
    return found


def _digests(
    connection: DuckDBPyConnection, files: Sequence[DataFile], before: Mapping[str, dict[str, str]], loads: set[str]
) -> dict[str, dict[str, str]]:
    """Of each day; those of days that changed are added to `loads`."""
    days: dict[str, list[DataFile]] = {}
    for file in files:
        days.setdefault(file.day, []).append(file)
    found = {}
    for day, those in sorted(days.items()):
        names = digest([file.path.rpartition("/lake/")[2] for file in those])
        same = day in before and before[day]["files"] == names
        if same:
            found[day] = {"files": names, "records": before[day]["records"]}
        else:
            held = _loads(connection, those)
            loads.update(load_id for load_id, _ in held)
            found[day] = {"files": names, "records": digest(held)}
    return found


def _loads(connection: DuckDBPyConnection, files: Sequence[DataFile]) -> list[tuple[str, int]]:
    """The sorted (load_id, rows) of some files; only those of several loads are read, and those that do not say."""
    rows: Counter[str] = Counter()
    for file in files:
        if file.first_load and file.first_load == file.last_load:
            rows[file.first_load] += file.rows
    mixed = [file.path for file in files if not file.first_load or file.first_load != file.last_load]
    if mixed:
        rows.update(relations.rows_by_load(connection, mixed))
    return sorted(rows.items())


def _marks(build: Build, table: Table) -> dict[str, Mark]:
    """What each partition of a table would be made of now, but for sealed ones, which are never built."""
    select = _select_digest(build, table)
    if table.partition in duration.PERIODS:
        periods = _periods(build, table)
        sealed = _sealed(build, periods)
        marks = {period: _period_mark(build, table, period, select) for period in periods if period not in sealed}
        return marks or {EMPTY: Mark(select, "", "")}
    if table.partition == "window":
        return {f"{hours}h": _window_mark(build, table, hours, select) for hours in table.windows}
    return {ALL: Mark(select, "", _tables_digest(build, table))}


def _select_digest(build: Build, table: Table) -> str:
    named = {name: value for name, value in build.settings.parameters.items() if name in table.parameters}
    text = [table.select, engine_connection.macros(build.settings.timezone), build.settings.timezone, named]
    if catalog_tables.PRICES in table.reads:
        prices = build.home.prices
        text.append(prices.read_text(encoding="utf-8", errors="replace") if prices.is_file() else "")
    return digest(text)


def _periods(build: Build, table: Table) -> list[str]:
    """The periods that have records, or rows of a period table that it reads."""
    lake_days = {day for kind in table.records for day in build.records[kind]}
    days = set(calendar.reporting_days(lake_days, build.settings.timezone))
    for other in build.inputs(table):
        if other.partition in duration.PERIODS:
            days |= build.known(other.name).keys() - {EMPTY}
    return calendar.periods(days, table.partition)


def _period_mark(build: Build, table: Table, period: str, select: str) -> Mark:
    days = calendar.days(period, table.partition)
    touched = sorted({utc for day in days for utc in calendar.lake_days(day, build.settings.timezone)})
    return Mark(select, _records_digest(build, table, touched), _tables_digest(build, table, days))


def _records_digest(build: Build, table: Table, days: Sequence[str]) -> str:
    """The digest of the loads of some UTC days, of the records that a table reads."""
    held = build.records
    return digest(
        [(kind, day, held[kind][day]["records"]) for kind in table.records for day in days if day in held[kind]]
    )


def _tables_digest(build: Build, table: Table, days: Sequence[str] | None = None) -> str:
    """The digest of the fingerprints of the tables that one reads: of those days, where they have days."""
    found = {}
    for other in build.inputs(table):
        known = build.known(other.name)
        wanted = known if days is None or other.partition != "day" else [day for day in days if day in known]
        found[other.name] = {value: known[value]["fingerprint"] for value in wanted}
    return digest(found)


def _window_mark(build: Build, table: Table, hours: int, select: str) -> Mark:
    """The marks at the moment that stands, if it is fresh enough and none was asked for; else at the run's."""
    now = _window_mark_at(build, table, hours, select, build.as_of)
    known = build.known(table.name).get(f"{hours}h")
    if not known:
        return now
    then = datetime.fromisoformat(str(known["as_of"]))
    mark = _window_mark_at(build, table, hours, select, then)
    same = not mark.differs(known)
    young = timedelta(0) <= build.as_of - then < timedelta(minutes=build.settings.windows.refresh_minutes)
    return mark if same and young and not build.asked and not build.full else replace(now, only_later=same)


def _window_mark_at(build: Build, table: Table, hours: int, select: str, as_of: datetime) -> Mark:
    touched = _records_digest(build, table, calendar.window_days(as_of, table.stretch(hours)))
    known = _known_digest(build, table, calendar.reporting_day(as_of, build.settings.timezone))
    return Mark(select, touched, known, as_of.isoformat())


def _known_digest(build: Build, table: Table, last: str) -> str:
    """The digest of what the tables that one reads say up to a day: later days change nothing of it."""
    found: dict[str, object] = {}
    for other in build.inputs(table):
        marks = {value: made["fingerprint"] for value, made in build.known(other.name).items()}
        if other.partition == "day":
            found[other.name] = {day: mark for day, mark in marks.items() if day <= last}
        elif catalog_tables.is_of_days(other):
            found[other.name] = [_select_digest(build, other), _known_digest(build, other, last)]
        else:
            found[other.name] = marks
    return digest(found)
