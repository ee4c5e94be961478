from __future__ import annotations

import shutil
import tomllib
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest
from deltalake import DeltaTable
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tests.homes import (
    AS_OF,
    Record,
    built,
    event,
    feed,
    few_tables,
    home,
    job,
    metric,
    published,
    readers_of,
    rows,
    write_settings,
)
from tidemill import Tidemill
from tidemill.build import plan
from tidemill.build import run as build_run
from tidemill.build import tables as build_tables
from tidemill.build.errors import BuildError
from tidemill.catalog import tables as catalog_tables
from tidemill.config import settings as config_settings
from tidemill.config.resources import sql_folder
from tidemill.errors import UsageError
from tidemill.lake import commits
from tidemill.lake import schema as lake_schema

__all__ = ["few_tables"]

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

FEW: Final = (
    *("activity_hourly", "activity_daily", "activity_weekly", "sessions", "users"),
    *("job_states", "job_totals", "jobs_daily", "llm_hourly", "llm_ttft", "metric_hourly", "metric_daily"),
)
COUNTED: Final = "FROM events\nGROUP BY ALL"
TWO_DAYS: Final = (
    event("a", "2026-02-10T10:00:00Z", session_id="s1", user_id="u1", duration_ms=10.25),
    event("b", "2026-02-11T10:00:00Z", session_id="s1", user_id="u1", type="llm_request", ttft_ms=5, model="m1"),
    job("j1", "2026-02-10T09:00:00Z", started_at="2026-02-10T09:01:00Z", completed_at="2026-02-10T09:02:00Z"),
    job("j2", "2026-02-11T09:00:00Z", status="running"),
    metric("m1", "2026-02-10T09:00:00Z"),
    metric("m2", "2026-02-11T09:00:00Z"),
)


def other_tables(monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let the tables of a folder be those that there are."""
    found = catalog_tables.read(folder)
    monkeypatch.setattr(catalog_tables, "tables", lambda: found)


def copy_of_tables(tmp_path: Path) -> Path:
    """A copy of the tables' SQL that a test may change."""
    for table in catalog_tables.tables().values():
        target = tmp_path / "tables" / table.family
        target.mkdir(parents=True, exist_ok=True)
        shutil.copy(sql_folder() / "tables" / table.family / f"{table.name}.sql", target)
    return tmp_path / "tables"


def write_table(folder: Path, name: str, header: Sequence[str], columns: Mapping[str, str], rest: str) -> None:
    """Write the SQL of a table of a test's own."""
    file = folder / "own" / f"{name}.sql"
    file.parent.mkdir(parents=True, exist_ok=True)
    *others, last = (f"    {value} AS {column}" for column, value in columns.items())
    lines = [f"-- {line}" for line in ("A table of a test's own.", f"grain: {name}", *header)]
    lines += ["", "SELECT", *(f"{column},  -- a column" for column in others), f"{last}  -- the last column", rest]
    file.write_text("\n".join(lines) + "\n")


# What is stale


def test_a_second_build_builds_nothing_and_publishes_nothing(tmp_path: Path) -> None:
    """Where nothing changed, nothing is built and the snapshot stays the same."""
    mill = home(tmp_path, *TWO_DAYS)
    assert built(mill, as_of=AS_OF).keys() == catalog_tables.tables().keys()
    snapshot = mill.snapshot()
    assert built(mill, as_of=AS_OF) == {}
    assert mill.snapshot() == snapshot
    assert [path.name for path in snapshot.parent.iterdir()] == [snapshot.name]


@pytest.mark.parametrize(
    ("late", "relation"),
    [
        (event("late", "2026-02-10T23:59:59.999999Z", session_id="s2"), "events"),
        (metric("late", "2026-02-10T00:00:00Z"), "metrics"),
        (job("late", "2026-02-10T12:00:00Z"), "jobs"),
        (job("j1", "2026-02-10T09:00:00Z", status="failed", observed_at="2026-02-12T09:00:00Z"), "jobs"),
    ],
    ids=["event", "metric", "new job", "newer observation"],
)
def test_a_late_record_reopens_its_day_and_nothing_else(tmp_path: Path, late: Record, relation: str) -> None:
    """Of the day tables that read it just its day is built, of the others those above it, and no other table."""
    mill = home(tmp_path, *TWO_DAYS)
    built(mill, as_of=AS_OF)
    feed(mill, late)
    found = built(mill, as_of=AS_OF)
    tables = catalog_tables.tables()
    assert found.keys() == readers_of(relation)
    assert {name: days for name, days in found.items() if tables[name].partition == "day"} == {
        name: ["2026-02-10"] for name in found if tables[name].partition == "day"
    }


@pytest.mark.also_tables("job_summary", "user_jobs", "workflows")
def test_a_job_seen_again_after_its_day_was_built_reopens_what_it_is_in(tmp_path: Path) -> None:
    """The day on which it was created, not the one on which it was seen, and what is made of the jobs of all days."""
    failed = job(
        "j1",
        "2026-02-10T09:00:00Z",
        status="failed",
        started_at="2026-02-10T09:01:00Z",
        completed_at="2026-02-12T09:01:00.75Z",
        observed_at="2026-02-12T10:00:00Z",
    )
    before = (
        job("j1", "2026-02-10T09:00:00Z", status="running", workflow_id="w1", user_id="u1"),
        job("j2", "2026-02-11T09:00:00Z", status="completed", workflow_id="w2", user_id="u1"),
        job("j3", "2026-02-12T09:00:00Z", status="completed", workflow_id="w2", user_id="u2"),
        event("s1", "2026-02-10T09:02:00Z", type="step", job_id="j1", duration_ms=500, success=True),
        event("v1", "2026-02-11T09:02:00Z", type="validation", job_id="j2", name="not_null", success=True),
        event("w1", "2026-02-11T09:00:00Z", type="workflow_updated", workflow_id="w1", user_id="u2", status="active"),
        metric("m1", "2026-02-10T09:00:00Z"),
    )
    mill = home(tmp_path, *before)
    built(mill, as_of=AS_OF)
    summary = "SELECT jobs, running, completed, failed, success_rate FROM job_summary"
    assert rows(mill, summary) == [(3, 1, 2, 0, 1.0)]
    feed(mill, failed)
    assert built(mill, as_of=AS_OF) == {
        "job_states": ["2026-02-10"],
        "jobs_daily": ["2026-02-10"],
        "job_totals": ["all"],
        "job_summary": ["all"],
        "workflows": ["all"],
        "user_jobs": ["all"],
    }
    fresh = home(tmp_path, failed, *before[1:], before[0], name="fresh")
    built(fresh, as_of=AS_OF)
    assert published(mill) == published(fresh)
    assert rows(mill, summary) == [(3, 0, 2, 1, 2 / 3)]
    executed = "failed, executed_jobs, execution_seconds, execution_whole_seconds"
    assert rows(mill, f"SELECT workflow_id, user_id, {executed} FROM workflows ORDER BY ALL") == [
        ("w1", "u2", 1, 1, 172800.75, 172800.0),
        ("w2", "u2", 0, 2, None, None),
    ]
    assert rows(mill, f"SELECT user_id, workflows, jobs, {executed} FROM user_jobs ORDER BY ALL") == [
        ("u1", 0, 2, 1, 2, 172800.75, 172800.0),
        ("u2", 2, 1, 0, 1, None, None),
    ]


@pytest.mark.also_tables("slowest_steps", "user_jobs", "validation_rules", "workflows")
def test_a_late_update_of_a_workflow_reopens_its_day_and_changes_only_what_is_newest(tmp_path: Path) -> None:
    """Of the days of workflows, steps and checks just the late one is built; an older update takes nothing back."""

    def update(key: str, at: str, **fields: object) -> Record:
        return event(key, at, type="workflow_updated", workflow_id="w1", **fields)

    days = ("workflows_daily", "validations_daily", "slowest_steps_daily")
    workflow = "SELECT user_id, workflow_kind, workflow_status FROM workflows"
    mill = home(tmp_path, *TWO_DAYS, update("w2", "2026-02-11T10:00:00Z", user_id="u2", status="terminated"))
    built(mill, as_of=AS_OF)
    assert rows(mill, workflow) == [("u2", None, "terminated")]
    for late, expected in (
        (update("w1", "2026-02-10T10:00:00Z", user_id="u1", name="etl", status="active"), ("u2", "etl", "terminated")),
        (update("w3", "2026-02-11T10:00:00.000001Z", status="deleted"), ("u2", "etl", "deleted")),
    ):
        feed(mill, late)
        found = built(mill, as_of=AS_OF)
        assert {table: found[table] for table in days} == {table: [late["timestamp"][:10]] for table in days}
        assert {"workflows", "user_jobs", "validation_rules", "slowest_steps"} <= found.keys()
        assert not {"job_states", "jobs_daily", "metric_daily"} & found.keys()
        assert rows(mill, workflow) == [expected]


def test_a_late_record_touches_only_the_windows_that_reach_it(tmp_path: Path) -> None:
    """A window whose days hold no new record is not built again."""
    mill = home(tmp_path, *TWO_DAYS)
    built(mill, as_of=AS_OF)
    feed(mill, event("late", "2026-02-07T10:00:00Z"))
    assert built(mill, as_of=AS_OF)["llm_ttft"] == ["168h", "720h"]


def test_records_that_were_there_already_make_nothing_stale(tmp_path: Path) -> None:
    """A file of nothing but duplicates changes no table."""
    mill = home(tmp_path, *TWO_DAYS)
    built(mill, as_of=AS_OF)
    feed(mill, TWO_DAYS[0], TWO_DAYS[4])
    assert built(mill, as_of=AS_OF) == {}
    assert rows(mill, "SELECT sum(duplicates)::BIGINT FROM lake.loads") == [(2,)]


def test_half_past_eleven_utc_is_the_next_day_in_berlin(tmp_path: Path) -> None:
    """A record counts on its local day, and both UTC days that a local day is made of can reopen it."""
    mill = home(tmp_path, event("a", "2026-02-10T23:30:00Z"), settings='timezone = "Europe/Berlin"')
    built(mill, as_of=AS_OF)
    assert rows(mill, "SELECT day::VARCHAR, events FROM activity_daily") == [("2026-02-11", 1)]
    assert rows(mill, "SELECT hour::VARCHAR FROM activity_hourly") == [("2026-02-10 23:00:00+00",)]
    feed(mill, event("b", "2026-02-10T22:30:00Z"))
    assert built(mill, as_of=AS_OF)["activity_daily"] == ["2026-02-10", "2026-02-11"]
    feed(mill, event("c", "2026-02-11T10:00:00Z"))
    assert built(mill, as_of=AS_OF)["activity_daily"] == ["2026-02-11", "2026-02-12"]
    assert rows(mill, "SELECT day::VARCHAR, events FROM activity_daily") == [("2026-02-10", 1), ("2026-02-11", 2)]


def test_changed_sql_rebuilds_the_table_and_what_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Every partition of that table is built again and of those above it; the other tables stay."""
    mill = home(tmp_path, *TWO_DAYS)
    built(mill, as_of=AS_OF)
    folder = copy_of_tables(tmp_path)
    file = folder / "activity" / "session_activity_daily.sql"
    file.write_text(file.read_text().replace("count(*) AS events", "10 * count(*) AS events"))
    other_tables(monkeypatch, folder)
    found = built(mill, as_of=AS_OF)
    assert found.keys() == {"session_activity_daily"} | readers_of("session_activity_daily")
    assert found["session_activity_daily"] == ["2026-02-10", "2026-02-11"]
    assert rows(mill, "SELECT events FROM sessions") == [(20,)]


def test_sql_that_changed_without_effect_is_built_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new comment gives the same file, and yet the next build knows that it was made of this text."""
    mill = home(tmp_path, *TWO_DAYS)
    built(mill, as_of=AS_OF)
    folder = copy_of_tables(tmp_path)
    file = folder / "metrics" / "metric_hourly.sql"
    file.write_text(file.read_text() + "-- the same as before\n")
    other_tables(monkeypatch, folder)
    before = published(mill)
    assert built(mill, as_of=AS_OF) == {"metric_hourly": ["2026-02-10", "2026-02-11"]}
    assert built(mill, as_of=AS_OF) == {}
    assert published(mill) == before


def test_the_periods_of_some_days_are_built_once_more(tmp_path: Path) -> None:
    """Those that have one of the days, fresh or not; others, and windows, stay as they are."""
    mill = home(tmp_path, *TWO_DAYS)
    built(mill, as_of=AS_OF)
    day = date(2026, 2, 11)
    with build_run.begin(mill.home, config_settings.load(mill.home.path), as_of=AS_OF, days=(day, day)) as work:
        for name in ("activity_daily", "activity_weekly", "job_states", "llm_ttft", "users"):
            build_tables.build_table(work, name)
        made = {one.table: (one.partitions, one.why) for one in work.built}
    assert made == {
        "activity_daily": (("2026-02-11",), ("its day was asked for",)),
        "activity_weekly": (("2026-02-09",), ("its day was asked for",)),
        "job_states": (("2026-02-11",), ("its day was asked for",)),
    }


def test_full_builds_everything_to_the_same_tables(tmp_path: Path) -> None:
    """With full every partition of every table is built, to the same rows in the same order."""
    mill = home(tmp_path, *TWO_DAYS)
    first = built(mill, as_of=AS_OF)
    before = published(mill)
    assert built(mill, as_of=AS_OF, full=True) == first
    assert published(mill) == before


@pytest.mark.parametrize(("old", "new"), [("UTC", "Asia/Tokyo"), ("Asia/Tokyo", "America/New_York")])
def test_another_timezone_rebuilds_everything(tmp_path: Path, old: str, new: str) -> None:
    """Every table is that of a fresh home of the new timezone: a day that there no longer is leaves no row behind."""
    records = (*TWO_DAYS, event("x", "2026-01-31T22:30:00Z"), event("y", "2026-02-28T20:30:00Z"))
    mill = home(tmp_path, *records, settings=f'timezone = "{old}"')
    built(mill, as_of=AS_OF)
    write_settings(mill, f'timezone = "{new}"')
    assert built(mill, as_of=AS_OF).keys() == catalog_tables.tables().keys()
    fresh = home(tmp_path, *records, settings=f'timezone = "{new}"', name="fresh")
    built(fresh, as_of=AS_OF)
    assert published(mill) == published(fresh)
    assert built(mill, as_of=AS_OF) == {}


def test_new_prices_rebuild_what_reads_them(tmp_path: Path) -> None:
    """When prices.csv appears or changes, the tables that name prices are built again, and no others."""
    mill = home(tmp_path, event("a", "2026-02-10T10:00:00Z", type="llm_request", model="m1", input_tokens=1_000_000))
    built(mill, as_of=AS_OF)
    assert rows(mill, "SELECT estimated_cost_usd, unpriced_requests FROM llm_hourly") == [(None, 1)]
    header = "provider,model,valid_from,input_per_1m_usd,output_per_1m_usd\n"
    mill.home.prices.write_text(f"{header},m*,2026-01-01T00:00:00Z,3,9\n")
    assert built(mill, as_of=AS_OF).keys() == readers_of("prices")
    assert rows(mill, "SELECT estimated_cost_usd, unpriced_requests FROM llm_hourly") == [(3.0, 0)]


@pytest.mark.also_tables("functions")
def test_another_setting_rebuilds_the_tables_that_name_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """And those above them, of every kind of partition, but no others; a comment or a text names nothing."""
    folder = tmp_path / "tables"
    by_day = ["partition: day", "sort: day"]
    day = {"day": "local_day(timestamp)"}
    events = {"events": "count(*)"}
    write_table(folder, "slow", by_day, day | {"slow": "count(*) FILTER (WHERE duration_ms > $short_max)"}, COUNTED)
    write_table(folder, "days", [*by_day, "see $short_max"], day | {"word": "'$short_max'"} | events, COUNTED)
    write_table(folder, "above", ["partition: none", "sort: slow"], {"slow": "whole_sum(slow)"}, "FROM slow")
    cost = {"cost": "CAST(count(*) * $cost_per_1k_tokens AS DOUBLE)"}
    write_table(folder, "whole", ["partition: none", "sort: cost"], cost, "FROM slow")
    ends = {"window_hours": "CAST($window_hours AS BIGINT)", "as_of": "$as_of"}
    window = ["partition: window", "windows: 24h", "sort: window_hours"]
    write_table(folder, "windows", window, ends | {"longest": "CAST($long_max AS DOUBLE)"}, "FROM whole")
    other_tables(monkeypatch, folder)
    calls = (event(f"{ms}", "2026-02-10T10:00:00Z", duration_ms=ms) for ms in (1, 2, 3, 4))
    mill = home(tmp_path, *calls)
    assert built(mill, as_of=AS_OF).keys() == {"slow", "days", "above", "whole", "windows"}
    assert rows(mill, "SELECT slow, cost, longest FROM above, whole, windows") == [(2, 0.0001, 10.0)]
    for setting, tables, found in (
        ("functions.short_max = 1", {"slow", "above", "whole", "windows"}, (3, 0.0001, 10.0)),
        ("functions.short_max = 1.0", set(), (3, 0.0001, 10.0)),
        ("functions = {short_max = 1, long_max = 30}", {"windows"}, (3, 0.0001, 30.0)),
        ("functions = {short_max = 1, long_max = 30, medium_max = 6}", set(), (3, 0.0001, 30.0)),
        (
            "functions = {short_max = 1, long_max = 30}\nknowledge.cost_per_1k_tokens = 2",
            {"whole", "windows"},
            (3, 2, 30),
        ),
    ):
        write_settings(mill, setting)
        assert built(mill, as_of=AS_OF).keys() == tables
        assert rows(mill, "SELECT slow, cost, longest FROM above, whole, windows") == [found]


def test_prices_that_are_none_stop_only_what_needs_them(tmp_path: Path) -> None:
    """The table, the file, its line and the reason are said; every other table is built and published."""
    mill = home(tmp_path, *TWO_DAYS)
    mill.home.prices.write_text("provider,model,valid_from,input_per_1m_usd,output_per_1m_usd\n,m1,never,3,9\n")
    with pytest.raises(BuildError) as raised:
        mill.build()
    assert {failure.split()[1] for failure in map(str, raised.value.failures)} == readers_of("prices")
    for failure in raised.value.failures:
        assert str(failure).endswith(f" cannot be built: {mill.home.prices}, line 2: valid_from is no time: never")
    assert "metric_hourly" in published(mill)
    assert not readers_of("prices") & published(mill).keys()


def test_only_the_tables_asked_for_and_their_inputs_are_built(tmp_path: Path) -> None:
    """Naming a table builds it and what it reads; the others wait."""
    mill = home(tmp_path, *TWO_DAYS)
    assert built(mill, "job_totals", as_of=AS_OF).keys() == {"job_states", "job_activity_daily", "job_totals"}
    with pytest.raises(UsageError, match="activity_daily is not built yet"):
        mill.path("activity_daily")
    with pytest.raises(UsageError, match='did you mean "job_totals"'):
        mill.build("job_total")


def test_a_table_that_there_is_no_longer_leaves_the_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table whose SQL is gone is published no more."""
    mill = home(tmp_path, *TWO_DAYS)
    built(mill, as_of=AS_OF)
    folder = copy_of_tables(tmp_path)
    (folder / "metrics" / "metric_hourly.sql").unlink()
    other_tables(monkeypatch, folder)
    assert built(mill, as_of=AS_OF) == {}
    assert not (mill.snapshot() / "metric_hourly").exists()


def test_compacting_the_lake_makes_nothing_stale(tmp_path: Path) -> None:
    """The same records in other files are the same records; readers are shown the new files."""
    mill = home(tmp_path)
    for hour in range(4):
        feed(
            mill,
            *(event(f"e{hour}{n}", f"2026-02-10T0{hour}:00:00Z") for n in range(3)),
            metric(f"m{hour}", "2026-02-10T00:00:00Z"),
        )
    built(mill, as_of=AS_OF)
    snapshot, tables = mill.snapshot(), published(mill)
    with mill.home.lock("lake"):
        assert DeltaTable(mill.home.lake / "events").optimize.compact()["numFilesRemoved"] == 4
        assert DeltaTable(mill.home.lake / "metrics").optimize.compact()["numFilesRemoved"] == 4
    assert built(mill, as_of=AS_OF) == {}
    assert mill.snapshot() != snapshot
    assert published(mill) == tables
    assert rows(mill, "SELECT count(*), count(DISTINCT load_id) FROM lake.events") == [(12, 4)]
    feed(mill, event("late", "2026-02-10T05:00:00Z"))
    assert built(mill, as_of=AS_OF)["activity_daily"] == ["2026-02-10"]
    assert rows(mill, "SELECT events FROM activity_daily") == [(13,)]


def test_the_lake_says_which_load_a_file_is_of(tmp_path: Path) -> None:
    """So that a fingerprint needs no record to be read."""
    mill = home(tmp_path, *TWO_DAYS)
    built(mill, "metric_hourly")
    loads = {load for (load,) in rows(mill, "SELECT load_id FROM lake.loads")}
    snapshot = commits.current(mill.home)
    for kind in lake_schema.RECORD_TABLES:
        assert {file.first_load for file in snapshot.of(kind)} == loads
        assert {file.last_load for file in snapshot.of(kind)} == loads


def test_as_many_other_records_are_other_records(tmp_path: Path) -> None:
    """A day whose records gave way to as many of another load is stale, though the numbers are the same."""
    mill = home(tmp_path, metric("a", "2026-02-10T10:00:00Z", 1), metric("b", "2026-02-10T11:00:00Z", 2))
    built(mill, "metric_hourly")
    with mill.home.lock("lake"):
        DeltaTable(mill.home.lake / "metrics").delete("id = 'a'")
        # The ledger must say so, too, or the lake counts as one of an older copy.
        DeltaTable(mill.home.lake / "loads").update({"records_read": "1", "accepted": "1"})
    feed(mill, metric("c", "2026-02-10T10:00:00Z", 3))
    assert built(mill, "metric_hourly") == {"metric_hourly": ["2026-02-10"]}
    assert rows(mill, "SELECT total_value FROM metric_hourly ORDER BY hour") == [(3.0,), (2.0,)]


# Windows


def test_a_window_stands_until_it_is_old(tmp_path: Path) -> None:
    """Younger than windows.refresh_minutes it keeps its as_of; then it is built as of now."""
    mill = home(tmp_path, *TWO_DAYS, settings="[windows]\nrefresh_minutes = 10")
    young = datetime.now(UTC) - timedelta(minutes=5)
    built(mill, "llm_ttft", as_of=young)
    assert built(mill, "llm_ttft") == {}
    assert rows(mill, "SELECT DISTINCT as_of FROM llm_ttft") == [(young,)]
    built(mill, "llm_ttft", as_of=datetime.now(UTC) - timedelta(minutes=11))
    assert built(mill, "llm_ttft") == {"llm_ttft": ["168h", "24h", "720h"]}
    ((as_of,),) = rows(mill, "SELECT DISTINCT as_of FROM llm_ttft")
    assert timedelta(0) <= datetime.now(UTC) - as_of < timedelta(minutes=1)


def test_a_window_of_the_future_does_not_stand(tmp_path: Path) -> None:
    """One that was asked for ahead of time is built as of now by the next build."""
    mill = home(tmp_path, *TWO_DAYS)
    built(mill, "llm_ttft", as_of=datetime.now(UTC) + timedelta(minutes=5))
    assert built(mill, "llm_ttft") == {"llm_ttft": ["168h", "24h", "720h"]}


def test_a_window_with_new_records_is_built_as_of_now(tmp_path: Path) -> None:
    """However young it is."""
    mill = home(tmp_path, *TWO_DAYS)
    now = datetime.now(UTC)
    built(mill, "llm_ttft", as_of=now - timedelta(minutes=5))
    feed(mill, event("new", (now - timedelta(minutes=1)).isoformat(), type="llm_request", ttft_ms=7))
    assert built(mill, "llm_ttft")["llm_ttft"] == ["168h", "24h", "720h"]
    assert rows(mill, "SELECT requests, as_of >= now() - INTERVAL 1 MINUTE FROM llm_ttft WHERE window_hours = 24") == [
        (1, True)
    ]


def test_a_window_is_built_when_another_moment_is_asked_for(tmp_path: Path) -> None:
    """An as_of of its own is kept to the microsecond; the same one again builds nothing."""
    mill = home(tmp_path, *TWO_DAYS)
    built(mill, "llm_ttft", as_of=AS_OF)
    assert built(mill, "llm_ttft", as_of="2026-02-12T12:00:00.000001Z") == {"llm_ttft": ["168h", "24h", "720h"]}
    assert built(mill, "llm_ttft", as_of="2026-02-12T13:00:00.000001+01:00") == {}
    assert rows(mill, "SELECT DISTINCT as_of::VARCHAR FROM llm_ttft") == [("2026-02-12 12:00:00.000001+00",)]


def test_a_window_takes_in_its_end_and_leaves_out_its_beginning(tmp_path: Path) -> None:
    """as_of - w < t ≤ as_of."""
    moments = (
        "2026-02-11T12:00:00Z",
        "2026-02-11T12:00:00.000001Z",
        "2026-02-12T12:00:00Z",
        "2026-02-12T12:00:00.000001Z",
    )
    mill = home(tmp_path, *(event(at, at, type="llm_request", ttft_ms=n) for n, at in enumerate(moments, 1)))
    built(mill, "llm_ttft", as_of=AS_OF)
    assert rows(mill, "SELECT requests, p50_ttft_ms FROM llm_ttft WHERE window_hours = 24") == [(2, 2.5)]


def test_windows_stand_in_the_order_of_their_length(tmp_path: Path) -> None:
    """Published files are read in the order of the table's sort, 24 hours before 168 before 720."""
    mill = home(tmp_path, *TWO_DAYS)
    built(mill, "llm_ttft", as_of=AS_OF)
    assert rows(mill, "SELECT window_hours FROM llm_ttft") == [(24,), (168,), (720,)]
    assert mill.show("llm_ttft")["window_hours"].to_list() == [24, 168, 720]


@pytest.mark.parametrize(
    ("record", "latest"),
    [
        (event("x", "2026-02-11T20:00:00.5Z"), "2026-02-11 20:00:00.5+00"),
        (metric("x", "2026-02-12T20:00:00Z"), "2026-02-12 20:00:00+00"),
        (job("j2", "2026-02-11T09:00:00Z", observed_at="2026-03-01T00:00:00Z"), "2026-03-01 00:00:00+00"),
    ],
    ids=["event", "metric", "job"],
)
def test_latest_is_the_newest_moment_that_a_record_knows(tmp_path: Path, record: Record, latest: str) -> None:
    """Of events and metrics their timestamp, of jobs when they were observed."""
    mill = home(tmp_path, *TWO_DAYS, record)
    built(mill, "llm_ttft", as_of="latest")
    assert rows(mill, "SELECT DISTINCT as_of::VARCHAR FROM llm_ttft") == [(latest,)]
    assert built(mill, "llm_ttft", as_of="latest") == {}


def test_latest_of_an_empty_lake_is_now(tmp_path: Path) -> None:
    """Where there is no record, the run's moment ends the windows."""
    mill = home(tmp_path)
    built(mill, "llm_ttft", as_of="latest")
    assert rows(mill, "SELECT count(*) FROM llm_ttft WHERE as_of > now() - INTERVAL 1 MINUTE") == [(3,)]


@pytest.mark.parametrize(
    "moment", ["yesterday", "", "2026-02-30", "0001-01-01T00:00:00+00:00", "9999-12-31T23:59:59-12:00"]
)
def test_a_moment_that_is_none_is_refused(tmp_path: Path, moment: str) -> None:
    """As_of must be a time within the years that records may have."""
    with pytest.raises(UsageError, match="as-of"):
        home(tmp_path).build(as_of=moment)


def test_a_moment_without_an_offset_is_utc(tmp_path: Path) -> None:
    """Whether it comes as a text or as a datetime."""
    mill = home(tmp_path, *TWO_DAYS)
    built(mill, "llm_ttft", as_of="2026-02-12T12:00:00")
    assert built(mill, "llm_ttft", as_of=datetime(2026, 2, 12, 12)) == {}  # noqa: DTZ001 - that is the point
    assert built(mill, "llm_ttft", as_of=AS_OF) == {}


# Equal to a build from nothing

ZONES = ("UTC", "Europe/Berlin", "Asia/Kolkata", "Pacific/Kiritimati", "America/St_Johns")
HOURS = st.integers(min_value=0, max_value=24 * 40)
WORDS = st.sampled_from(["a", "b", None])
KINDS = ("step", "llm_request", "error_occurred", "validation", "log", "workflow_updated")


@st.composite
def batches(draw: st.DrawFn) -> list[list[Record]]:
    """Some files of events, jobs and metrics over forty days, many of them late."""
    start = datetime(2026, 1, 15, tzinfo=UTC)
    files: list[list[Record]] = []
    for number in range(draw(st.integers(2, 3))):
        records: list[Record] = []
        for index in range(draw(st.integers(1, 5))):
            at = (start + timedelta(hours=draw(HOURS), minutes=30)).isoformat()
            fields = {
                "session_id": draw(WORDS),
                "user_id": draw(WORDS),
                "job_id": draw(WORDS),
                "workflow_id": draw(WORDS),
                "duration_ms": draw(HOURS) / 7,
                "success": draw(st.sampled_from([True, False, None])),
            }
            kind = draw(st.sampled_from(KINDS))
            records.append(
                event(f"{number}-{index}", at, type=kind, ttft_ms=draw(HOURS) / 3, cost_usd=draw(HOURS) / 9, **fields)
            )
            records.append(metric(f"{number}-{index}", at, draw(HOURS) / 7))
        status = draw(st.sampled_from(["running", "completed", "failed"]))
        seen = (start + timedelta(days=draw(st.integers(0, 9)))).isoformat()
        records.append(
            job(
                "a", start.isoformat(), status=status, observed_at=seen, started_at=start.isoformat(), completed_at=seen
            )
        )
        files.append(records)
    return files


def check_steps(folder: Path, files: list[list[Record]], timezone: str) -> None:
    """After steps of ingest, late data and build, the tables are those of a fresh home: rows, order, doubles."""
    settings = f'timezone = "{timezone}"'
    mill = home(folder, settings=settings)
    for records in files:
        feed(mill, *records)
        built(mill, as_of=AS_OF)
    fresh = home(
        folder, *(record for records in reversed(files) for record in records), settings=settings, name="fresh"
    )
    built(fresh, as_of=AS_OF)
    assert published(mill) == published(fresh)
    assert built(mill, as_of=AS_OF) == {}


def steps(number: int) -> examples:
    """So many examples of random steps."""
    return examples(
        max_examples=number,
        deadline=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.function_scoped_fixture],
    )


@pytest.mark.every_table
@steps(1)
@given(files=batches(), timezone=st.sampled_from(ZONES))
def test_building_step_by_step_gives_what_building_once_gives(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[Record]], timezone: str
) -> None:
    """Any sequence of ingest, late data and build gives the tables of a fresh home."""
    check_steps(tmp_path_factory.mktemp("steps"), files, timezone)


@pytest.mark.slow
@pytest.mark.every_table
@steps(25)
@given(files=batches(), timezone=st.sampled_from(ZONES))
def test_many_sequences_of_steps_give_what_building_once_gives(
    tmp_path_factory: pytest.TempPathFactory, files: list[list[Record]], timezone: str
) -> None:
    """The same, for many."""
    check_steps(tmp_path_factory.mktemp("steps"), files, timezone)


# An empty lake, a broken table


@pytest.mark.every_table
def test_of_an_empty_lake_every_table_is_published(tmp_path: Path) -> None:
    """With its columns and without rows, but for those that a table has of nothing; the next build does nothing."""
    mill = home(tmp_path)
    built(mill, as_of=AS_OF)
    for table in catalog_tables.tables().values():
        frame = mill.show(table.name)
        assert frame.columns == list(table.comments), table.name
        cases = Path(__file__).parent / "sql" / "tables" / table.family / f"{table.name}.toml"
        of_nothing = tomllib.loads(cases.read_text("utf-8")).get("empty", [])
        assert len(frame) == len(of_nothing) * max(1, len(table.windows)), table.name
    assert built(mill, as_of=AS_OF) == {}


def test_the_first_record_takes_the_place_of_the_empty_file(tmp_path: Path) -> None:
    """A table that was empty has then just the file of its records."""
    mill = home(tmp_path)
    built(mill, as_of=AS_OF)
    feed(mill, *TWO_DAYS)
    built(mill, as_of=AS_OF)
    fresh = home(tmp_path, *TWO_DAYS, name="fresh")
    built(fresh, as_of=AS_OF)
    assert published(mill) == published(fresh)
    assert [file.name[:7] for file in mill.path("activity_daily").iterdir()] == ["2026-02"]


def test_an_empty_table_gets_the_columns_of_its_new_sql(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Without any record too, changed SQL is built."""
    mill = home(tmp_path)
    built(mill, as_of=AS_OF)
    folder = copy_of_tables(tmp_path)
    file = folder / "metrics" / "metric_hourly.sql"
    file.write_text(
        file.read_text().replace("    samples,", "    2 * samples AS twice,  -- twice the samples\n    samples,")
    )
    other_tables(monkeypatch, folder)
    assert built(mill, as_of=AS_OF).keys() == {"metric_hourly"}
    assert "twice" in mill.show("metric_hourly").columns


def break_table(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, right: str, wrong: str) -> None:
    """Let a table's SQL be wrong."""
    folder = copy_of_tables(tmp_path)
    file = folder / f"{table}.sql"
    assert right in file.read_text()
    file.write_text(file.read_text().replace(right, wrong))
    other_tables(monkeypatch, folder)


def test_a_broken_select_stops_only_what_reads_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its table, file, line and the engine's message are said; it and its readers stay, the rest is published."""
    mill = home(tmp_path, *TWO_DAYS)
    names = ("sessions", "users", "activity_daily", "metric_daily")
    built(mill, *names, as_of=AS_OF)
    before = published(mill)
    break_table(
        tmp_path, monkeypatch, "activity/session_activity_daily", "count(*) AS events", "count(no_such) AS events"
    )
    feed(mill, event("late", "2026-02-10T12:00:00Z", session_id="s1"), metric("late", "2026-02-10T12:00:00Z"))
    said: list[str] = []
    for _ in range(2):
        with pytest.raises(BuildError) as raised:
            mill.build(*names, as_of=AS_OF, say=said.append)
        (failure,) = raised.value.failures
        assert str(failure).startswith(
            "table session_activity_daily cannot be built: sql/tables/activity/session_activity_daily.sql, line 29: "
            'Binder Error: Referenced column "no_such" not found in FROM clause!'
        )
        assert "\n" not in str(failure)
        assert str(raised.value) == (
            "1 table could not be built; what reads such tables stays as it was: sessions, users; "
            "everything else is published"
        )
        assert getattr(raised.value, "__notes__", None) == [str(failure)]
    assert said == [str(failure), str(failure)]
    assert [made.table for made in raised.value.built] == []
    after = published(mill)
    assert {name for name in after if after[name] != before[name]} == {"activity_daily", "metric_daily"}
    assert not list(mill.home.tables.glob("building-*"))


def test_a_table_that_fails_from_the_first_is_not_published(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nor are its readers; once mended they all are, and nothing else is built again."""
    mill = home(tmp_path, *TWO_DAYS)
    names = ("sessions", "activity_daily")
    break_table(tmp_path, monkeypatch, "activity/session_activity_daily", "whole_sum(total_tokens)", "1 / nothing")
    with pytest.raises(BuildError) as raised:
        mill.build(*names)
    assert [made.table for made in raised.value.built] == ["activity_daily"]
    assert published(mill).keys() == {"activity_daily"}
    monkeypatch.undo()
    assert built(mill, *names).keys() == {"session_activity_daily", "sessions"}
    fresh = home(tmp_path, *TWO_DAYS, name="fresh")
    built(fresh, *names)
    assert published(mill) == published(fresh)


def test_a_failure_of_values_is_said_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A select that binds and fails over the records names its table and file."""
    mill = home(tmp_path, *TWO_DAYS)
    break_table(
        tmp_path, monkeypatch, "activity/activity_daily", "count(*) AS events", "CAST(min(type) AS BIGINT) AS events"
    )
    with pytest.raises(BuildError) as raised:
        mill.build("activity_daily", "metric_daily")
    assert "table activity_daily cannot be built: sql/tables/activity/activity_daily.sql" in str(
        raised.value.failures[0]
    )
    assert "Could not convert string" in str(raised.value.failures[0])
    assert published(mill).keys() == {"metric_daily"}


def test_a_published_table_of_older_sql_still_explains_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A table that failed keeps its columns: table_columns has those that are there, with what is known of them."""
    mill = home(tmp_path, *TWO_DAYS)
    built(mill, "activity_daily", "metric_daily")
    break_table(tmp_path, monkeypatch, "activity/activity_daily", "count(*) AS events", "no_such AS happened")
    feed(mill, metric("late", "2026-02-10T12:00:00Z"))
    with pytest.raises(BuildError):
        mill.build("activity_daily", "metric_daily")
    told = "SELECT column_name, description FROM table_columns WHERE table_name = 'activity_daily' LIMIT 3"
    assert rows(mill, told) == [
        ("day", "the local date"),
        ("events", None),
        ("errors", "events of type error_occurred"),
    ]


# A table of one's own takes one file


def test_weeks_and_months_are_built_a_period_at_a_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A late record reopens its week and its month of the reporting timezone, and these count all of it."""
    folder = tmp_path / "tables"
    for period in ("week", "month"):
        columns = {f"{period}_start": f"local_{period}(timestamp)", "events": "count(*)"}
        write_table(folder, f"{period}s", [f"partition: {period}", f"sort: {period}_start"], columns, COUNTED)
    other_tables(monkeypatch, folder)
    moments = ("2026-01-31T23:30:00Z", "2026-02-01T22:30:00Z", "2026-02-01T23:30:00Z", "2026-02-10T10:00:00Z")
    mill = home(tmp_path, *(event(at, at) for at in moments), settings='timezone = "Europe/Berlin"')
    assert built(mill) == {
        "months": ["2026-01-01", "2026-02-01"],
        "weeks": ["2026-01-26", "2026-02-02", "2026-02-09"],
    }
    weeks = [("2026-01-26", 2), ("2026-02-02", 1), ("2026-02-09", 1)]
    assert rows(mill, "SELECT week_start::VARCHAR, events FROM weeks") == weeks
    assert rows(mill, "SELECT month_start::VARCHAR, events FROM months") == [("2026-02-01", 4)]
    feed(mill, event("late", "2026-02-12T10:00:00Z"))
    assert built(mill) == {"months": ["2026-02-01"], "weeks": ["2026-02-09"]}
    assert rows(mill, "SELECT events FROM weeks WHERE week_start = DATE '2026-02-09'") == [(2,)]
    assert rows(mill, "SELECT events FROM months") == [(5,)]


@pytest.mark.also_tables("activity_monthly")
def test_a_file_without_a_rebuilt_period_stays(tmp_path: Path) -> None:
    """A week lies in the file of the month that it begins in, but for the newest two, which have one of their own."""
    days = ("01-20", "01-29", "02-02", "03-02", "03-10", "04-02")
    moments = [f"2026-{day}T10:00:00Z" for day in days]
    records = [event(at, at, session_id="s1", duration_ms=n) for n, at in enumerate(moments)]
    zone = 'timezone = "Asia/Kolkata"'
    mill = home(tmp_path, *records, settings=zone)
    tables = ("activity_weekly", "activity_monthly")
    built(mill, *tables)
    before = {table: {file.name[:7]: file.name for file in mill.path(table).iterdir()} for table in tables}
    assert {table: sorted(files) for table, files in before.items()} == {
        "activity_weekly": ["2026-01", "2026-02", "2026-03"],
        "activity_monthly": ["2026-01", "2026-02", "2026-03"],
    }
    late = event("late", "2026-02-01T18:29:59Z", session_id="s2", duration_ms=7)
    feed(mill, late)
    assert built(mill, *tables) == {
        "activity_weekly": ["2026-01-26", "2026-02-02"],  # its UTC day is of both Kolkata's Sunday and its Monday
        "activity_monthly": ["2026-02-01"],
    }
    after = {table: {file.name[:7]: file.name for file in mill.path(table).iterdir()} for table in tables}
    stay = {(table, month) for table in tables for month in after[table] if after[table][month] == before[table][month]}
    assert stay >= {("activity_weekly", "2026-03"), ("activity_monthly", "2026-01"), ("activity_monthly", "2026-03")}
    assert not stay & {("activity_weekly", "2026-01"), ("activity_monthly", "2026-02")}
    fresh = home(tmp_path, *records, late, settings=zone, name="fresh")
    built(fresh, *tables)
    assert published(mill) == published(fresh)
    columns = "events, sessions, max_duration_ms FROM"
    assert rows(mill, f"SELECT week_start::VARCHAR, {columns} activity_weekly ORDER BY ALL") == [
        ("2026-01-19", 1, 1, 0.0),
        ("2026-01-26", 2, 2, 7.0),
        ("2026-02-02", 1, 1, 2.0),
        ("2026-03-02", 1, 1, 3.0),
        ("2026-03-09", 1, 1, 4.0),
        ("2026-03-30", 1, 1, 5.0),
    ]
    assert rows(mill, f"SELECT month_start::VARCHAR, {columns} activity_monthly ORDER BY ALL") == [
        ("2026-01-01", 2, 1, 1.0),
        ("2026-02-01", 2, 2, 7.0),
        ("2026-03-01", 2, 1, 4.0),
        ("2026-04-01", 1, 1, 5.0),
    ]


def test_a_table_of_any_kind_may_read_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Weeks of days, days of a whole table and windows of a whole table are rebuilt when that changes."""
    folder = tmp_path / "tables"
    by_day = ["partition: day", "sort: day"]
    write_table(folder, "days", by_day, {"day": "local_day(timestamp)", "events": "count(*)"}, COUNTED)
    write_table(folder, "total", ["partition: none", "sort: events"], {"events": "whole_sum(events)"}, "FROM days")
    share = {"day": "days.day", "share": "days.events / total.events"}
    write_table(folder, "shares", by_day, share, "FROM days\nCROSS JOIN total")
    week = {"week_start": "CAST(date_trunc('week', day) AS DATE)", "events": "whole_sum(events)"}
    write_table(folder, "weeks", ["partition: week", "sort: week_start"], week, "FROM days\nGROUP BY ALL")
    window = {"window_hours": "CAST($window_hours AS BIGINT)", "as_of": "$as_of", "events": "total.events"}
    header = ["partition: window", "windows: 24h", "sort: window_hours"]
    write_table(folder, "windows", header, window, "FROM total")
    other_tables(monkeypatch, folder)
    mill = home(tmp_path, event("a", "2026-02-09T10:00:00Z"), event("b", "2026-02-10T10:00:00Z"))
    built(mill, as_of=AS_OF)
    assert rows(mill, "SELECT share FROM shares") == [(0.5,), (0.5,)]
    assert rows(mill, "SELECT events FROM weeks") == [(2,)]
    feed(mill, event("c", "2026-02-10T11:00:00Z"), event("d", "2026-02-10T12:00:00Z"))
    assert built(mill, as_of=AS_OF) == {
        "days": ["2026-02-10"],
        "total": ["all"],
        "shares": ["2026-02-09", "2026-02-10"],
        "weeks": ["2026-02-09"],
        "windows": ["24h"],
    }
    assert rows(mill, "SELECT share FROM shares") == [(0.25,), (0.75,)]
    assert rows(mill, "SELECT events FROM weeks UNION ALL SELECT events FROM windows") == [(4,), (4,)]


# What a build would do


def test_a_plan_is_what_the_build_then_does(tmp_path: Path) -> None:
    """New, late and changed: every partition that a build builds is in the plan, with a reason, and no other."""
    mill = home(tmp_path, *TWO_DAYS)
    for late in ((), (event("late", "2026-02-10T10:00:00Z"), job("j9", "2026-02-13T10:00:00Z")), ()):
        if late:
            feed(mill, *late)
        steps = plan.plan(mill.home, mill.settings, as_of=AS_OF)
        expected: dict[str, set[str]] = {}
        for step in steps:
            assert step.why
            expected.setdefault(step.table, set()).add(step.partition)
        assert {table: set(partitions) for table, partitions in built(mill, as_of=AS_OF).items()} == expected


def test_a_plan_says_why(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """New, with other records, with other SQL, of other tables, or because its moment passed."""

    def why(as_of: str = AS_OF, *, full: bool = False) -> dict[str, set[str]]:
        found: dict[str, set[str]] = {}
        for step in plan.plan(mill.home, mill.settings, as_of=as_of, full=full):
            found.setdefault(step.why, set()).add(step.table)
        return found

    tables = catalog_tables.tables()
    direct = {kind: {name for name in tables if kind in tables[name].records} for kind in ("jobs", "metrics")}
    mill = home(tmp_path, *TWO_DAYS)
    assert why() == {"new": set(catalog_tables.tables())}
    built(mill, as_of=AS_OF)
    assert why() == {}
    assert why(full=True) == {"--full": set(catalog_tables.tables())}
    assert why(as_of="2026-03-12T12:00:01Z") == {
        "its moment passed": {name for name in tables if tables[name].partition == "window"}
    }
    feed(mill, metric("late", "2026-02-10T10:00:00Z"))
    assert why() == {"its records changed": direct["metrics"]}
    feed(mill, job("j9", "2026-02-13T10:00:00Z"))
    assert why() == {
        "its records changed": direct["metrics"],
        "new": direct["jobs"],
        "a table that it reads changed": readers_of("jobs") - direct["jobs"],
    }
    built(mill, as_of=AS_OF)
    folder = copy_of_tables(tmp_path)
    file = folder / "jobs" / "jobs_daily.sql"
    file.write_text(file.read_text() + "-- changed\n")
    other_tables(monkeypatch, folder)
    assert why() == {"its SQL or a setting changed": {"jobs_daily"}}


def test_looking_makes_no_home_and_waits_for_nobody(tmp_path: Path) -> None:
    """Plan and status of a home that is not there leave no trace, and while another builds they answer at once."""
    nowhere = Tidemill(tmp_path / "nowhere")
    assert {status.stale for status in nowhere.status()} == {len(("24h", "168h", "720h")), 1}
    assert not nowhere.home.path.exists()
    mill = home(tmp_path, *TWO_DAYS)
    with mill.home.lock("tables"):
        assert [status.table for status in mill.status()] == list(catalog_tables.tables())


def test_status_tells_fresh_from_stale(tmp_path: Path) -> None:
    """How many partitions and rows a table has, how many are stale, and why."""
    mill = home(tmp_path, *TWO_DAYS)
    mill.build()
    feed(mill, metric("late", "2026-02-10T10:00:00Z"), metric("new", "2026-02-13T10:00:00Z"))
    found = {status.table: status for status in mill.status()}
    metrics = found["metric_hourly"]
    assert (metrics.partitions, metrics.stale, metrics.why, metrics.rows) == (2, 2, "its records changed, new", 2)
    assert (found["activity_daily"].stale, found["activity_daily"].why) == (0, "")
    assert datetime.fromisoformat(metrics.built_at) <= datetime.now(UTC)
