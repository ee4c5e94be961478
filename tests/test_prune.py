from __future__ import annotations

import json
from datetime import date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.homes import AS_OF, Record, built, event, feed, few_tables, home, job, metric, published, rows, tm
from tests.test_build import other_tables, write_table
from tidemill.build.file_layout import layout
from tidemill.errors import UsageError
from tidemill.lake import commits
from tidemill.lake import schema as lake_schema
from tidemill.maintenance import prune

__all__ = ["few_tables"]

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tidemill import Tidemill


FEW: Final = (
    *("activity_hourly", "activity_daily", "activity_weekly", "sessions", "llm_ttft"),
    *("job_states", "job_totals", "metric_hourly"),
)
TODAY: Final = date(2026, 2, 12)
DAYS: Final = ("2026-02-08", "2026-02-09", "2026-02-10", "2026-02-11")
RECORDS: Final = tuple(
    record
    for day in DAYS
    for record in (
        event(day, f"{day}T10:00:00Z", session_id="s1", duration_ms=5),
        metric(day, f"{day}T10:00:00Z"),
        job(day, f"{day}T10:00:00Z"),
    )
)


def pruned(mill: Tidemill, keep: str = "2d", *, tables: bool = False, dry_run: bool = False) -> dict[str, int]:
    """Prune as if it were the 12th; the days, or partitions, that left each table."""
    found = prune.prune(mill.home, mill.settings, keep=keep, tables=tables, dry_run=dry_run, today=TODAY)
    return {one.table: one.days for one in found}


def late(mill: Tidemill, *records: Record) -> list[tuple[Any, ...]]:
    """Ingest records that come late; what is in the quarantine then."""
    file = mill.home.path / f"late-{len(list(mill.home.path.glob('late-*')))}.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    mill.ingest(file)
    mill.build(as_of=AS_OF)
    return rows(mill, "SELECT line, record, field, reason FROM lake.quarantine ORDER BY uri, line")


def days_of(mill: Tidemill, table: str, column: str = "day") -> list[str]:
    """The periods that a table has."""
    return [str(value) for (value,) in rows(mill, f"SELECT DISTINCT {column}::VARCHAR FROM {table} ORDER BY ALL")]


def test_records_of_old_days_leave_the_lake(tmp_path: Path) -> None:
    """Whole days older than what is kept, of all three kinds; the ledger stays."""
    mill = home(tmp_path, *RECORDS)
    assert pruned(mill) == {"lake.jobs": 2, "lake.events": 2, "lake.metrics": 2}
    now = commits.current(mill.home)
    assert {file.day for name in lake_schema.RECORD_TABLES for file in now.of(name)} == {"2026-02-10", "2026-02-11"}
    assert pruned(mill) == {}
    mill.build("activity_daily")
    assert rows(mill, "SELECT sum(accepted) FROM lake.loads") == [(len(RECORDS),)]


def test_tables_keep_what_they_say_of_sealed_days(tmp_path: Path) -> None:
    """Not even a full build, or one with other SQL, takes a figure from them, and nothing of them is stale."""
    mill = home(tmp_path, *RECORDS)
    built(mill, as_of=AS_OF)
    before = {name: mill.show(name).rows() for name in FEW}
    pruned(mill)
    found = built(mill, as_of=AS_OF)
    assert found.keys() <= {"llm_ttft"}
    built(mill, as_of=AS_OF, full=True)
    assert {name: mill.show(name).rows() for name in FEW} == before
    assert mill.status()[0].sealed == 2


def test_a_week_with_a_pruned_day_is_sealed(tmp_path: Path) -> None:
    """It keeps its figures, though some of its days go on; the next week is built."""
    mill = home(tmp_path, *RECORDS)
    built(mill, as_of=AS_OF)
    pruned(mill)  # the week of Monday the 9th lacks the 9th
    feed(mill, event("new", "2026-02-11T11:00:00Z"), event("next week", "2026-02-16T11:00:00Z"))
    found = built(mill, as_of=AS_OF)
    assert found["activity_daily"] == ["2026-02-11", "2026-02-16"]
    assert found["activity_weekly"] == ["2026-02-16"]
    weeks = rows(mill, "SELECT week_start::VARCHAR, events FROM activity_weekly ORDER BY ALL")
    assert weeks == [("2026-02-02", 1), ("2026-02-09", 3), ("2026-02-16", 1)]


def test_what_was_never_built_of_sealed_days_is_not_built(tmp_path: Path) -> None:
    """A table that comes later has no partition that would lack records."""
    mill = home(tmp_path, *RECORDS)
    pruned(mill)
    built(mill, as_of=AS_OF)
    assert days_of(mill, "activity_daily") == ["2026-02-10", "2026-02-11"]
    assert days_of(mill, "activity_weekly", "week_start") == []
    assert mill.show("activity_weekly").columns[0] == "week_start"


@pytest.mark.parametrize("large", [False, True])
def test_a_late_record_of_a_sealed_day_is_quarantined(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, *, large: bool
) -> None:
    """Whether its file is settled whole or a day at a time; the others are accepted, and the ledger adds up."""
    if large:
        monkeypatch.setattr("tidemill.ingest.load.LARGE_BYTES", 1)
    mill = home(tmp_path, *RECORDS)
    built(mill, as_of=AS_OF)
    pruned(mill)
    without_id = {name: value for name, value in event("", "2026-02-09T23:59:59Z").items() if name != "id"}
    records = [
        event("good", "2026-02-10T00:00:00Z"),
        event("old", "2026-02-09T23:59:59.999999Z"),
        metric("old", "2026-02-08T10:00:00Z"),
        job("old", "2026-02-09T10:00:00Z"),
        without_id,
    ]
    assert late(mill, *records) == [
        (2, "event", "timestamp", "pruned"),
        (3, "metric", "timestamp", "pruned"),
        (4, "job", "created_at", "pruned"),
        (5, "event", "timestamp", "pruned"),
    ]
    assert rows(mill, "SELECT id FROM lake.events WHERE id = 'good'") == [("good",)]
    assert [outcome.result for outcome in mill.check(deep=True) if outcome.check == "ledger_adds_up"] == ["ok"]
    (line,) = mill.late()
    assert line.startswith("4 later records are missing from sealed partitions, and in lake.quarantine")


def test_late_records_of_one_kind_alone_are_told_by_their_lines(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Native lines are staged without their numbers, which are looked up for those that are refused."""
    monkeypatch.setattr("tidemill.ingest.load.LARGE_BYTES", 1)
    mill = home(tmp_path, *RECORDS)
    pruned(mill)
    hours = [event(str(n), f"2026-02-{day:02}T10:00:00Z") for n, day in enumerate((9, 10, 8, 11, 9))]
    for record in hours:
        del record["record"]
    file = mill.home.path / "events.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in hours))
    mill.ingest(file, record="event")
    mill.build("activity_daily")
    assert rows(mill, "SELECT line, reason FROM lake.quarantine ORDER BY line") == [
        (1, "pruned"), (3, "pruned"), (5, "pruned"),
    ]  # fmt: skip
    assert [event_id for (event_id,) in rows(mill, "SELECT id FROM lake.events WHERE length(id) = 1 ORDER BY id")] == [
        "1",
        "3",
    ]


def test_a_job_of_a_sealed_day_is_not_taken_up_again(tmp_path: Path) -> None:
    """An observation that says when it was created is pruned, one that does not is of an unknown job."""
    mill = home(tmp_path, *RECORDS)
    built(mill, as_of=AS_OF)
    pruned(mill)
    again = job("2026-02-08", "2026-02-08T10:00:00Z", status="failed", observed_at="2026-02-12T00:00:00Z")
    partial = {"record": "job", "job_id": "2026-02-09", "status": "failed"}
    assert late(mill, again, partial) == [(1, "job", "created_at", "pruned"), (2, "job", "created_at", "unknown job")]
    assert rows(mill, "SELECT status FROM job_totals WHERE job_id = '2026-02-08'") == [("completed",)]


def test_what_was_pruned_stays_in_the_quarantine(tmp_path: Path) -> None:
    """It is not fed again by each ingest, and a retry refuses it again."""
    from tidemill.ingest.quarantine import retry

    mill = home(tmp_path, *RECORDS)
    pruned(mill)
    before = late(mill, event("old", "2026-02-09T10:00:00Z"))
    feed(mill, event("new", "2026-02-11T12:00:00Z"))
    assert rows(mill, "SELECT count(*) FROM lake.loads WHERE kind = 'retry'") == [(0,)]
    retry(mill.home, mill.settings)
    mill.build(as_of=AS_OF)
    assert rows(mill, "SELECT line, record, field, reason FROM lake.quarantine") == before


def fed_again(mill: Tidemill) -> int:
    """How many loads are staged when a file of one new event is ingested."""
    number = len(list(mill.home.path.glob("again-*")))
    file = mill.home.path / f"again-{number}.jsonl"
    file.write_text(json.dumps(event(f"again {number}", "2026-02-11T12:00:00Z")) + "\n")
    reports = mill.ingest(file)
    mill.build("metric_hourly")
    return len(reports)


def test_what_waits_for_a_job_of_a_sealed_day_is_not_fed_for_ever(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The UTC day of the job is kept, its reporting day is sealed: it is found to be pruned, by a retry, once."""
    mill = home(tmp_path, *RECORDS, settings='timezone = "America/New_York"\n')
    partial = {"record": "job", "job_id": "edge", "status": "failed", "observed_at": "2026-02-12T00:00:00Z"}
    assert late(mill, event("new", "2026-02-11T13:00:00Z"), partial) == [(2, "job", "created_at", "unknown job")]
    with monkeypatch.context() as patch:  # it comes, and its day is sealed before what waits for it is fed again
        patch.setattr("tidemill.ingest.quarantine.retry_unknown_jobs", lambda *_: [])
        feed(mill, job("edge", "2026-02-10T03:00:00Z", status="running"))
    pruned(mill)
    assert fed_again(mill) == 2
    refused = "SELECT line, record, field, reason, raw FROM lake.quarantine"
    assert rows(mill, refused) == [(2, "job", "created_at", "pruned", json.dumps(partial))]
    assert fed_again(mill) == 1
    loads = rows(mill, "SELECT count(*) FROM lake.loads")
    assert [report.loads for report in mill.retry()] == []
    assert [report.loads for report in mill.retry(reason="pruned")] == [[]]
    mill.build("metric_hourly")
    assert rows(mill, "SELECT count(*) FROM lake.loads") == loads
    assert len(rows(mill, refused)) == 1


@pytest.mark.parametrize("together", [True, False])
def test_an_observation_of_a_sealed_day_says_nothing_of_its_job(tmp_path: Path, *, together: bool) -> None:
    """In one file or in two: it is not in the lake, so another created_at is the job's first."""
    mill = home(tmp_path, *RECORDS)
    pruned(mill)
    observations: list[Record] = [
        job("j", "2026-02-08T10:00:00Z", status="running"),
        job("j", "2026-02-11T10:00:00Z", status="failed"),
    ]
    for records in [observations] if together else [[one] for one in observations]:
        refused = late(mill, *records)
    assert refused == [(1, "job", "created_at", "pruned")]
    assert rows(mill, "SELECT status FROM job_states WHERE job_id = 'j'") == [("failed",)]
    assert late(mill, {"record": "job", "job_id": "k", "status": "failed"}, job("k", "2026-02-08T10:00:00Z"))[1:] == [
        (1, "job", "created_at", "unknown job"),
        (2, "job", "created_at", "pruned"),
    ]


@pytest.mark.parametrize(
    ("zone", "sealed", "opens"),
    [
        ("Europe/Berlin", ["2026-02-08", "2026-02-09", "2026-02-10"], "2026-02-10T23:00:00+00:00"),
        ("America/New_York", ["2026-02-07", "2026-02-08", "2026-02-09"], "2026-02-10T05:00:00+00:00"),
    ],
)
def test_a_reporting_day_that_touches_a_pruned_day_is_sealed(
    tmp_path: Path, zone: str, sealed: Sequence[str], opens: str
) -> None:
    """The UTC day that is kept may belong to it in part: no record of that part is taken."""
    mill = home(tmp_path, *RECORDS, settings=f'timezone = "{zone}"\n')
    built(mill, as_of=AS_OF)
    pruned(mill)
    earlier = datetime.fromisoformat(opens) - timedelta(microseconds=1)
    assert late(mill, event("early", earlier.isoformat()), event("first", opens)) == [
        (1, "event", "timestamp", "pruned")
    ]
    status = {table.table: table for table in mill.status()}
    assert status["activity_daily"].sealed == len(sealed)
    assert rows(mill, "SELECT events FROM activity_daily WHERE day = DATE '2026-02-09'") == [(1,)]
    fresh = home(tmp_path, *RECORDS, event("first", opens), settings=f'timezone = "{zone}"\n', name="fresh")
    built(fresh, as_of=AS_OF)
    query = f"SELECT * FROM activity_daily WHERE day > DATE '{sealed[-1]}'"
    assert rows(mill, query) == rows(fresh, query)


def test_tables_may_forget_too(tmp_path: Path) -> None:
    """Then the periods that were sealed go in one publish, with what is made of them; the layout follows."""
    mill = home(tmp_path, *RECORDS)
    built(mill, as_of=AS_OF)
    assert pruned(mill, tables=True) == {
        "lake.jobs": 2,
        "lake.events": 2,
        "lake.metrics": 2,
        **dict.fromkeys(("activity_hourly", "activity_daily", "session_activity_daily"), 2),
        **dict.fromkeys(("job_states", "job_activity_daily", "metric_hourly"), 2),
        "activity_weekly": 1,
    }
    assert days_of(mill, "activity_daily") == ["2026-02-10", "2026-02-11"]
    assert days_of(mill, "activity_weekly", "week_start") == ["2026-02-09"]
    assert rows(mill, "SELECT count(*) FROM job_totals") == [(2,)]
    assert rows(mill, "SELECT events FROM sessions") == [(2,)]
    files = [path.name[:10] for path in mill.path("activity_daily").iterdir()]
    assert files == [*set(layout(["2026-02-10", "2026-02-11"]).values())]
    assert built(mill, as_of=AS_OF).keys() <= {"llm_ttft"}


def test_a_dry_run_removes_nothing(tmp_path: Path) -> None:
    """It says what would go."""
    mill = home(tmp_path, *RECORDS)
    built(mill, as_of=AS_OF)
    before = published(mill)
    dry = pruned(mill, tables=True, dry_run=True)
    assert commits.current(mill.home).pruned == ""
    assert published(mill) == before
    assert dry == pruned(mill, tables=True)


def test_what_was_begun_is_finished(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where a prune was said and then killed, whoever comes next removes the records."""
    mill = home(tmp_path, *RECORDS)
    with monkeypatch.context() as patch:
        patch.setattr(commits, "_finish_pruning", lambda _home: None)
        pruned(mill)
        assert len({file.day for file in commits.current(mill.home).of("events")}) == 4
    assert {file.day for file in commits.current(mill.home).of("events")} == {"2026-02-10", "2026-02-11"}


def test_more_may_be_pruned_later_and_never_less(tmp_path: Path) -> None:
    """The day from which on records are kept does not move back."""
    mill = home(tmp_path, *RECORDS)
    pruned(mill, "2d")
    assert pruned(mill, "30d") == {}
    assert commits.current(mill.home).pruned == "2026-02-10"
    assert pruned(mill, "1d") == {"lake.jobs": 1, "lake.events": 1, "lake.metrics": 1}


def test_a_window_says_what_it_lacks(tmp_path: Path) -> None:
    """One that begins before the first day that is kept."""
    mill = home(tmp_path, *RECORDS)
    pruned(mill)
    said = tm("show", "activity_daily", "--from", "2026-02-09", "--to", "2026-02-12", "--format", "csv", at=mill)
    assert said.err == "records of before 2026-02-10 were pruned: the window begins earlier, and lacks them\n"
    assert len(said.out.splitlines()) == 3
    assert tm("show", "activity_daily", "--from", "2026-02-10", "--to", "2026-02-12", at=mill).err == ""


@pytest.mark.parametrize("keep", ["", "90", "36h", "-1d", "d", "1y"])
def test_keep_is_a_number_of_days(tmp_path: Path, keep: str) -> None:
    """Anything else is said, and removes nothing."""
    mill = home(tmp_path, *RECORDS)
    with pytest.raises(UsageError, match="keep takes a number of days like 90d; not"):
        pruned(mill, keep)
    assert tm("prune", "--keep", keep, at=mill).code == 2


def test_the_command_says_what_went(tmp_path: Path) -> None:
    """A row for each table that lost something."""
    mill = home(tmp_path, *RECORDS)
    said = tm("prune", "--keep", "1d", "--dry-run", "--format", "csv", at=mill)
    assert said.out.splitlines() == ["table,days,rows", "lake.jobs,4,4", "lake.events,4,4", "lake.metrics,4,4"]


def test_other_sql_gives_sealed_rows_its_columns(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A new column is NULL there, and one that the SQL has no more is gone: all files of a table are alike."""
    folder = tmp_path / "tables"
    columns = {"day": "local_day(timestamp)", "events": "count(*)", "old": "1"}
    write_table(folder, "days", ["partition: day", "sort: day"], columns, "FROM events\nGROUP BY ALL")
    other_tables(monkeypatch, folder)
    days = [f"2026-0{month}-{day:02}" for month in (1, 2) for day in (8, 9, 10, 11)]
    mill = home(tmp_path, *(event(day, f"{day}T10:00:00Z") for day in days))
    built(mill)
    pruned(mill, "2d")
    del columns["old"]
    write_table(folder, "days", ["partition: day", "sort: day"], columns | {"new": "2"}, "FROM events\nGROUP BY ALL")
    other_tables(monkeypatch, folder)
    assert built(mill) == {"days": ["2026-02-10", "2026-02-11"]}
    expected = [(day, 1, 2 if day >= "2026-02-10" else None) for day in days]
    assert rows(mill, "SELECT day::VARCHAR, events, new FROM days ORDER BY day") == expected
    assert mill.table("days").collect().columns == ["day", "events", "new"]


def test_tables_that_forget_keep_what_is_partly_pruned(tmp_path: Path) -> None:
    """A week of which a day is left stays, sealed; one that is gone as a whole goes."""
    mill = home(tmp_path, *RECORDS)
    built(mill, as_of=AS_OF)
    assert pruned(mill, tables=True)["activity_weekly"] == 1
    assert days_of(mill, "activity_weekly", "week_start") == ["2026-02-09"]
    assert rows(mill, "SELECT events FROM activity_weekly") == [(3,)]
