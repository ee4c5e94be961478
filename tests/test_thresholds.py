"""Thresholds over built homes: what breaches, what is one breach, and what is kept of it."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.homes import AS_OF, built, digests, event, feed, few_tables, home, job, rows, tm, write_settings
from tests.test_build import copy_of_tables, other_tables, write_table
from tests.test_checks import write_check
from tidemill.build import breaches
from tidemill.build.errors import BuildError, CheckError
from tidemill.errors import SettingsError
from tidemill.home import format_version
from tidemill.snapshots import publish

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill import Tidemill

__all__ = ["few_tables"]

FEW: Final = ("user_usage", "activity_hourly", "activity_daily", "job_states", "job_summary", "sessions")
LATER: Final = "2026-02-12T13:00:00Z"
"""An hour after AS_OF."""


def spent(key: str, at: str, user: str | None, cost: float | None = None, **fields: object) -> dict[str, Any]:
    """A request of a user that cost something."""
    return event(key, at, type="llm_request", user_id=user, cost_usd=cost, session_id=f"s-{user}", **fields)


def threshold(name: str = "costly", **values: Any) -> str:
    """A threshold's section: a user's cost in 24 h above 50, or what is given instead."""
    made = {"table": "user_usage", "column": "cost_usd", "operator": ">", "limit": 50, "window": "24h"} | values
    lines = [f"{key} = {json.dumps(value)}" for key, value in made.items() if key != "where" and value is not None]
    if where := made.get("where"):
        assert isinstance(where, dict)
        lines.append("where = {" + ", ".join(f"{key} = {json.dumps(value)}" for key, value in where.items()) + "}")
    return f"[thresholds.{name}]\n" + "\n".join(lines) + "\n"


def kept(mill: Tidemill, columns: str = "threshold, key, value_found") -> list[tuple[Any, ...]]:
    """What threshold_breaches holds, in its order."""
    return rows(mill, f"SELECT {columns} FROM threshold_breaches")


def users(mill: Tidemill) -> list[str]:
    """The users of all breaches, in the order of the table."""
    return [json.loads(key)["user_id"] for (key,) in kept(mill, "key")]


SPENT: Final = (
    spent("a", "2026-02-12T11:00:00Z", "u1", 51.25),
    spent("b", "2026-02-12T11:00:00Z", "u2", 50),
    spent("c", "2026-02-12T11:00:00Z", "u3", 10),
    spent("d", "2026-02-12T11:00:00Z", "u4"),
    spent("e", "2026-02-09T11:00:00Z", "u3", 90),
)


# What breaches


def test_a_breach_is_a_row(tmp_path: Path) -> None:
    """With the moment, the threshold, the row's key, what was found, the limit and the window, as the types say."""
    mill = home(tmp_path, *SPENT, settings=threshold())
    said: list[str] = []
    mill.build(as_of=AS_OF, say=said.append)
    row = (datetime.fromisoformat(AS_OF), "costly", "user_usage", '{"user_id":"u1"}', 51.25, 50.0, 24)
    assert kept(mill, "*") == [row]
    assert said == ['threshold costly is breached: cost_usd of {"user_id":"u1"} in user_usage over 24h is 51.25 > 50']
    frame = mill.table("threshold_breaches").collect()
    assert frame.row(0)[1:] == row[1:]
    assert mill.show("threshold_breaches", where={"threshold": "costly"}).equals(frame)


@pytest.mark.parametrize(
    ("operator", "limit", "found"),
    [
        (">", 50, ["u1"]),
        (">=", 50, ["u1", "u2"]),
        ("<", 50, ["u3"]),
        ("<=", 50, ["u2", "u3"]),
        ("=", 51.25, ["u1"]),
        ("!=", 51.25, ["u2", "u3"]),
        ("above", 9.5, ["u1", "u2", "u3"]),
        (">", -1, ["u1", "u2", "u3"]),
    ],
)
def test_each_operator_compares(tmp_path: Path, operator: str, limit: float, found: list[str]) -> None:
    """A user whose cost is unknown breaches none of them."""
    mill = home(tmp_path, *SPENT, settings=threshold(operator=operator, limit=limit))
    mill.build("user_usage", as_of=AS_OF)
    assert users(mill) == found


def test_a_window_that_the_table_holds_is_those_rows(tmp_path: Path) -> None:
    """Each window by itself; without one all of them."""
    settings = threshold("day") + threshold("week", window="7d") + threshold("all", window=None)
    mill = home(tmp_path, *SPENT, settings=settings)
    mill.build("user_usage", as_of=AS_OF)
    assert kept(mill, "threshold, key ->> 'user_id', value_found, window_hours") == [
        ("all", "u1", 51.25, 24),
        ("all", "u1", 51.25, 168),
        ("all", "u3", 100.0, 168),
        ("all", "u1", 51.25, 720),
        ("all", "u3", 100.0, 720),
        ("day", "u1", 51.25, 24),
        ("week", "u1", 51.25, 168),
        ("week", "u3", 100.0, 168),
    ]


@pytest.mark.parametrize(
    ("values", "found"),
    [
        ({"window": "80h"}, [("u1", 51.25, 80), ("u3", 100.0, 80)]),
        ({"window": "1h", "operator": "<", "limit": 1000}, []),
        ({"window": "72h", "where": {"user_id": "u3"}, "limit": 5}, [("u3", 10.0, 72)]),
        ({"window": "24h", "where": {"window_hours": 168}, "limit": 5}, []),
        ({"table": "activity_daily", "window": "3d", "limit": 1}, [(None, 111.25, 72)]),
        ({"table": "activity_daily", "window": "4d", "limit": 1}, [(None, 90.0, 96), (None, 111.25, 96)]),
        ({"table": "sessions", "window": "24h", "limit": 60}, []),
        ({"table": "sessions", "window": "4d", "limit": 60}, [(None, 100.0, 96)]),
    ],
)
def test_any_other_window_is_the_select_over_it(
    tmp_path: Path, values: dict[str, Any], found: list[tuple[object, ...]]
) -> None:
    """Of every kind of table, up to the build's moment, as `show --since` has it; filters are its own columns."""
    mill = home(tmp_path, *SPENT, settings=threshold(**values))
    mill.build(as_of=AS_OF)
    assert kept(mill, "key ->> 'user_id', value_found, window_hours") == found
    since, table = str(values["window"]), str(values.get("table", "user_usage"))
    shown = mill.show(table, since=since, as_of=AS_OF)["cost_usd"].to_list()
    assert {value for _, value, _ in found} <= set(shown)


@pytest.mark.parametrize(
    ("where", "count"),
    [
        ({"day": "2026-02-12"}, 1),
        ({"sessions": 4}, 1),
        ({"sessions": 4, "day": "2026-02-09"}, 0),
        ({"cost_usd": 90.0}, 1),
        ({}, 2),
    ],
)
def test_where_looks_at_the_tables_own_columns(tmp_path: Path, where: dict[str, object], count: int) -> None:
    """Of whatever type; all of them must be equal."""
    mill = home(tmp_path, *SPENT, settings=threshold(table="activity_daily", window=None, limit=60, where=where))
    mill.build("activity_daily", as_of=AS_OF)
    assert len(kept(mill)) == count


def test_a_key_is_json(tmp_path: Path) -> None:
    """Of days, of instants, of what has no value, and of the one row of a table without a key."""
    requests = {"column": "events", "operator": ">=", "limit": 1, "window": None}
    settings = (
        threshold("hour", table="activity_hourly", **requests)
        + threshold("day", table="activity_daily", **requests)
        + threshold("one", table="job_summary", **(requests | {"column": "jobs"}))
        + threshold("job", table="job_states", **(requests | {"column": "duration_seconds"}))
    )
    mill = home(
        tmp_path,
        spent("a", "2026-02-12T11:30:00Z", "u1"),
        job('"j"', "2026-02-12T09:00:00Z", started_at="2026-02-12T09:00:00Z", completed_at="2026-02-13T09:00:01Z"),
        job("running", "2026-02-12T09:00:00Z", status="running"),
        settings=settings,
    )
    mill.build(as_of=AS_OF)
    assert set(kept(mill, "threshold, key, value_found, window_hours")) == {
        ("hour", '{"hour":"2026-02-12T11:00:00Z"}', 1.0, None),
        ("day", '{"day":"2026-02-12"}', 1.0, None),
        ("one", "{}", 2.0, None),
        ("job", '{"job_id":"\\"j\\""}', 86401.0, None),
    }


# One breach


def test_a_breach_that_goes_on_is_one_row(tmp_path: Path) -> None:
    """With what was found first, however often and with whatever value it is found again."""
    mill = home(tmp_path, *SPENT, settings=threshold())
    mill.build("user_usage", as_of=AS_OF)
    before = kept(mill, "*")
    feed(mill, spent("more", "2026-02-12T12:30:00Z", "u1", 7))
    said: list[str] = []
    mill.build("user_usage", as_of=LATER, say=said.append)
    mill.build("user_usage", as_of="2026-02-12T14:00:00Z", full=True, say=said.append)
    assert (kept(mill, "*"), said) == (before, [])
    assert rows(mill, "SELECT cost_usd FROM user_usage WHERE user_id = 'u1' AND window_hours = 24") == [(58.25,)]


def test_a_breach_that_comes_back_is_another_row(tmp_path: Path) -> None:
    """After it was not found in between; others are not touched."""
    mill = home(tmp_path, *SPENT, settings=threshold() + threshold("low", operator="<", limit=11))
    mill.build("user_usage", as_of=AS_OF)
    mill.build("user_usage", as_of="2026-02-13T11:30:00Z")
    assert mill.breaches() == []
    feed(mill, spent("more", "2026-02-13T12:00:00Z", "u1", 60))
    said: list[str] = []
    mill.build("user_usage", as_of="2026-02-13T12:00:00Z", say=said.append)
    assert len(said) == 1
    assert kept(mill, "threshold, key ->> 'user_id', value_found, breached_at") == [
        ("costly", "u1", 51.25, datetime(2026, 2, 12, 12, tzinfo=UTC)),
        ("low", "u3", 10.0, datetime(2026, 2, 12, 12, tzinfo=UTC)),
        ("costly", "u1", 60.0, datetime(2026, 2, 13, 12, tzinfo=UTC)),
    ]


def test_a_day_that_is_over_the_limit_is_found_once(tmp_path: Path) -> None:
    """Of a table by day, whether its day is built again or another, and until a late record takes it below."""
    settings = threshold(table="activity_daily", column="tokens_per_session", limit=50, window=None)
    mill = home(tmp_path, spent("a", "2026-02-10T11:00:00Z", "u1", input_tokens=90), settings=settings)
    for number, (at, user, count) in enumerate(
        [
            ("2026-02-11T11:00:00Z", "u1", 1),
            ("2026-02-10T12:00:00Z", "u1", 1),
            ("2026-02-10T12:00:00Z", "u2", 1),
            ("2026-02-09T12:00:00Z", "u3", 1),
        ]
    ):
        mill.build("activity_daily", as_of=AS_OF)
        assert len(kept(mill)) == count
        feed(mill, spent(f"late{number}", at, user, input_tokens=1))
    assert mill.breaches() == []
    feed(mill, spent("again", "2026-02-10T12:30:00Z", "u2", input_tokens=90))
    mill.build("activity_daily", as_of=LATER)
    assert kept(mill, "key ->> 'day', value_found") == [("2026-02-10", 90.0), ("2026-02-10", 91.0)]


def test_a_table_that_was_not_looked_at_keeps_its_breaches_open(tmp_path: Path) -> None:
    """A build of some tables says nothing of the others' thresholds, new or old."""
    mill = home(tmp_path, *SPENT, settings=threshold())
    mill.build(as_of=AS_OF)
    write_settings(mill, threshold() + threshold("low", limit=1, operator="<="))
    feed(mill, spent("more", "2026-02-13T12:30:00Z", "u2", 1))
    mill.build("activity_daily", as_of="2026-02-13T12:30:00Z")
    assert [mine for mine, _, _ in kept(mill)] == ["costly"]
    assert len(mill.breaches()) == 1
    mill.build(as_of="2026-02-13T12:30:00Z")
    assert kept(mill, "threshold, key ->> 'user_id'") == [("costly", "u1"), ("low", "u2")]
    assert [line.split()[1] for line in mill.breaches()] == ["low"]


# What makes a build evaluate


@pytest.mark.parametrize(
    ("changed", "count", "still_open"),
    [
        (threshold(limit=51), 2, 1),
        (threshold(operator=">="), 2, 2),
        (threshold(where={"user_id": "u1"}), 1, 1),
        (threshold() + threshold("other"), 2, 2),
        (threshold("other"), 2, 1),
        ("", 1, 0),
    ],
    ids=["limit", "operator", "where", "another", "name", "none"],
)
def test_a_changed_definition_is_evaluated_where_nothing_else_changed(
    tmp_path: Path, changed: str, count: int, still_open: int
) -> None:
    """As a threshold of its own: what it finds is new, but no row stands twice; without a change nothing is."""
    mill = home(tmp_path, *SPENT, settings=threshold())
    mill.build("user_usage", as_of=AS_OF)
    first = mill.snapshot()
    assert built(mill, "user_usage", as_of=AS_OF) == {}
    assert mill.snapshot() == first
    write_settings(mill, changed)
    assert built(mill, "user_usage", as_of=AS_OF) == {}
    second = mill.snapshot()
    assert second != first
    assert len(kept(mill)) == count
    assert len(mill.breaches()) == still_open
    assert built(mill, "user_usage", as_of=AS_OF) == {}
    assert mill.snapshot() == second


def test_a_definition_that_is_written_otherwise_is_the_same(tmp_path: Path) -> None:
    """50 is 50.0, and above is >."""
    mill = home(tmp_path, *SPENT, settings=threshold())
    mill.build("user_usage", as_of=AS_OF)
    first = mill.snapshot()
    write_settings(mill, threshold(limit=50.0, operator="above"))
    mill.build("user_usage", as_of=AS_OF)
    assert mill.snapshot() == first


def test_without_thresholds_the_table_is_empty(tmp_path: Path) -> None:
    """With its columns, and so it is in a home of before there were any."""
    mill = home(tmp_path, *SPENT)
    mill.build("user_usage", as_of=AS_OF)
    assert kept(mill, "*") == []
    manifest = mill.snapshot() / format_version.MANIFEST
    values = json.loads(manifest.read_text())
    newer = {"thresholds", "open_breaches", "format", "lake_id", "pruned", "stamps", "digest"}
    manifest.write_text(json.dumps({name: values[name] for name in values.keys() - newer}))
    (mill.path("threshold_breaches") / next(mill.path("threshold_breaches").iterdir()).name).unlink()
    assert (mill.breaches(), {one.breaches for one in mill.status()}) == ([], {0})
    mill.build("user_usage", as_of=AS_OF)
    assert kept(mill, "*") == []


# What is kept


def test_two_homes_of_the_same_records_keep_the_same_rows(tmp_path: Path) -> None:
    """Built step by step or again at the same moments: the files are the same."""
    settings = threshold() + threshold("low", operator="at most", window=None)
    found = []
    for name in ("one", "two"):
        mill = home(tmp_path, *SPENT, settings=settings, name=name)
        for moment in (AS_OF, LATER, "2026-02-13T11:30:00Z"):
            mill.build("user_usage", as_of=moment)
        kept_open = publish.current(mill.home).open_breaches
        found.append((digests(mill.path("threshold_breaches")), kept_open))
    assert found[0] == found[1]
    assert users(mill) == ["u1", "u2", "u3", "u2", "u2"]


def test_nothing_in_an_older_snapshot_changes(tmp_path: Path) -> None:
    """Each snapshot has the breaches up to it, and its files cannot be written."""
    mill = home(tmp_path, *SPENT, settings=threshold())
    mill.build("user_usage", as_of=AS_OF)
    first, before = mill.snapshot(), digests(mill.snapshot())
    feed(mill, spent("more", "2026-02-12T12:30:00Z", "u2", 7))
    mill.build("user_usage", as_of=LATER)
    assert len(kept(mill)) == 2
    assert digests(first) == before
    assert not any(path.stat().st_mode & 0o222 for path in first.rglob("*.parquet"))


def test_a_publish_that_is_refused_keeps_nothing(tmp_path: Path) -> None:
    """Nor says a word of a breach; published despite the check, it is new."""
    mill = home(tmp_path, *SPENT, settings=threshold())
    write_check(mill, "no", "-- Never.\n-- severity: fail\nSELECT user_id FROM user_usage\n")
    said: list[str] = []
    with pytest.raises(CheckError):
        mill.build("user_usage", as_of=AS_OF, say=said.append)
    assert said == []
    mill.build("user_usage", as_of=AS_OF, despite=["no"], say=said.append)
    assert [line.split()[0] for line in said] == ["check", "threshold"]
    assert users(mill) == ["u1"]


def test_of_many_breaches_the_worst_are_told(tmp_path: Path) -> None:
    """And how many more there are; the table has them all."""
    many = [spent(f"e{n}", "2026-02-12T11:00:00Z", f"u{n:02}", 100 + n) for n in range(breaches.TOLD + 3)]
    mill = home(tmp_path, *many, settings=threshold())
    said: list[str] = []
    mill.build("user_usage", as_of=AS_OF, say=said.append)
    assert len(said) == breaches.TOLD + 1
    assert '{"user_id":"u12"}' in said[0]
    assert said[-1] == "threshold costly is breached by 3 more; see: tidemill show threshold_breaches"
    assert len(kept(mill)) == breaches.TOLD + 3


# A threshold that is none


@pytest.mark.parametrize(
    ("values", "fault"),
    [
        ({"table": "user_usge"}, 'table: there is no table "user_usge"; did you mean "user_usage"?'),
        ({"table": "builds"}, "table: builds is about the pipeline itself"),
        ({"column": "cost_us"}, 'column: there is no column "cost_us"; did you mean "cost_usd"?'),
        ({"column": "user_name"}, "column: user_name is VARCHAR, and a limit is to a number; such are: cost_usd, req"),
        ({"column": "last_active"}, "column: last_active is TIMESTAMP WITH TIME ZONE, and a limit is to a number"),
        ({"where": {"usr_id": "u1"}}, 'where: there is no column "usr_id"; did you mean "user_id"?'),
        ({"where": {"requests": "many"}}, "where: where requests: many is no BIGINT"),
    ],
)
def test_a_threshold_that_is_none_is_named_before_anything_is_built(
    tmp_path: Path, values: dict[str, Any], fault: str
) -> None:
    """In one line with file and key, and what is near."""
    mill = home(tmp_path, *SPENT, settings=threshold(**values))
    called: list[str] = []
    with pytest.raises(SettingsError) as raised:
        mill.build("activity_daily", as_of=AS_OF, progress=lambda name, _, __: called.append(name))
    assert str(raised.value).startswith(f"{mill.home.settings_file}: thresholds.costly.{fault}")
    assert called == []
    said = tm("build", at=mill)
    assert (said.code, said.fault) == (2, str(raised.value))
    assert tm("status", at=mill).code == 0


def test_a_variable_that_makes_it_none_is_named(tmp_path: Path) -> None:
    """Not the file, whose own value is good; and a good variable is evaluated."""
    mill = home(tmp_path, *SPENT, settings=threshold())
    said = tm("build", at=mill, environment={"TIDEMILL_THRESHOLDS__COSTLY__COLUMN": "user_id"})
    assert said.code == 2
    assert said.fault.startswith("TIDEMILL_THRESHOLDS__COSTLY__COLUMN: thresholds.costly.column: user_id is VARCHAR")
    limit = {"TIDEMILL_THRESHOLDS__COSTLY__LIMIT": "49.5"}
    assert tm("build", "user_usage", "--as-of", AS_OF, at=mill, environment=limit).code == 0
    assert users(mill) == ["u1", "u2"]


@pytest.mark.parametrize("table", ["user_usage", "sessions"])
@pytest.mark.parametrize("window", ["24h", "36h"])
def test_a_threshold_of_a_table_that_cannot_be_built_stops_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, table: str, window: str
) -> None:
    """The others are published, and its open breaches stay open."""
    mill = home(tmp_path, *SPENT, settings=threshold(table=table, window=window))
    mill.build(as_of=AS_OF)
    before = mill.breaches()
    assert len(before) == 1
    folder = copy_of_tables(tmp_path)
    file = next(folder.glob(f"*/{table}.sql"))
    file.write_text(re.sub(r"\bcost_usd\b", "no_such_column", file.read_text()))
    other_tables(monkeypatch, folder)
    feed(mill, spent("more", "2026-02-14T12:30:00Z", "u2", 1))
    with pytest.raises(BuildError):
        mill.build(as_of="2026-02-14T12:30:00Z")
    assert len(rows(mill, "FROM activity_daily")) == 3
    assert mill.breaches() == before


# The command


def test_build_says_new_breaches_and_status_the_open_ones(tmp_path: Path) -> None:
    """On standard error; the table counts them, for a program too."""
    mill = home(tmp_path, *SPENT, settings=threshold() + threshold("low", limit=1, operator="<"))
    said = tm("build", "user_usage", "--as-of", AS_OF, at=mill)
    line = 'cost_usd of {"user_id":"u1"} in user_usage over 24h'
    assert said.code == 0
    assert said.err.splitlines()[-1] == f"tidemill: threshold costly is breached: {line} is 51.25 > 50"
    said = tm("status", at=mill)
    assert said.err == f"tidemill: threshold costly is breached since 2026-02-12T12:00:00Z: {line} was 51.25 > 50\n"
    assert said.out.splitlines()[0].split()[-1] == "breaches"
    said = tm("status", "--format", "json", at=mill)
    found = {row["table"]: row["breaches"] for row in json.loads(said.data)}
    assert found["user_usage"] == sum(found.values()) == 1
    assert found == {one.table: one.breaches for one in mill.status()}
    said = tm("show", "threshold_breaches", "--format", "jsonl", at=mill)
    assert json.loads(said.data) == {
        "breached_at": "2026-02-12T12:00:00Z",
        "threshold": "costly",
        "table_name": "user_usage",
        "key": '{"user_id":"u1"}',
        "value_found": 51.25,
        "limit_value": 50.0,
        "window_hours": 24,
    }


def test_a_threshold_that_cannot_be_evaluated_is_said(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Here a window of its own has a record too much for the select: what was built is published all the same."""
    folder = copy_of_tables(tmp_path)
    count = "CASE WHEN count(*) > 4 THEN error('too many') ELSE count(*) END"
    columns = {"window_hours": "$window_hours", "as_of": "$as_of", "requests": count}
    write_table(folder, "few", ["partition: window", "windows: 24h", "sort: as_of"], columns, "FROM events")
    other_tables(monkeypatch, folder)
    settings = threshold(table="few", column="requests", limit=1, window="4d") + threshold("good", table="user_usage")
    mill = home(tmp_path, *SPENT, settings=settings)
    said: list[str] = []
    mill.build(as_of=AS_OF, say=said.append)
    assert said[0].startswith("threshold costly cannot be evaluated: table few cannot be shown: ")
    assert "too many" in said[0]
    assert said[1].startswith("threshold good is breached: ")
    assert rows(mill, "SELECT requests FROM few") == [(4,)]
    write_settings(mill, settings.replace("4d", "1d"))
    mill.build(as_of=AS_OF)
    assert kept(mill, "threshold, value_found") == [("costly", 4.0), ("good", 51.25)]
