"""Sealed days: reporting days that touch a pruned UTC day. Tables keep what they say of them; no record is added."""

from __future__ import annotations

from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

from tidemill.engine import calendar
from tidemill.engine import connection as engine_connection

if TYPE_CHECKING:
    from datetime import datetime

REASON: Final = "pruned"
"""Why a record of a sealed day is in the quarantine."""


def is_sealed(period: str, pruned: str, timezone: str) -> bool:
    """Whether a day, week or month has a sealed day: its first day is the first to be sealed."""
    return bool(pruned) and calendar.lake_days(period, timezone)[0] < pruned


def is_gone(period: str, partition: str, pruned: str, timezone: str) -> bool:
    """Whether every day of a day, week or month was pruned."""
    return bool(pruned) and calendar.lake_days(calendar.days(period, partition)[-1], timezone)[-1] < pruned


def first_open(pruned: str, partition: str, timezone: str) -> str:
    """The first day of the first day, week or month that is not sealed."""
    day = date.fromisoformat(pruned)
    while is_sealed(calendar.periods([str(day)], partition)[0], pruned, timezone):
        day += timedelta(days=1)
    return str(day)


def opening(pruned: str, timezone: str) -> datetime | None:
    """The first instant of the first day that is not sealed; None if nothing was pruned."""
    if not pruned:
        return None
    with engine_connection.connect(timezone=timezone) as connection:
        return calendar.midnight(connection, date.fromisoformat(first_open(pruned, "day", timezone)))
