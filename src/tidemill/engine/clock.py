"""Lake days are UTC, reporting days, weeks and months are of the setting's timezone: which belong to which."""

from __future__ import annotations

import re
from datetime import UTC, date, timedelta
from typing import TYPE_CHECKING, Final

from tidemill.engine import calendar

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

PERIODS: Final = ("day", "week", "month")
"""What reporting days add up to; each period is named by its first day."""
_BEYOND: Final = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=31)}
"""From a period's first day into the next one."""
_SPAN: Final = re.compile(r"([1-9]\d{0,8})([hd])")


def hours(span: str) -> int | None:
    """How many hours a span like 36h or 7d has; None of what is no span."""
    found = _SPAN.fullmatch(span)
    return int(found[1]) * {"h": 1, "d": 24}[found[2]] if found else None


def reporting_days(lake_days: Iterable[str], timezone: str) -> list[str]:
    """The reporting days that records of some UTC days may fall on, in order."""
    if timezone == "UTC":
        return sorted(lake_days)
    return sorted({local for day in lake_days for local in calendar.of_utc_day(day, timezone)})


def reporting_day(moment: datetime, timezone: str) -> str:
    """The reporting day of a moment."""
    return calendar.of_instant(moment, timezone)


def lake_days(reporting_day: str, timezone: str) -> list[str]:
    """The UTC days that a reporting day is made of: one or two."""
    if timezone == "UTC":
        return [reporting_day]
    day = date.fromisoformat(reporting_day)
    around = span(day - timedelta(days=1), day + timedelta(days=1))
    ends = {utc: calendar.of_utc_day(utc, timezone) for utc in around}
    return [utc for utc, (first, last) in ends.items() if first <= reporting_day <= last]


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
