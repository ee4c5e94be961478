"""Buckets of the reporting timezone, and windows."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from datetime import date, datetime

    from tests.oracle.world import Row, World


def hour(world: World, instant: datetime) -> datetime:
    """The instant minus what its local time has gone beyond the full hour."""
    local = instant.astimezone(world.zone)
    return instant - timedelta(minutes=local.minute, seconds=local.second, microseconds=local.microsecond)


def day(world: World, instant: datetime) -> date:
    """The local date."""
    return world.day(instant)


def week(world: World, instant: datetime) -> date:
    """The local week's Monday."""
    local = world.day(instant)
    return local - timedelta(days=local.isoweekday() - 1)


def month(world: World, instant: datetime) -> date:
    """The first of the local month."""
    return world.day(instant).replace(day=1)


def ended(world: World, of: Callable[[World, list[Row], int], list[Row]], *types: str) -> list[Row]:
    """The rows of a window table: for each window what `of` makes of its events, after window_hours and as_of."""
    return [
        {"window_hours": hours, "as_of": world.as_of} | row
        for hours in world.windows
        for row in of(world, within(world, hours, *types), hours)
    ]


def within(world: World, hours: int, *types: str, back: int = 0) -> list[Row]:
    """The events of a window, or of the one so many windows before it; of some types, or all."""
    return list(_within(world, hours, types, back))


def _within(world: World, hours: int, types: tuple[str, ...], back: int) -> Iterator[Row]:
    last = world.as_of - timedelta(hours=hours) * back
    for event in world.events:
        if last - timedelta(hours=hours) < event["timestamp"] <= last and (not types or event["type"] in types):
            yield event
