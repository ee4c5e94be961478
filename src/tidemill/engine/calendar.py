"""The reporting timezone's days as the engine's own calendar has them: Python's may be of another year's rules."""

from __future__ import annotations

from functools import cache
from typing import TYPE_CHECKING

import duckdb

if TYPE_CHECKING:
    from datetime import date, datetime

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
