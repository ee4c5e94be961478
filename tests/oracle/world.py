"""What the oracle is given: the accepted records as lists of dicts, the settings, the prices and the moment."""

from __future__ import annotations

import zoneinfo
from collections import defaultdict
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence
    from datetime import date, datetime

Row = dict[str, Any]


@dataclass(frozen=True)
class World:
    """All that a table may depend on. Instants are aware and in UTC; `windows` are hours.

    `history` is of all events, where `all_events` are only those that are asked for: what is known is known of all.
    """

    jobs: Sequence[Row]
    all_events: Sequence[Row]
    all_metrics: Sequence[Row]
    as_of: datetime
    timezone: str = "UTC"
    prices: Sequence[Row] = field(default_factory=list)
    windows: tuple[int, ...] = (24, 7 * 24, 30 * 24)
    history: Sequence[Row] | None = None
    short_max: float = 2
    medium_max: float = 5
    cost_per_1k_tokens: float = 0.0001
    minutes_saved_per_document: float = 5

    @cached_property
    def events(self) -> list[Row]:
        """All events in the order of (timestamp, id)."""
        return in_time(self.all_events)

    @cached_property
    def past(self) -> list[Row]:
        """The events from which is known what there is, in time."""
        return self.events if self.history is None else in_time(self.history)

    @cached_property
    def metrics(self) -> list[Row]:
        """All samples in the order of (timestamp, id)."""
        return in_time(self.all_metrics)

    @cached_property
    def zone(self) -> zoneinfo.ZoneInfo:
        """The reporting timezone."""
        return zoneinfo.ZoneInfo(self.timezone)

    def of_type(self, *types: str) -> list[Row]:
        """The events of those types, in time."""
        return [event for event in self.events if event["type"] in types]

    def day(self, instant: datetime) -> date:
        """The local date of an instant."""
        return instant.astimezone(self.zone).date()


def in_time(rows: Iterable[Row]) -> list[Row]:
    """Rows by timestamp, then id."""
    return sorted(rows, key=lambda row: (row["timestamp"], row["id"], row["source"]))


def grouped(rows: Iterable[Row], key: Callable[[Row], Any]) -> dict[Any, list[Row]]:
    """Rows by key; each group keeps their order."""
    groups: dict[Any, list[Row]] = defaultdict(list)
    for row in rows:
        groups[key(row)].append(row)
    return dict(groups)


def by(*columns: str) -> Callable[[Row], tuple[Any, ...]]:
    """The key of a row made of those columns."""
    return lambda row: tuple(row[column] for column in columns)


def first_known(rows: Iterable[Row], column: str) -> Any:
    """The first non-null value by time; of those of one instant the smallest."""
    known = [(row["timestamp"], row[column]) for row in rows if row[column] is not None]
    return min(known)[1] if known else None


def last_known(rows: Iterable[Row], column: str) -> Any:
    """The newest value that is not null, by (timestamp, id)."""
    known = [row[column] for row in in_time(rows) if row[column] is not None]
    return known[-1] if known else None
