from __future__ import annotations

import zoneinfo
from datetime import UTC, date, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tidemill.config import duration
from tidemill.engine import calendar
from tidemill.engine import connection as engine_connection

INSTANTS = st.datetimes(datetime(1970, 1, 2), datetime(2199, 12, 30)).map(lambda at: at.replace(tzinfo=UTC))  # noqa: DTZ001
ZONES = st.sampled_from(sorted(zoneinfo.available_timezones() - {"localtime"}))
UTC_DAYS = engine_connection.connect(threads=1)
PERIODS = st.sampled_from(duration.PERIODS)


@examples(deadline=None)
@given(at=INSTANTS, zone=ZONES)
def test_a_record_is_found_on_its_local_day(at: datetime, zone: str) -> None:
    """Its local day, as SQL has it, is among the reporting days of its UTC day, and its UTC day among those of that."""
    query = "SELECT CAST(timezone($zone, $at) AS DATE)::VARCHAR"
    utc, ((local,),) = str(at.date()), UTC_DAYS.execute(query, {"zone": zone, "at": at}).fetchall()
    assert calendar.reporting_day(at, zone) == local
    assert local in calendar.reporting_days([utc], zone)
    assert utc in calendar.lake_days(local, zone)


@examples(deadline=None)
@given(at=INSTANTS, zone=ZONES)
def test_both_directions_agree(at: datetime, zone: str) -> None:
    """A UTC day that makes a reporting day stale is one of those that it is made of."""
    utc = str(at.date())
    for day in calendar.reporting_days([utc], zone):
        assert utc in calendar.lake_days(day, zone)


@pytest.mark.parametrize(
    ("day", "zone", "lake_days"),
    [
        ("2026-02-10", "UTC", ["2026-02-10"]),
        ("2026-02-10", "Europe/Berlin", ["2026-02-09", "2026-02-10"]),
        ("2026-02-10", "America/New_York", ["2026-02-10", "2026-02-11"]),
        ("2026-02-10", "Pacific/Kiritimati", ["2026-02-09", "2026-02-10"]),
        ("2026-02-10", "Africa/Abidjan", ["2026-02-10"]),
        ("2026-03-01", "Asia/Kolkata", ["2026-02-28", "2026-03-01"]),
        ("2026-03-29", "Europe/London", ["2026-03-28", "2026-03-29"]),
    ],
)
def test_a_reporting_day_is_made_of_these(day: str, zone: str, lake_days: list[str]) -> None:
    """One UTC day, or two; on the day that London's clocks go forward its evening is already on summer time."""
    found = calendar.lake_days(day, zone)
    assert found == (["2026-03-29"] if zone == "Europe/London" else lake_days)


def test_samoa_lost_a_day() -> None:
    """On 2011-12-30, which never was in Apia, the records of that UTC day are of the days around it."""
    assert calendar.reporting_days(["2011-12-30"], "Pacific/Apia") == ["2011-12-29", "2011-12-31"]
    assert calendar.lake_days("2011-12-31", "Pacific/Apia") == ["2011-12-30", "2011-12-31"]


@examples(deadline=None)
@given(day=st.dates(date(1970, 1, 2), date(2199, 12, 30)), partition=PERIODS)
def test_a_period_is_made_of_its_days(day: date, partition: str) -> None:
    """Each day is in exactly the period that it belongs to, and that begins with its name."""
    (period,) = calendar.periods([str(day)], partition)
    days = calendar.days(period, partition)
    assert days[0] == period
    assert str(day) in days
    assert calendar.periods(days, partition) == [period]
    assert calendar.periods([str(date.fromisoformat(days[-1]) + timedelta(days=1))], partition) != [period]
    assert len(days) in {"day": {1}, "week": {7}, "month": {28, 29, 30, 31}}[partition]


@examples(deadline=None)
@given(at=INSTANTS)
def test_periods_are_those_of_sql(at: datetime) -> None:
    """The day, week and month of an instant are those that a table's select gives it."""
    query = "SELECT local_day($1)::VARCHAR, local_week($1)::VARCHAR, local_month($1)::VARCHAR"
    found = UTC_DAYS.execute(query, [at]).fetchall()[0]
    assert list(found) == [calendar.periods([str(at.date())], partition)[0] for partition in duration.PERIODS]


@pytest.mark.parametrize(
    "zone",
    ["Europe/Berlin", "America/Sao_Paulo", "Asia/Kolkata", "Africa/Casablanca", "America/Winnipeg", "Pacific/Apia"],
)
def test_local_days_of_sql_are_among_the_reporting_days(zone: str) -> None:
    """For every hour of twenty years DuckDB's local day is one that the clock gives for its UTC day."""
    with engine_connection.connect(timezone=zone, threads=1) as connection:
        hours = (
            "range(TIMESTAMPTZ '1990-01-01 00:30:00+00', TIMESTAMPTZ '2050-01-01 00:00:00+00', INTERVAL 1 HOUR) r(t)"
        )
        query = f"SELECT DISTINCT CAST(t AS DATE)::VARCHAR, local_day(t)::VARCHAR FROM {hours}"
        pairs = connection.execute(query).fetchall()
    assert [(utc, local) for utc, local in pairs if local not in calendar.reporting_days([utc], zone)] == []
    assert [(utc, local) for utc, local in pairs if utc not in calendar.lake_days(local, zone)] == []
    days = {utc for utc, _ in pairs}
    assert {day for utc in days for day in calendar.reporting_days([utc], zone)} == {local for _, local in pairs}


@pytest.mark.parametrize(
    ("as_of", "hours", "days"),
    [
        ("2026-02-12T12:00:00+00:00", 24, ["2026-02-11", "2026-02-12"]),
        ("2026-02-12T00:00:00+00:00", 24, ["2026-02-11", "2026-02-12"]),
        ("2026-02-12T01:00:00+02:00", 24, ["2026-02-10", "2026-02-11"]),
        ("2026-03-01T12:00:00+00:00", 72, ["2026-02-26", "2026-02-27", "2026-02-28", "2026-03-01"]),
    ],
)
def test_a_window_touches_these_days(as_of: str, hours: int, days: list[str]) -> None:
    """From the UTC day of its beginning to that of its end, whatever offset the end is written with."""
    assert calendar.window_days(datetime.fromisoformat(as_of), hours) == days
