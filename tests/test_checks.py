from __future__ import annotations

import json
import re
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest
from deltalake import DeltaTable

from tests.homes import AS_OF, built, event, feed, home, job, metric, rows, tm
from tests.test_build import copy_of_tables, other_tables, write_table
from tidemill.build.checks import definitions, rules
from tidemill.build.checks.definitions import LAKE
from tidemill.build.errors import CheckError
from tidemill.build.outcome import Result, Severity
from tidemill.catalog import tables as catalog_tables
from tidemill.engine import connection as engine_connection
from tidemill.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill import Tidemill
    from tidemill.build.outcome import Outcome

RECORDS: Final = (
    event("a", "2026-02-10T10:00:00Z", type="llm_request", session_id="s1", user_id="u1", model="m", duration_ms=10.25),
    event("b", "2026-02-17T10:00:00Z", type="step", job_id="j", success=True, duration_ms=5, cost_usd=0.1),
    job("j", "2026-02-10T09:00:00Z"),
    metric("m1", "2026-02-10T09:00:00Z", 0.1),
    metric("m2", "2026-02-10T10:00:00Z", 0.2),
)
DOUBLED: Final = ("count(*) AS events", "2 * count(*) AS events")
TOO_MUCH: Final = "    total_value + 1e-6 AS total_value,"
GROUPED: Final = "    GROUP BY ALL"
AND: Final = "\nUNION ALL BY NAME\nSELECT "
SEES_DAYS: Final = "-- Nothing is ever right.\n-- severity: warn\nSELECT day FROM activity_daily\n"


def write_check(mill: Tidemill, name: str, text: str) -> None:
    """Write a check of the user's."""
    mill.home.checks.mkdir(parents=True, exist_ok=True)
    (mill.home.checks / f"{name}.sql").write_text(text)


def outcome(mill: Tidemill, name: str, *, deep: bool = False) -> Outcome:
    """What one check finds in what is published."""
    return next(found for found in mill.check(deep=deep) if found.check == name)


def snapshots(mill: Tidemill) -> list[str]:
    """The snapshots that there are."""
    return sorted(path.name for path in (mill.home.tables / "snapshots").glob("*"))


# The checks that are shipped


@pytest.mark.parametrize("name", definitions.shipped())
def test_a_shipped_check_reads_what_there_is(name: str) -> None:
    """Otherwise it would never be run; and it says what must hold."""
    found = definitions.shipped()[name]
    assert found.reads <= {*catalog_tables.tables(), *catalog_tables.RECORD_RELATIONS, LAKE}
    assert found.description.endswith(".")


def test_of_good_records_every_check_is_run_and_content(tmp_path: Path) -> None:
    """In the build, after it, and over everything."""
    mill = home(tmp_path, *RECORDS)
    said: list[str] = []
    mill.build(as_of=AS_OF, say=said.append)
    assert said == []
    for deep in (False, True):
        assert {found.check: found.result for found in mill.check(deep=deep)} == dict.fromkeys(
            definitions.shipped(), Result.OK
        )


@pytest.mark.parametrize(
    ("check", "table", "change"),
    [
        ("activity_hours_add_up_to_days", "activity/activity_hourly", DOUBLED),
        ("activity_hours_add_up_to_days", "activity/activity_daily", ("exact_sum(cost", "1.00001 * exact_sum(cost")),
        ("activity_days_add_up_to_weeks", "activity/activity_weekly", DOUBLED),
        ("activity_days_add_up_to_months", "activity/activity_monthly", DOUBLED),
        ("event_types_add_up_to_days", "activity/event_types_daily", DOUBLED),
        ("llm_hours_add_up_to_days", "llm/llm_hourly", ("count(*) AS requests", "0 * count(*) AS requests")),
        ("metric_hours_add_up_to_days", "metrics/metric_hourly", ("    total_value,", TOO_MUCH)),
        ("job_statuses_add_up", "jobs/jobs_daily", ("count(*) AS jobs", "1 + count(*) AS jobs")),
        ("job_summary_adds_up", "jobs/job_summary", ("count(status) AS jobs", "1 + count(status) AS jobs")),
        ("topic_days_add_up_to_topics", "llm/topics", (GROUPED, f"{GROUPED}{AND}'why?' AS text, 1 AS frequency")),
        ("unique_keys", "activity/sessions", ("GROUP BY ALL", f"GROUP BY ALL{AND}'s1' AS session_id")),
        ("unique_keys", "jobs/job_summary", ("FROM job_totals", f"FROM job_totals{AND}1 AS jobs")),
        ("rates_from_0_to_1", "activity/activity_daily", ("/ nullif(count(success), 0)", "* 2")),
        ("percentiles_in_order", "activity/activity_daily", ("percentiles(duration_ms).p50", "1e9")),
        ("percentiles_in_order", "activity/activity_daily", ("min(duration_ms)", "1.001 * min(duration_ms)")),
    ],
)
def test_a_table_that_is_wrong_is_not_published(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, check: str, table: str, change: tuple[str, str]
) -> None:
    """The check that sees it fails, in the build and, once published all the same, after it too."""
    folder = copy_of_tables(tmp_path)
    file = folder / f"{table}.sql"
    assert change[0] in file.read_text()
    file.write_text(file.read_text().replace(*change))
    other_tables(monkeypatch, folder)
    mill = home(tmp_path, *RECORDS)
    names = {table.rpartition("/")[2], *definitions.shipped()[check].reads}
    with pytest.raises(CheckError, match=rf"check {check} failed: \d+ rows?, such as {{") as raised:
        mill.build(*names, as_of=AS_OF)
    assert "nothing is published" in str(raised.value)
    assert snapshots(mill) == []
    failed = re.findall(r"--despite (\w+)", str(raised.value))
    built(mill, *names, as_of=AS_OF, despite=failed)
    found = outcome(mill, check)
    assert found.result is Result.FAILED
    assert found.rows
    assert isinstance(json.loads(str(found.sample)), dict)


def test_a_ledger_that_does_not_add_up_is_seen(tmp_path: Path) -> None:
    """One record that nobody accounts for is one too many."""
    mill = home(tmp_path, *RECORDS)
    built(mill, "metric_hourly")
    with mill.home.lock("lake"):
        DeltaTable(mill.home.lake / "loads").update(updates={"records_read": "records_read + 1"})
    before = snapshots(mill)
    with pytest.raises(CheckError, match=r'check ledger_adds_up failed: 1 row, such as {"load_id":'):
        mill.build("metric_hourly")
    assert snapshots(mill) == before
    mill.build("metric_hourly", despite=["ledger_adds_up"])
    manifest = json.loads((mill.snapshot() / "manifest.json").read_text())
    assert manifest["despite"] == ["ledger_adds_up"]


def test_a_record_of_the_future_is_said_and_published(tmp_path: Path) -> None:
    """A warning forbids nothing; it names the record."""
    tomorrow = (datetime.now(UTC) + timedelta(days=1)).isoformat()
    mill = home(tmp_path)
    feed(mill, event("later", tomorrow), metric("now", datetime.now(UTC).isoformat()))
    said: list[str] = []
    mill.build("activity_daily", say=said.append)
    assert len(said) == 1
    assert said[0].startswith('check no_record_in_the_future warns: 1 row, such as {"record":"events","id":"later"')
    assert rows(mill, "SELECT events, despite FROM activity_daily, builds") == [(1, None)]
    assert outcome(mill, "no_record_in_the_future").result is Result.WARNING
    assert tm("check", at=mill).code == 0


# What a rule says of a table


def broken(key: list[str], select: str, *, estimated: bool = False) -> dict[str, int]:
    """The rules that a table of one select breaks, with how many rows."""
    with engine_connection.connect() as connection:
        connection.execute(f"CREATE TEMP VIEW t AS {select}")
        shape = rules.Shape("t", key, rules.columns(connection, "t"), estimated=estimated)
        return {name: count for name, (count, _) in rules.broken(connection, shape).items() if count}


@pytest.mark.parametrize(
    ("key", "select", "expected"),
    [
        (["a"], "SELECT 1 AS a UNION ALL SELECT 2", {}),
        (["a"], "SELECT 1 AS a UNION ALL SELECT 1 UNION ALL SELECT 1", {"unique_keys": 1}),
        (["a"], "SELECT NULL AS a UNION ALL SELECT NULL", {"unique_keys": 1}),
        (["a", "b"], "SELECT 1 AS a, 1 AS b UNION ALL SELECT 1, NULL", {}),
        ([], "SELECT 1 AS a", {}),
        ([], "SELECT 1 AS a WHERE false", {}),
        ([], "SELECT 1 AS a UNION ALL SELECT 2", {"unique_keys": 1}),
        ([], "SELECT 0.0 AS x_rate, 1.0 AS y_share", {}),
        ([], "SELECT NULL AS x_rate, 1.0000001 AS y_share", {"rates_from_0_to_1": 1}),
        ([], "SELECT -1e-9 AS x_rate", {"rates_from_0_to_1": 1}),
        ([], "SELECT 'nan'::DOUBLE AS x_rate", {"rates_from_0_to_1": 1}),
        ([], "SELECT 1 AS min_x, 1 AS p50_x, 1 AS p95_x, 1 AS p99_x, 1 AS max_x", {}),
        ([], "SELECT 0 AS count_x, NULL AS min_x, NULL AS p50_x, NULL AS p95_x, NULL AS max_x", {}),
        ([], "SELECT -2.0 AS min_x, -1.0 AS p50_x, 0.0 AS p95_x", {}),
        ([], "SELECT -1.0 AS min_x, -2.0 AS p50_x", {"percentiles_in_order": 1}),
        ([], "SELECT 1.0 AS p50_x, 0.5 AS p95_x, 2.0 AS p50_y, 2.0 AS p95_y", {"percentiles_in_order": 1}),
        ([], "SELECT 3.0 AS p99_x, 2.0 AS max_x, 1.0 AS p50_x", {"percentiles_in_order": 1}),
        ([], "SELECT 1.0 + 1e-12 AS min_x, 1.0 AS p50_x", {}),
        ([], "SELECT 2.0 AS p95_x", {}),
    ],
)  # fmt: skip
def test_what_breaks_a_rule(key: list[str], select: str, expected: dict[str, int]) -> None:
    """Keys with NULL are keys; NULL is no figure; doubles that differ in the last digits are equal."""
    assert broken(key, select) == expected


def test_an_estimate_may_lie_just_beyond_the_extremes() -> None:
    """Percentiles of a histogram are within 1 %, the least and greatest value exact."""
    close = "SELECT 100.0 AS min_x, 99.01 AS p50_x, 100.99 AS p99_x, 100.0 AS max_x"
    assert broken([], close, estimated=True) == {}
    assert broken([], close) == {"percentiles_in_order": 1}
    assert broken([], "SELECT 100.0 AS min_x, 98.9 AS p50_x", estimated=True) == {"percentiles_in_order": 1}
    assert broken([], "SELECT 100.0 AS p50_x, 99.9 AS p95_x", estimated=True) == {"percentiles_in_order": 1}
    assert "latency_histogram" in catalog_tables.table("tools").reads


# A build that is refused, and one that is let pass


def test_a_refused_build_leaves_what_was_published(tmp_path: Path) -> None:
    """The snapshot stays, nothing lies about, and the next build finds the same work to do."""
    mill = home(tmp_path, *RECORDS)
    built(mill, "activity_daily")
    before = mill.snapshot()
    write_check(mill, "few", "-- Few days.\n-- severity: fail\nSELECT day FROM activity_daily WHERE events > 1\n")
    feed(mill, event("late", "2026-02-10T11:00:00Z"))
    for _ in range(2):
        said = tm("build", "activity_daily", at=mill)
        assert said.code == 1
        assert said.out == ""
        assert said.err.splitlines()[-1] == (
            'tidemill: check few failed: 1 row, such as {"day":"2026-02-10"}; '
            "nothing is published, the snapshot before stays (to publish all the same: --despite few)"
        )
        assert mill.snapshot() == before
        assert [path.name for path in mill.home.tables.glob("building-*")] == []
    assert rows(mill, "SELECT events FROM activity_daily ORDER BY day") == [(1,), (1,)]


def test_what_is_published_despite_a_check_says_so(tmp_path: Path) -> None:
    """The partitions of that build carry the check's name, and no others; the next build need not name it."""
    mill = home(tmp_path, *RECORDS)
    built(mill, "activity_daily")
    write_check(mill, "few", "-- Few days.\n-- severity: fail\nSELECT day FROM activity_daily WHERE events > 1\n")
    write_check(
        mill, "content", "-- All is well.\n-- severity: fail\nSELECT day FROM activity_daily WHERE events < 0\n"
    )
    feed(mill, event("late", "2026-02-10T11:00:00Z"))
    said = tm("build", "activity_daily", "--despite", "few", "--despite", "content", at=mill)
    assert said.code == 0
    assert "tidemill: check few failed: 1 row" in said.err
    kept = "SELECT partition_value, despite FROM builds WHERE table_name = 'activity_daily' ORDER BY ALL"
    assert rows(mill, kept) == [("2026-02-10", "few"), ("2026-02-17", None)]
    assert built(mill, "activity_daily") == {}
    said = tm("check", "--format", "json", at=mill)
    assert said.code == 1
    found = {row["check"]: row for row in json.loads(said.out)}
    assert (found["few"]["result"], found["few"]["rows"]) == ("failed", 1)
    assert json.loads(found["few"]["sample"]) == {"day": "2026-02-10"}
    assert found["content"]["result"] == "ok"


def test_an_unknown_check_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    """With the name of the nearest."""
    mill = home(tmp_path, *RECORDS)
    said = tm("build", "--despite", "unique_key", at=mill)
    assert (said.code, said.fault) == (2, 'there is no check "unique_key"; did you mean "unique_keys"?')
    with pytest.raises(UsageError, match="there is no check"):
        mill.build(despite=["xyzzy"])
    assert snapshots(mill) == []


# A user's own checks


def test_a_check_sees_the_days_that_changed(tmp_path: Path) -> None:
    """In a build and after it; --deep shows it all of them."""
    mill = home(tmp_path, *RECORDS)
    write_check(mill, "days", SEES_DAYS)
    said: list[str] = []
    mill.build("activity_daily", say=said.append)
    feed(mill, event("late", "2026-02-17T11:00:00Z"))
    mill.build("activity_daily", say=said.append)
    assert [line.partition(", such")[0] for line in said] == [
        "check days warns: 2 rows",
        "check days warns: 1 row",
    ]
    assert (outcome(mill, "days").rows, outcome(mill, "days", deep=True).rows) == (1, 2)
    feed(mill, metric("other", "2026-02-17T11:00:00Z"))
    built(mill, "activity_daily", "metric_daily")
    assert outcome(mill, "days").why == "nothing that it reads changed"


def test_a_check_over_weeks_sees_whole_weeks(tmp_path: Path) -> None:
    """Of the days too, though but one of them changed."""
    monday, friday = event("m", "2026-02-09T10:00:00Z"), event("f", "2026-02-13T10:00:00Z")
    mill = home(tmp_path, monday, friday, event("other", "2026-02-17T10:00:00Z"))
    text = "-- No days.\n-- severity: warn\nSELECT day FROM activity_daily WHERE day IN (SELECT day FROM {})\n"
    week = "(SELECT unnest(range(week_start, week_start + 7, INTERVAL 1 DAY))::DATE AS day FROM activity_weekly)"
    write_check(mill, "weeks", text.format(week))
    names = ("activity_daily", "activity_hourly", "activity_weekly")
    built(mill, *names)
    assert outcome(mill, "weeks").rows == 3
    feed(mill, event("late", "2026-02-13T11:00:00Z"))
    assert built(mill, *names)["activity_weekly"] == ["2026-02-09"]
    assert outcome(mill, "weeks").rows == 2
    assert outcome(mill, "activity_days_add_up_to_weeks").result is Result.OK


def test_a_check_sees_records_of_the_reporting_days_that_changed(tmp_path: Path) -> None:
    """A local day of Berlin begins at 23:00 of the day before."""
    moments = ("2026-02-09T22:59:59Z", "2026-02-09T23:00:00Z", "2026-02-10T22:59:59Z", "2026-02-10T23:00:00Z")
    mill = home(tmp_path, *(event(at, at) for at in moments), settings='timezone = "Europe/Berlin"')
    text = (
        "-- None.\n-- severity: warn\nSELECT timestamp FROM events JOIN activity_daily ON day = local_day(timestamp)\n"
    )
    write_check(mill, "records", text)
    built(mill, "activity_daily")
    said: list[str] = []
    feed(mill, event("late", "2026-02-10T12:00:00Z"))
    mill.build("activity_daily", say=said.append)
    assert [line.partition(", such")[0] for line in said] == ["check records warns: 4 rows"], "of five"
    feed(mill, event("early", "2026-02-08T22:00:00Z"))
    mill.build("activity_daily", say=said.append)
    assert said[-1].startswith("check records warns: 2 rows,"), "of the 8th and the 9th"


def test_a_check_may_read_everything(tmp_path: Path) -> None:
    """Tables of every kind, the states of jobs, the ledger and the quarantine, also several names after one FROM."""
    mill = home(tmp_path, *RECORDS)
    text = """-- Everything in one row.
-- severity: warn
WITH window_rows AS (SELECT count(*) AS n FROM llm_ttft)
SELECT (SELECT count(*) FROM jobs) AS jobs, (SELECT count(*) FROM metrics) AS metrics, sessions.session_id,
    loads.accepted, window_rows.n, (SELECT count(*) FROM lake.quarantine) AS refused
FROM lake.loads AS loads, sessions
CROSS JOIN window_rows
"""
    write_check(mill, "everything", text)
    built(mill, "sessions", "llm_ttft", as_of=AS_OF)
    assert json.loads(str(outcome(mill, "everything").sample)) == {
        "jobs": 1, "metrics": 2, "session_id": "s1", "accepted": 5, "n": 3, "refused": 0
    }  # fmt: skip


@pytest.mark.parametrize("severity", ["fail", "warn"])
@pytest.mark.parametrize(
    ("select", "fault"),
    [
        ("SELECT day\nFROM activity_dayly", "line 5: Catalog Error: Table with name activity_dayly does not exist!"),
        ("SELECT dday\nFROM activity_daily", 'line 4: Binder Error: Referenced column "dday" not found'),
        ("SELEC day\nFROM activity_daily", "line 5: Parser Error: syntax error"),
        ("SELECT CAST('x' AS INTEGER)", "line 4: Conversion Error: Could not convert string 'x'"),
        ("DROP VIEW activity_daily", "line 4: Parser Error: syntax error"),
        ("SELECT 1;\nSELECT 2", "line 4: Parser Error: syntax error"),
    ],
)
def test_a_check_with_a_mistake_in_it_is_named(tmp_path: Path, severity: str, select: str, fault: str) -> None:
    """With its file, line and the engine's message; what it would have found is not known, so nothing is published."""
    mill = home(tmp_path, *RECORDS)
    write_check(mill, "own", f"-- What must hold.\n-- severity: {severity}\n\n{select}\n")
    said = tm("build", "activity_daily", at=mill)
    assert said.code == 1
    (line,) = [line for line in said.err.splitlines() if line.startswith("tidemill: ")]
    assert line.startswith(f"tidemill: check own cannot be run: {mill.home.checks}/own.sql, {fault}")
    assert snapshots(mill) == []
    built(mill, "activity_daily", despite=["own"])
    assert rows(mill, "SELECT DISTINCT despite FROM builds") == [("own",)]
    said = tm("check", at=mill)
    assert said.code == 1
    assert re.search(r"^own +(fail|warn) +error ", said.out, re.MULTILINE)
    assert re.search(r"^unique_keys +fail +ok ", said.out, re.MULTILINE)


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("own", "SELECT 1", "its first line is no description; begin with: -- What must hold."),
        ("own", "-- severity: fail\nSELECT 1", "its first line is no description"),
        ("own", "-- What.\nSELECT 1", "its header lacks a line `-- severity: fail` or `-- severity: warn`"),
        ("own", "-- What.\n-- severity: bad\nSELECT 1", "its header lacks a line `-- severity: fail`"),
        ("ledger_adds_up", "-- What.\n-- severity: fail\nSELECT 1", "there is a check ledger_adds_up already"),
        ("unique_keys", "-- What.\n-- severity: fail\nSELECT 1", "there is a check unique_keys already"),
    ],
)
def test_a_file_that_is_no_check_is_named(tmp_path: Path, name: str, text: str, fault: str) -> None:
    """Before anything is built."""
    mill = home(tmp_path, *RECORDS)
    write_check(mill, name, text)
    for command in ("build", "check"):
        said = tm(command, at=mill)
        assert said.code == 1
        assert said.fault.startswith(f"{mill.home.checks}/{name}.sql: {fault}")
    assert snapshots(mill) == []


# Tables that do not go together


def test_tables_of_other_moments_are_not_compared(tmp_path: Path) -> None:
    """A build of one table after late data is not refused because another is older, and the check says why."""
    mill = home(tmp_path, *RECORDS)
    names = ("activity_daily", "activity_hourly", "session_activity_daily", "sessions")
    text = "-- All.\n-- severity: warn\nFROM sessions JOIN activity_daily ON sessions.events = activity_daily.events\n"
    write_check(mill, "both", text)
    built(mill, *names)
    feed(mill, event("late", "2026-02-10T11:00:00Z", session_id="s1"))
    assert built(mill, "activity_daily") == {"activity_daily": ["2026-02-10"]}
    found = outcome(mill, "activity_hours_add_up_to_days")
    assert (found.result, found.why) == (Result.NOT_RUN, "activity_hourly is stale; run: tidemill build")
    assert outcome(mill, "both").why == "sessions is stale; run: tidemill build"
    built(mill, *names)
    assert outcome(mill, "activity_hours_add_up_to_days").result is Result.OK


def test_records_after_the_build_are_not_compared_with_its_tables(tmp_path: Path) -> None:
    """What came since is in no table yet; checks of tables alone go on."""
    mill = home(tmp_path, *RECORDS)
    counted = "FROM activity_daily HAVING sum(events) <> (SELECT count(*) FROM {})"
    text = f"-- As many.\n-- severity: fail\nSELECT sum(events) {counted}\n"
    write_check(mill, "records", text.format("events"))
    write_check(mill, "stored", text.format("lake.events"))
    built(mill, "activity_daily", "activity_hourly")
    assert {outcome(mill, name).result for name in ("records", "stored")} == {Result.OK}
    feed(mill, event("late", "2026-02-10T11:00:00Z"))
    for name in ("records", "stored"):
        found = outcome(mill, name, deep=True)
        assert found.result is Result.NOT_RUN
        assert found.why == "the lake holds what the tables do not yet; run: tidemill build"
    assert outcome(mill, "activity_hours_add_up_to_days").result is Result.OK


def test_a_table_that_failed_is_not_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It stays as it was while the others go on; that is no reason to refuse them."""
    mill = home(tmp_path, *RECORDS)
    names = ("activity_daily", "activity_hourly")
    built(mill, *names)
    folder = copy_of_tables(tmp_path)
    file = folder / "activity" / "activity_hourly.sql"
    file.write_text(file.read_text().replace("FROM events", "FROM events WHERE no_such"))
    other_tables(monkeypatch, folder)
    feed(mill, event("late", "2026-02-10T11:00:00Z"))
    said = tm("build", *names, at=mill)
    assert said.code == 1
    assert "check" not in said.err
    assert rows(mill, "SELECT sum(events)::BIGINT FROM activity_daily") == [(3,)]
    assert rows(mill, "SELECT sum(events)::BIGINT FROM activity_hourly") == [(2,)]


def test_where_nothing_is_published_checks_of_tables_are_not_run(tmp_path: Path) -> None:
    """And say so; no home is made."""
    said = tm("check", "--format", "json", at=tmp_path / "none")
    assert said.code == 0
    found = {row["check"]: (row["result"], row["why"]) for row in json.loads(said.out)}
    assert found["job_statuses_add_up"] == ("not run", "jobs_daily is not built yet")
    assert found["ledger_adds_up"] == ("ok", None)
    assert not (tmp_path / "none").exists()


def test_a_day_that_is_gone_from_one_table_is_seen(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where the other table still has it."""
    folder = tmp_path / "tables"
    header = ["partition: day", "sort: day"]
    columns = {"day": "local_day(timestamp)", "events": "count(*)"}
    write_table(folder, "all_days", header, columns, "FROM events\nGROUP BY ALL")
    write_table(folder, "some_days", header, columns, "FROM events\nWHERE type <> 'log'\nGROUP BY ALL")
    other_tables(monkeypatch, folder)
    mill = home(tmp_path, event("a", "2026-02-10T10:00:00Z", type="log"), event("b", "2026-02-11T10:00:00Z"))
    write_check(mill, "same", "-- Same.\n-- severity: fail\nSELECT day FROM all_days ANTI JOIN some_days USING (day)\n")
    with pytest.raises(CheckError, match=r'check same failed: 1 row, such as \{"day":"2026-02-10"\}'):
        mill.build()


def test_severities_are_two() -> None:
    """Those that the headers may name."""
    assert [severity.value for severity in Severity] == ["fail", "warn"]


def test_a_new_check_is_asked_of_all_that_is_published(tmp_path: Path) -> None:
    """Where nothing is stale, too: what it finds forbids the publish, until it is mended; then it is known."""
    mill = home(tmp_path, *RECORDS)
    built(mill, "activity_daily")
    first = mill.snapshot()
    write_check(mill, "own", "-- No days.\n-- severity: fail\nSELECT day FROM activity_daily\n")
    with pytest.raises(CheckError, match="check own failed"):
        mill.build("activity_daily")
    assert mill.snapshot() == first
    write_check(mill, "own", "-- No days.\n-- severity: fail\nSELECT day FROM activity_daily WHERE events < 0\n")
    assert built(mill, "activity_daily") == {}
    second = mill.snapshot()
    assert second != first
    assert built(mill, "activity_daily") == {}
    assert mill.snapshot() == second
