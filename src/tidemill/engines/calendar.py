"""The reporting timezone's days as the engine's own calendar has them."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from datetime import date, datetime

    from duckdb import DuckDBPyConnection


def midnight(connection: DuckDBPyConnection, day: date) -> datetime:
    """The first instant of a reporting day; of one that the zone skipped, that of the next."""
    query = """
        SELECT min(t) FROM range($day::TIMESTAMPTZ - INTERVAL 1 DAY, $day::TIMESTAMPTZ + INTERVAL 2 DAY,
            INTERVAL 30 SECOND) r(t) WHERE local_day(t) >= $day
    """
    found: datetime = connection.execute(query, {"day": day}).fetchall()[0][0]
    return found


def local_days(connection: DuckDBPyConnection, *instants: datetime) -> list[str]:
    """The reporting day of each instant."""
    query = "SELECT local_day(t)::VARCHAR FROM unnest($instants::TIMESTAMPTZ[]) WITH ORDINALITY r(t, n) ORDER BY n"
    return [day for (day,) in connection.execute(query, {"instants": list(instants)}).fetchall()]
