"""A window that a reader asks for: from which instant on, before which, and which days that touches."""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

from tidemill.config import duration
from tidemill.engine import calendar
from tidemill.errors import UsageError
from tidemill.home import file_digest
from tidemill.lake import relations
from tidemill.lake import schema as lake_schema
from tidemill.lake import state as lake_state
from tidemill.records import END_OF_TIME, FIRST_INSTANT

if TYPE_CHECKING:
    from collections.abc import Iterable

    from duckdb import DuckDBPyConnection

    from tidemill.lake.commits import Snapshot

LATEST: Final = "latest"
_NOON: Final = time(12, tzinfo=UTC)
_BEGINNING: Final = datetime.fromisoformat(FIRST_INSTANT)
_END: Final = datetime.fromisoformat(END_OF_TIME)
_TICK: Final = timedelta(microseconds=1)
"""Instants are whole microseconds, so as_of - w < t ≤ as_of is the same as from ≤ t < to, a microsecond later."""
_DATE: Final = re.compile(r"\d{4}-?\d\d-?\d\d")

Moment = date | str
"""A date or a datetime, or the text of one; without an offset it is of UTC, a date alone of the reporting timezone."""


@dataclass(frozen=True)
class Asked:
    """A window as it was asked for: hours up to as_of, or from and to."""

    since: str | None = None
    as_of: Moment | None = None
    from_: Moment | None = None
    to: Moment | None = None

    def __bool__(self) -> bool:
        return self != Asked()


@dataclass(frozen=True)
class Window:
    """The instants first ≤ t < end; `hours` is None for one that is not of whole hours."""

    first: datetime
    end: datetime
    as_of: datetime
    hours: int | None

    @property
    def last(self) -> datetime:
        """The last instant that is in it."""
        return self.end - _TICK

    def stretched(self, before: int) -> Window:
        """With as many windows before it."""
        return replace(self, first=self.first - before * (self.end - self.first))

    def lake_days(self, known: Iterable[str]) -> list[str]:
        """Of some UTC days those that it touches: a window may be of centuries."""
        first, last = str(self.first.date()), str(self.last.date())
        return sorted({day for day in known if first <= day <= last})


def window(connection: DuckDBPyConnection, records: Snapshot, asked: Asked) -> Window:
    """The window that was asked for, on a connection of the reporting timezone.

    Raises:
        UsageError: a moment or a duration is not one, they do not go together, or the window ends before it starts.
    """
    _check(asked)
    if asked.since is not None:
        as_of = end(connection, records, asked.as_of)
        hours = _hours(asked.since)
        return Window(_back(as_of, hours) + _TICK, as_of + _TICK, as_of, hours)
    first = moment(connection, "from", asked.from_)
    to = moment(connection, "to", asked.to)
    if to <= first:
        raise UsageError(f"a window ends after it starts; this one is from {_spelt(first)} to {_spelt(to)}")
    whole, rest = divmod(to - first, timedelta(hours=1))
    return Window(first, to, to, None if rest else whole)


def end(connection: DuckDBPyConnection, records: Snapshot, as_of: Moment | None) -> datetime:
    """When windows end: at a moment, by default now, or at the newest that a record knows; `latest` of none is now.

    Raises:
        UsageError: it is none, or outside of the years that records may be of.
    """
    if as_of == LATEST:
        file_digest.glance(
            stamp for table in lake_schema.RECORD_TABLES for stamp in lake_state.stamps(records.of(table))
        )
        as_of = relations.newest(connection, {table: records.paths(table) for table in lake_schema.RECORD_TABLES})
    return moment(connection, "as-of", as_of)


def moment(connection: DuckDBPyConnection, what: str, value: Moment | None) -> datetime:
    """A moment in UTC, by default now; `what` names it in errors.

    Raises:
        UsageError: it is none, or outside of the years that records may be of.
    """
    if value is None:
        return datetime.now(UTC)
    try:
        found = _parsed(connection, value)
    except ValueError:
        either = f", or {LATEST}" if what == "as-of" else ""
        raise UsageError(f"{what} takes a time like 2026-02-10T18:00Z{either}; not {value}") from None
    if not _BEGINNING <= found < _END:
        raise UsageError(f"{what} is {value}, but records are of {FIRST_INSTANT[:4]} to 2199")
    return found


def _parsed(connection: DuckDBPyConnection, value: Moment) -> datetime:
    if isinstance(value, str):
        value = date.fromisoformat(value) if _DATE.fullmatch(value) else datetime.fromisoformat(value)
    if not isinstance(value, datetime):
        return (
            max(calendar.midnight(connection, value), _BEGINNING) if _known(value) else datetime.combine(value, _NOON)
        )
    return value.astimezone(UTC) if value.tzinfo and _known(value) else value.replace(tzinfo=UTC)


def _known(day: date) -> bool:
    """Whether it is of a year in which timezones can be asked for."""
    return _BEGINNING.year <= day.year <= _END.year


def _check(asked: Asked) -> None:
    if asked.since is None and asked.from_ is None:
        end, begin = ("as-of", "since") if asked.as_of is not None else ("to", "from")
        raise UsageError(f"{end} ends a window that nothing begins; give {begin} too")
    if asked.since is not None and (asked.from_ is not None or asked.to is not None):
        raise UsageError("a window is since a duration, up to as-of, or from one moment to another; not both")
    if asked.from_ is not None and asked.as_of is not None:
        raise UsageError("as-of ends a window that is since a duration; one from a moment ends at to")


def _hours(since: str) -> int:
    found = duration.hours(since)
    if found is None:
        raise UsageError(f"since takes a number of hours or days like 36h or 7d; not {since}")
    return found


def _back(as_of: datetime, hours: int) -> datetime:
    """So many hours before; there are no records before 1970."""
    try:
        return max(as_of - timedelta(hours=hours), _BEGINNING - _TICK)
    except OverflowError:
        return _BEGINNING - _TICK


def _spelt(instant: datetime) -> str:
    return instant.isoformat().replace("+00:00", "Z")
