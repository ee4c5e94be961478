"""Days, weeks and months of the reporting timezone, and the UTC days that they are made of.

The engine's own calendar decides: Python's may have the rules of another year.
"""

from __future__ import annotations

from datetime import UTC, date, timedelta
from functools import cache
from typing import TYPE_CHECKING, Final

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterable
    from datetime import datetime

    from duckdb import DuckDBPyConnection


def midnight(connection: DuckDBPyConnection, day: date) -> datetime:
    """The first instant of a reporting day; of one that the zone skipped, that of the next."""
    query = """
        SELECT min(t)
        FROM range($day::TIMESTAMPTZ - INTERVAL 1 DAY, $day::TIMESTAMPTZ + INTERVAL 2 DAY, INTERVAL 30 SECOND) r(t)
        WHERE local_day(t) >= $day
    """
    found: datetime = connection.execute(query, {"day": day}).fetchall()[0][0]
    return found


def of_instant(moment: datetime, timezone: str) -> str:
    """The reporting day of a moment."""
    query = "SELECT CAST(timezone($zone, $t::TIMESTAMPTZ) AS DATE)::VARCHAR"
    found: str = _calendar().cursor().execute(query, {"zone": timezone, "t": moment}).fetchall()[0][0]
    return found


def of_utc_day(day: str, timezone: str) -> tuple[str, str]:
    """The first and the last reporting day of a UTC day."""
    return _of_decade(int(day[:4]) // 10 * 10, timezone)[day]


@cache
def _of_decade(first: int, timezone: str) -> dict[str, tuple[str, str]]:
    """The first and the last reporting day of each UTC day of ten years."""
    query = """
        SELECT
            d::VARCHAR,
            CAST(timezone($zone, make_timestamptz(epoch_us(d))) AS DATE)::VARCHAR,
            CAST(timezone($zone, make_timestamptz(epoch_us(d) + 86399999999)) AS DATE)::VARCHAR
        FROM (SELECT make_date($first, 1, 1) + CAST(n AS INTEGER) AS d FROM range(3653) r(n))
    """
    found = _calendar().cursor().execute(query, {"first": first, "zone": timezone}).fetchall()
    return {day: (early, late) for day, early, late in found}


@cache
def _calendar() -> DuckDBPyConnection:
    return duckdb.connect(config={"threads": 1})


_BEYOND: Final = {"day": timedelta(days=1), "week": timedelta(days=7), "month": timedelta(days=31)}
"""From a period's first day into the next one."""


def reporting_days(lake_days: Iterable[str], timezone: str) -> list[str]:
    """The reporting days that records of some UTC days may fall on, in order."""
    if timezone == "UTC":
        return sorted(lake_days)
    return sorted({local for day in lake_days for local in of_utc_day(day, timezone)})


def reporting_day(moment: datetime, timezone: str) -> str:
    """The reporting day of a moment."""
    return of_instant(moment, timezone)


def lake_days(reporting_day: str, timezone: str) -> list[str]:
    """The UTC days that a reporting day is made of: one or two."""
    if timezone == "UTC":
        return [reporting_day]
    day = date.fromisoformat(reporting_day)
    around = span(day - timedelta(days=1), day + timedelta(days=1))
    ends = {utc: of_utc_day(utc, timezone) for utc in around}
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
