"""Late records: whenever they come, exactly what they touch is built, and the tables are those of one build of all."""

from __future__ import annotations

import json
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Final
from zoneinfo import ZoneInfo

import pytest

from tests.homes import AS_OF, Record, built, event, feed, few_tables, home, job, metric, published, rows
from tidemill.maintenance import prune

__all__ = ["few_tables"]

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

    from tidemill import Tidemill

PERIODS: Final = {
    **dict.fromkeys(("activity_hourly", "activity_daily", "jobs_daily", "metric_daily"), "day"),
    "activity_weekly": "week",
    "activity_monthly": "month",
}
FEW: Final = (*PERIODS, "sessions")
CHANGES: Final = {
    "Berlin, an hour less": ("Europe/Berlin", "2026-03-29T01:00:00+00:00"),
    "Berlin, an hour more": ("Europe/Berlin", "2025-10-26T01:00:00+00:00"),
    "New York, an hour less": ("America/New_York", "2026-03-08T07:00:00+00:00"),
    "New York, an hour more": ("America/New_York", "2025-11-02T06:00:00+00:00"),
}
"""The moment at which the clocks of a zone change."""
ZONES: Final = [
    pytest.param(*change, id=name, marks=[pytest.mark.slow] if name.startswith("New York") else [])
    for name, change in CHANGES.items()
]
LATER: Final = (timedelta(0), timedelta(microseconds=-1), timedelta(hours=-1), timedelta(hours=1))


def of(moment: datetime, key: str) -> list[Record]:
    """A record of each kind of a moment."""
    at = moment.isoformat()
    return [event(key, at, session_id="s1"), metric(key, at), job(key, at)]


def hours(change: str, days: int = 2) -> list[Record]:
    """A record of each kind in every hour of some days around a moment."""
    moment = datetime.fromisoformat(change)
    around = (moment + timedelta(hours=n, minutes=30) for n in range(-24 * days, 24 * days))
    return [record for at in around for record in of(at, f"at {at:%d %H}")]


def touched(moments: Iterable[datetime], zone: str) -> dict[str, list[str]]:
    """The periods that share a UTC day with some moments: what is built is told by UTC days."""
    days: set[date] = set()
    for moment in moments:
        midnight = moment.astimezone(UTC).replace(hour=0, minute=0, second=0, microsecond=0)
        ends = midnight, midnight + timedelta(days=1, microseconds=-1)
        days |= {end.astimezone(ZoneInfo(zone)).date() for end in ends}
    return {table: sorted({str(_first(day, partition)) for day in days}) for table, partition in PERIODS.items()}


def _utc_days(day: date, zone: str) -> set[date]:
    """The UTC days that a local day is made of, from its first to its last microsecond."""
    begin = datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    after = day + timedelta(days=1)
    end = datetime(after.year, after.month, after.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
    return {begin.date(), (end - timedelta(microseconds=1)).date()}


def _first(day: date, partition: str) -> date:
    if partition == "week":
        return day - timedelta(days=day.weekday())
    return day.replace(day=1) if partition == "month" else day


def periods(found: dict[str, list[str]]) -> dict[str, list[str]]:
    """What was built of the tables by day, week and month."""
    return {table: values for table, values in found.items() if table in PERIODS}


def assert_as_built_at_once(mill: Tidemill, folder: Path, records: Sequence[Record], zone: str) -> None:
    """Its tables are those of a home that had all records from the first, and a full build gives them again."""
    fresh = home(folder, *records, settings=f'timezone = "{zone}"\n', name="fresh")
    built(fresh, as_of=AS_OF)
    assert published(mill) == published(fresh)
    built(mill, as_of=AS_OF, full=True)
    assert published(mill) == published(fresh)


@pytest.mark.parametrize(("zone", "change"), ZONES)
def test_late_records_of_a_day_on_which_the_clocks_change(tmp_path: Path, zone: str, change: str) -> None:
    """Around the missing and the repeated hour, after a compaction: the days of their UTC day are built, no others."""
    first, second = hours(change), of(datetime.fromisoformat(change) - timedelta(hours=40), "second file")
    before = [*first, *second]
    mill = home(tmp_path, *first, settings=f'timezone = "{zone}"\n')
    feed(mill, *second)
    built(mill, as_of=AS_OF)
    mill.compact()
    assert built(mill, as_of=AS_OF) == {}
    moments = [datetime.fromisoformat(change) + later for later in LATER]
    late = [record for n, moment in enumerate(moments) for record in of(moment, f"late {n}")]
    feed(mill, *late)
    found = built(mill, as_of=AS_OF)
    assert periods(found) == touched(moments, zone)
    assert found["sessions"] == ["all"]
    assert_as_built_at_once(mill, tmp_path, [*before, *late], zone)


@pytest.mark.parametrize(
    ("zone", "at", "day"),
    [
        ("America/New_York", "1970-01-01T00:00:00+00:00", "1969-12-31"),
        ("Europe/Berlin", "1998-10-25T00:59:59.999999+00:00", "1998-10-25"),
        ("Europe/Berlin", "2199-12-31T23:30:00+00:00", "2200-01-01"),
    ],
)
def test_a_record_that_comes_years_late_or_early(tmp_path: Path, zone: str, at: str, day: str) -> None:
    """Its day, week and month are built, under the rules of the clocks of then, and nothing between."""
    before, late = hours("2026-02-10T12:00:00+00:00"), of(datetime.fromisoformat(at), "late")
    mill = home(tmp_path, *before, settings=f'timezone = "{zone}"\n')
    built(mill, as_of=AS_OF)
    feed(mill, *late)
    assert periods(built(mill, as_of=AS_OF)) == touched([datetime.fromisoformat(at)], zone)
    assert rows(mill, f"SELECT day::VARCHAR, events FROM activity_daily WHERE day = DATE '{day}'") == [(day, 1)]
    assert_as_built_at_once(mill, tmp_path, [*before, *late], zone)


def test_a_correction_that_comes_years_late(tmp_path: Path) -> None:
    """Another observation of an old job, whose records were compacted, builds the day on which that was created."""
    zone, created = "America/New_York", datetime.fromisoformat("2019-11-03T05:30:00+00:00")
    before = [*of(created, "old"), *of(created, "another"), *hours("2026-02-10T12:00:00+00:00")]
    mill = home(tmp_path, *before[3:], settings=f'timezone = "{zone}"\n')
    feed(mill, *before[:3])
    built(mill, as_of=AS_OF)
    mill.compact()
    again = [job("old", created.isoformat(), status="failed", observed_at="2026-02-11T00:00:00Z")]
    feed(mill, *again)
    assert periods(built(mill, as_of=AS_OF)) == {"jobs_daily": touched([created], zone)["jobs_daily"]}
    assert_as_built_at_once(mill, tmp_path, [*before, *again], zone)


@pytest.mark.parametrize(("zone", "change"), ZONES)
def test_late_records_after_a_prune_at_a_change_of_the_clocks(tmp_path: Path, zone: str, change: str) -> None:
    """Up to the last microsecond of the sealed days they are `pruned`, from the next on they build what they touch."""
    before, moment = hours(change), datetime.fromisoformat(change)
    mill = home(tmp_path, *before, settings=f'timezone = "{zone}"\n')
    built(mill, as_of=AS_OF)
    standing, pruned = published(mill), moment.date()
    prune.prune(mill.home, mill.settings, keep="1d", today=pruned + timedelta(days=1))
    opening = _opening(pruned, zone)
    sealed = [opening - timedelta(microseconds=1), moment - timedelta(days=1), moment - timedelta(days=1000)]
    file = tmp_path / "sealed.jsonl"
    records = [record for n, at in enumerate(sealed) for record in of(at, f"sealed {n}")]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    (report,) = mill.ingest(file)
    assert (report.total("accepted"), report.total("quarantined")) == (0, 9)
    assert built(mill, as_of=AS_OF) == {}
    assert published(mill) == standing
    assert rows(mill, "SELECT reason, count(*) FROM lake.quarantine GROUP BY ALL") == [("pruned", 9)]
    late = of(opening, "late")
    feed(mill, *late)
    expected = touched([opening], zone)
    open_ = {
        name: [value for value in values if min(_utc_days(date.fromisoformat(value), zone)) >= pruned]
        for name, values in expected.items()
    }
    assert periods(built(mill, as_of=AS_OF)) == {name: values for name, values in open_.items() if values}
    assert open_["activity_daily"] == [str(opening.astimezone(ZoneInfo(zone)).date())]
    never = home(tmp_path, *before, *late, settings=f'timezone = "{zone}"\n', name="never")
    built(never, as_of=AS_OF)
    for table in ("activity_daily", "jobs_daily", "metric_daily"):
        query = f"SELECT * FROM {table} WHERE day >= DATE '{open_['activity_daily'][0]}' ORDER BY ALL"
        built(mill, as_of=AS_OF, full=True)
        assert rows(mill, query) == rows(never, query) != []
    sealed_days = f"SELECT * FROM activity_hourly WHERE hour < TIMESTAMPTZ '{opening.isoformat()}' ORDER BY ALL"
    assert rows(mill, sealed_days) == rows(never, sealed_days) != []


def _opening(pruned: date, zone: str) -> datetime:
    """The first instant of the first local day that has no part of a day before that one."""
    day = pruned
    while min(_utc_days(day, zone)) < pruned:
        day += timedelta(days=1)
    return datetime(day.year, day.month, day.day, tzinfo=ZoneInfo(zone)).astimezone(UTC)
