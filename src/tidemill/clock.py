"""Lake days are UTC, reporting days, weeks and months are of the setting's timezone: which belong to which."""

from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, time, timedelta
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

PERIODS: Final = ("day", "week", "month")
"""What reporting days add up to; each period is named by its first day."""
_BEYOND: Final = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=31)}
"""From a period's first day into the next one."""


def reporting_days(lake_days: Iterable[str], timezone: str) -> list[str]:
    """The reporting days that records of some UTC days may fall on, in order."""
    if timezone == "UTC":
        return sorted(lake_days)
    zone = zoneinfo.ZoneInfo(timezone)
    last = time(23, 59, 59, 999_999)
    moments = (datetime.combine(date.fromisoformat(day), at, UTC) for day in lake_days for at in (time.min, last))
    return sorted({str(moment.astimezone(zone).date()) for moment in moments})


def reporting_day(moment: datetime, timezone: str) -> str:
    """The reporting day of a moment."""
    return str(moment.astimezone(zoneinfo.ZoneInfo(timezone)).date())


def lake_days(reporting_day: str, timezone: str) -> list[str]:
    """The UTC days that a reporting day is made of: one or two, or three where the zone skipped a date."""
    if timezone == "UTC":
        return [reporting_day]
    day = date.fromisoformat(reporting_day)
    zone = zoneinfo.ZoneInfo(timezone)
    first = datetime.combine(day, time.min, zone).astimezone(UTC).date()
    last = datetime.combine(day, time.max, zone).astimezone(UTC).date()
    return span(first, last)


def periods(reporting_days: Iterable[str], partition: str) -> list[str]:
    """The periods (day, week or month) that some reporting days belong to, in order."""
    return sorted({str(_first(date.fromisoformat(day), partition)) for day in reporting_days})


def days(period: str, partition: str) -> list[str]:
    """The reporting days of a period."""
    first = date.fromisoformat(period)
    return span(first, _first(first + _BEYOND[partition], partition) - timedelta(days=1))


def _first(day: date, partition: str) -> date:
    if partition == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if partition == "month" else day


def window_days(as_of: datetime, hours: int) -> list[str]:
    """The UTC days that a window touches."""
    return span((as_of - timedelta(hours=hours)).astimezone(UTC).date(), as_of.astimezone(UTC).date())


def span(first: date, last: date) -> list[str]:
    """Every day from one to another."""
    return [str(first + timedelta(days=n)) for n in range((last - first).days + 1)]
