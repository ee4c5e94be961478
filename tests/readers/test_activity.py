from __future__ import annotations

from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.homes import Record, event, home, opened
from tidemill.errors import TidemillError, UsageError
from tidemill.readers import activity as module
from tidemill.readers.activity import Grouping, activity

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill.readers.snapshot import Published

TABLES: Final = ("activity_hourly", "activity_daily", "activity_weekly", "activity_monthly", "sessions")
GROUPINGS: Final[list[Grouping]] = ["by_session", "by_user", "by_tool", "by_agent", "by_project"]


def happened(key: str, at: str, kind: str, **fields: object) -> Record:
    """An event of February 2026."""
    return event(key, f"2026-02-{at}:00Z", type=kind, **fields)


RECORDS: Final = (
    happened(
        "a",
        "10T10:00",
        "tool_use",
        session_id="s1",
        user_id="u1",
        project="pröj",
        tool_name="grep",
        duration_ms=100,
        total_tokens=10,
        success=True,
        cost_usd=0.25,
    ),
    happened("b", "10T10:30", "tool_use", session_id="s1", tool_name="grep", duration_ms=300, success=False),
    happened("c", "10T11:00", "error_occurred", session_id="s1", category="permanent", error_type="Timeout"),
    happened(
        "d",
        "11T09:00",
        "agent_execution",
        session_id="s2",
        user_id="u'2\"",
        agent_id="ag1",
        duration_ms=200,
        total_tokens=20,
        success=True,
    ),
    # A part of a request: its duration and tokens are those of the request.
    happened("e", "11T09:10", "step", session_id="s2", request_id="r", duration_ms=5000, total_tokens=7),
    happened("f", "11T09:20", "error_occurred", user_id="u1", category="transient"),
    happened("g", "11T09:30", "question"),
    happened("h", "11T09:40", "tool_use", session_id="s2"),
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Eight events of two sessions and a few of none, of a Tuesday and a Wednesday."""
    return opened(tmp_path_factory.mktemp("activity"), *RECORDS, tables=TABLES)


def test_figures_are_of_all_events(published: Published) -> None:
    """Nothing counts twice, and an event that does not say how it ended is neither success nor failure."""
    found: dict[str, Any] = dict(activity(published, "daily"))
    series = found.pop("time_series")
    assert found == {
        "total_metrics": 8,
        "total_sessions": 2,
        "total_users": 2,
        "total_errors": 2,
        "duration_stats": {
            "total_ms": 600.0,  # 100 + 300 + 200
            "avg_ms": 200.0,
            "min_ms": 100.0,
            "max_ms": 300.0,
            "p50_ms": 200.0,
            "p95_ms": pytest.approx(290.0),  # 200 + 0.9 * 100
            "p99_ms": pytest.approx(298.0),
        },
        "token_stats": {"total": 30, "avg_per_session": 15.0},
        "success_metrics": {"success_count": 2, "failure_count": 3, "success_rate": 0.4},  # a, d; b and both errors
        "breakdowns": {
            "by_type": {"tool_use": 3, "error_occurred": 2, "agent_execution": 1, "question": 1, "step": 1},
            "tools": {"grep": 2, "unknown": 1},
            "agents": {"ag1": 1},
            "errors": {"Timeout": 1, "transient": 1},  # of its category, where it has no type
        },
    }
    assert [(row["day"], row["events"]) for row in series] == [("2026-02-10", 3), ("2026-02-11", 5)]


@pytest.mark.parametrize(
    ("grouping", "expected"),
    [
        ("hourly", [("2026-02-10T10:00:00Z", 2), ("2026-02-10T11:00:00Z", 1), ("2026-02-11T09:00:00Z", 5)]),
        ("daily", [("2026-02-10", 3), ("2026-02-11", 5)]),
        ("weekly", [("2026-02-09", 8)]),
        ("monthly", [("2026-02-01", 8)]),
        ("by_session", [("s1", 3), ("s2", 3)]),
        ("by_user", [("u1", 4), ("u'2\"", 3)]),  # s1 is u1's, and f is without a session
        ("by_tool", [("grep", 2)]),
        ("by_agent", [("ag1", 1)]),
        ("by_project", [("pröj", 3)]),
    ],
)
def test_the_course_is_by_period_or_by_whom(
    published: Published, grouping: Grouping, expected: list[tuple[str, int]]
) -> None:
    """Periods in their order, the rest by events; what belongs to nobody has no row. Also of a span that holds all."""
    spans: list[dict[str, Any]] = [{}, {"from_": "2026-02-10", "to": "2026-02-12"}]
    for span in spans:
        series = activity(published, grouping, **span)["time_series"]
        assert [(next(iter(row.values())), row["events"]) for row in series] == expected


def test_a_row_of_the_course_says_what_happened(published: Published) -> None:
    """It begins with the name; sums are of what counts once, and null where nothing is known."""
    first, other = activity(published, "by_session")["time_series"]
    assert first == {
        "session_id": "s1",
        "events": 3,
        "errors": 1,
        "successes": 1,
        "failures": 2,
        "total_duration_ms": 400.0,
        "avg_duration_ms": 200.0,
        "total_tokens": 10,
        "cost_usd": 0.25,
        "first_at": "2026-02-10T10:00:00Z",
        "last_at": "2026-02-10T11:00:00Z",
    }
    assert (other["total_duration_ms"], other["total_tokens"], other["cost_usd"]) == (200.0, 20, None)


@pytest.mark.parametrize(
    ("span", "ids"),
    [
        ({"from_": "2026-02-10T10:00Z"}, "abcdefgh"),
        ({"from_": "2026-02-10T10:00:00.000001Z"}, "bcdefgh"),
        ({"to": "2026-02-10T10:30Z"}, "a"),
        ({"to": "2026-02-10T10:30:00.000001Z"}, "ab"),
        ({"from_": "2026-02-10", "to": "2026-02-11"}, "abc"),
        ({"from_": date(2026, 2, 11)}, "defgh"),
        ({"from_": datetime(2026, 2, 11, 9, 10, tzinfo=UTC), "to": "2026-02-11T10:20+01:00"}, "e"),
        ({"from_": "2026-02-11T09:10", "to": "2026-02-11T09:30"}, "ef"),
        ({"from_": "1999-01-01", "to": "1999-01-02"}, ""),
        ({"from_": "2199-12-30"}, ""),
    ],
    ids=str,
)
def test_a_span_is_from_inclusive_to_exclusive(published: Published, span: dict[str, Any], ids: str) -> None:
    """To the microsecond; from the beginning, and to the end, where none is given."""
    found = activity(published, "hourly", **span)
    assert found["total_metrics"] == len(ids)
    assert sum(row["events"] for row in found["time_series"]) == len(ids)


@pytest.mark.parametrize(
    ("where", "ids"),
    [
        ({"session_id": "s1"}, "abc"),
        ({"user_id": "u1"}, "af"),  # only what carries it: b does not say
        ({"user_id": "u'2\""}, "d"),
        ({"type": "tool_use"}, "abh"),
        ({"tool_name": "grep"}, "ab"),
        ({"agent_id": "ag1"}, "d"),
        ({"project": "pröj"}, "a"),
        ({"session_id": "s1", "type": "tool_use"}, "ab"),
        ({"session_id": "s1", "agent_id": "ag1"}, ""),
        ({"session_id": "S1"}, ""),
        ({"session_id": "s\x00"}, ""),
        ({"session_id": "' OR true --"}, ""),
        ({}, "abcdefgh"),
    ],
    ids=ascii,
)
def test_filters_look_at_what_events_carry(published: Published, where: dict[str, str], ids: str) -> None:
    """All of them at once, letter by letter; the course is of the same events."""
    found = activity(published, "daily", where=where)
    assert found["total_metrics"] == sum(found["breakdowns"]["by_type"].values()) == len(ids)
    assert sum(row["events"] for row in found["time_series"]) == len(ids)


def test_filters_and_a_span_hold_together(published: Published) -> None:
    """Users of the events that pass: b is u1's by its session, and h is of the other's session."""
    found = activity(published, "by_user", from_="2026-02-10T10:15", where={"type": "tool_use"})
    assert (found["total_metrics"], found["total_users"]) == (2, 0)
    assert [(row["user_id"], row["events"]) for row in found["time_series"]] == [("u'2\"", 1), ("u1", 1)]


@pytest.mark.parametrize(("limit", "names"), [(0, []), (1, ["s1"]), (None, ["s1", "s2"])])
def test_a_limit_is_of_those_who_are_named(published: Published, limit: int | None, names: list[str]) -> None:
    """The figures stay those of all."""
    found = activity(published, "by_session", limit=limit)
    assert [row["session_id"] for row in found["time_series"]] == names
    assert found["total_metrics"] == 8


@pytest.mark.parametrize(
    ("asked", "fault"),
    [
        (
            {"from_": "2026-02-12", "to": "2026-02-11"},
            "a window ends after it starts; this one is from 2026-02-12T00:00:00Z to 2026-02-11T00:00:00Z",
        ),
        ({"from_": "2026-02-11", "to": "2026-02-11"}, "a window ends after it starts"),
        ({"from_": "yesterday"}, "from takes a time like 2026-02-10T18:00Z; not yesterday"),
        ({"to": "2026-02-30"}, "to takes a time like 2026-02-10T18:00Z; not 2026-02-30"),
        ({"from_": "1969-12-31"}, "but records are of 1970 to 2199"),
        ({"where": {"usr_id": "u1"}}, 'there is no filter "usr_id"; did you mean "user_id"?'),
        ({"where": {"text": "x"}}, 'there is no filter "text"'),
        ({"grouping": "hourl"}, 'there is no grouping "hourl"; did you mean "hourly"?'),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_said(published: Published, asked: dict[str, Any], fault: str) -> None:
    """What it is, and what is meant or to be done."""
    with pytest.raises(UsageError) as error:
        activity(published, **({"grouping": "daily"} | asked))
    assert fault in str(error.value)


@pytest.mark.parametrize("span", [{}, {"from_": "2026-02-10"}], ids=str)
def test_more_periods_than_an_answer_has_are_refused(
    published: Published, monkeypatch: pytest.MonkeyPatch, span: dict[str, Any]
) -> None:
    """Rather than answered in part, of a published table and of a span."""
    monkeypatch.setattr(module, "PERIODS", 2)
    assert len(activity(published, "daily", **span)["time_series"]) == 2
    with pytest.raises(UsageError, match="more than 2 rows of activity_hourly; ask for a shorter span"):
        activity(published, "hourly", **span)


def test_a_day_alone_is_one_of_the_reporting_timezone(tmp_path: Path) -> None:
    """Its midnight begins a span, and its days are those of the course; instants are answered in UTC."""
    settings = 'timezone = "Europe/Berlin"\n'
    records = [
        happened("a", "10T22:59", "question", session_id="s"),  # 23:59 of the 10th in Berlin
        happened("b", "10T23:00", "question", session_id="s"),  # midnight of the 11th
    ]
    published = opened(tmp_path, *records, tables=TABLES, settings=settings)
    assert activity(published, "daily", from_="2026-02-10", to="2026-02-11")["total_metrics"] == 1
    of_the_day = activity(published, "daily", from_="2026-02-11")
    assert [(row["day"], row["events"]) for row in of_the_day["time_series"]] == [("2026-02-11", 1)]
    assert activity(published, "hourly", from_="2026-02-11")["time_series"][0]["hour"] == "2026-02-10T23:00:00Z"
    (session,) = activity(published, "by_session", from_="2026-02-10T22:00", to="2026-02-12")["time_series"]
    assert (session["first_at"], session["last_at"]) == ("2026-02-10T22:59:00Z", "2026-02-10T23:00:00Z")


def test_users_need_the_sessions_to_be_built(tmp_path: Path) -> None:
    """Whose a session is, its table says; sessions themselves are named without it."""
    published = opened(tmp_path, *RECORDS[:1], tables=["activity_daily"])
    with pytest.raises(TidemillError, match="sessions is not built yet; run: tidemill build sessions"):
        activity(published, "by_user")
    with pytest.raises(TidemillError, match="activity_hourly is not built yet"):
        activity(published, "hourly")


@pytest.mark.parametrize("grouping", ["hourly", "daily", "weekly", "monthly", *GROUPINGS])
def test_without_events_counts_are_0_and_the_rest_is_null(nothing: Published, grouping: Grouping) -> None:
    """No event has no duration, no rate and no course, whatever the span and the filter."""
    questions: list[dict[str, Any]] = [{}, {"from_": "2026-02-10", "where": {"user_id": "u1"}}]
    for asked in questions:
        assert activity(nothing, grouping, **asked) == {
            "total_metrics": 0,
            "total_sessions": 0,
            "total_users": 0,
            "total_errors": 0,
            "duration_stats": dict.fromkeys(
                ("total_ms", "avg_ms", "min_ms", "max_ms", "p50_ms", "p95_ms", "p99_ms"), None
            ),
            "token_stats": {"total": 0, "avg_per_session": None},
            "success_metrics": {"success_count": 0, "failure_count": 0, "success_rate": None},
            "breakdowns": {"by_type": {}, "tools": {}, "agents": {}, "errors": {}},
            "time_series": [],
        }


def test_pruned_days_are_in_neither_figures_nor_course(tmp_path: Path) -> None:
    """Both are of the records that there still are: the published table alone keeps what was pruned."""
    old = event("old", "2020-02-10T10:00:00Z", type="tool_use", tool_name="grep")
    mill = home(tmp_path, old, *RECORDS)
    mill.build("activity_daily")
    mill.prune("1000d")
    mill.build("activity_daily")
    found = activity(mill.newest(), "daily")
    assert [row["day"] for row in found["time_series"]] == ["2026-02-10", "2026-02-11"]
    assert found["total_metrics"] == len(RECORDS) == sum(row["events"] for row in found["time_series"])
    assert mill.table("activity_daily").collect().height == 3
