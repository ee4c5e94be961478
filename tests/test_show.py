from __future__ import annotations

import os
import shutil
from datetime import UTC, date, datetime, timedelta
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pyarrow.parquet as pq
import pytest

from tests.homes import AS_OF, built, digests, event, home, job, metric, readers_of, simulated, tm
from tidemill import Tidemill
from tidemill.catalog import tables as catalog_tables
from tidemill.engine import calendar
from tidemill.errors import TidemillError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

PERIOD_TABLES: Final = [
    table.name
    for table in catalog_tables.tables().values()
    if table.partition == "day" and not table.reads & catalog_tables.tables().keys()
]
WHOLE_TABLES: Final = [table.name for table in catalog_tables.tables().values() if table.partition == "none"]
ALWAYS: Final = readers_of("documents") | {
    *("errors_by_category", "job_summary", "llm_cache", "llm_ttft", "reranking"),
    *("session_distribution", "topic_diversity"),
}
"""Tables that have rows of nothing."""
WINDOW_TABLES: Final = [table.name for table in catalog_tables.tables().values() if table.partition == "window"]


def call(key: str, at: str, **fields: object) -> dict[str, Any]:
    """A request of a model that had a first token."""
    return event(key, at, type="llm_request", **({"ttft_ms": 100.0} | fields))


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Tidemill:
    """Four simulated days, built as of their end."""
    made = simulated(tmp_path_factory.mktemp("show"), events=3000, days=4, seed=3)
    made.build(as_of="2026-03-01T00:00:00Z")
    return made


def last_day(mill: Tidemill) -> date:
    """The day before the last that has events, which is whole."""
    found: date = mill.show("activity_daily")["day"][-2]
    return found


def same(found: pl.DataFrame, expected: pl.DataFrame) -> None:
    """Equal in columns, types, order and every bit."""
    assert found.schema == expected.schema
    assert repr(found.rows()) == repr(expected.rows())


# Which records a window takes


EDGES: Final = [
    call("before", "2026-02-10T17:59:59.999999Z"),
    call("first", "2026-02-10T18:00:00Z"),
    call("after", "2026-02-10T18:00:00.000001Z"),
    call("inside", "2026-02-11T00:00:00Z"),
    call("end", "2026-02-11T18:00:00Z"),
    call("beyond", "2026-02-11T18:00:00.000001Z"),
]


@pytest.mark.parametrize(
    ("window", "requests"),
    [
        ({"since": "24h", "as_of": "2026-02-11T18:00:00Z"}, 3),
        ({"since": "1d", "as_of": "2026-02-11T19:00+01:00"}, 3),
        ({"since": "24h", "as_of": datetime(2026, 2, 11, 18, tzinfo=UTC)}, 3),
        ({"from_": "2026-02-10T18:00Z", "to": "2026-02-11T18:00Z"}, 3),
        ({"from_": "2026-02-10T18:00", "to": datetime(2026, 2, 11, 18, tzinfo=UTC)}, 3),
        ({"from_": "2026-02-10T18:00:00.000001Z", "to": "2026-02-11T18:00:00.000001Z"}, 3),
        ({"from_": "2026-02-10", "to": "2026-02-11"}, 3),
        ({"from_": date(2026, 2, 11), "to": date(2026, 2, 12)}, 3),
        ({"since": "24h", "as_of": "latest"}, 3),
        ({"since": "999999999d", "as_of": "latest"}, 6),
        ({"from_": "1970-01-01"}, 6),
        ({"since": "1h"}, 0),
    ],
    ids=str,
)
def test_a_window_ends_where_it_says(tmp_path: Path, window: dict[str, Any], requests: int) -> None:
    """A duration is as_of - w < t ≤ as_of, from and to are from ≤ t < to, to the microsecond, of period tables too."""
    mill = home(tmp_path, *EDGES)
    assert mill.show("llm_ttft", **window)["requests"].to_list() == [requests]
    assert mill.show("llm_hourly", **window)["requests"].sum() == requests
    assert mill.show("activity_monthly", **window)["events"].sum() == requests


@pytest.mark.parametrize(
    ("window", "hours", "as_of"),
    [
        ({"since": "36h", "as_of": "2026-02-11T18:00Z"}, 36, "2026-02-11T18:00:00Z"),
        ({"since": "2d", "as_of": "2026-02-11T18:00Z"}, 48, "2026-02-11T18:00:00Z"),
        ({"from_": "2026-02-10", "to": "2026-02-11T06:00Z"}, 30, "2026-02-11T06:00:00Z"),
        ({"from_": "2026-02-10", "to": "2026-02-10T00:30Z"}, None, "2026-02-10T00:30:00Z"),
    ],
    ids=str,
)
def test_a_window_table_says_which_window(
    tmp_path: Path, window: dict[str, Any], hours: int | None, as_of: str
) -> None:
    """Its hours and its end; a window that is not of whole hours has none."""
    found = home(tmp_path, *EDGES).show("llm_ttft", **window)
    assert found.select("window_hours", "as_of").rows() == [(hours, datetime.fromisoformat(as_of))]
    assert found.schema["window_hours"] == pl.Int64


def test_a_job_is_in_the_window_of_its_creation(tmp_path: Path) -> None:
    """With the state that all its observations give it, those from after the window too."""
    late = job("j1", "2026-02-10T12:00:00Z", status="completed", observed_at="2026-02-20T00:00:00Z")
    early = job("j1", "2026-02-10T12:00:00Z", status="running", user_id="u1")
    mill = home(tmp_path, early, late, job("j2", "2026-02-10T18:00:00Z"))
    found = mill.show("job_states", since="7h", as_of="2026-02-10T17:00Z")
    assert found.select("job_id", "status", "user_id").rows() == [("j1", "completed", "u1")]


def test_equal_to_the_published_window(mill: Tidemill) -> None:
    """Each published window of each window table is what show gives for it, bit for bit."""
    assert WINDOW_TABLES
    for name in WINDOW_TABLES:
        published = mill.show(name)
        for hours in catalog_tables.table(name).windows:
            found = mill.show(name, since=f"{hours}h", as_of="2026-03-01T00:00:00Z")
            same(found, published.filter(pl.col("window_hours") == hours))


@pytest.mark.parametrize("name", PERIOD_TABLES)
def test_equal_to_the_published_day(mill: Tidemill, name: str) -> None:
    """A period table over exactly one day is that day of the published one, bit for bit."""
    day = last_day(mill)
    column = catalog_tables.table(name).partition_column
    published = mill.show(name)
    same(mill.show(name, from_=day, to=day + timedelta(days=1)), published.filter(pl.col(column).dt.date() == day))


@pytest.mark.parametrize("name", WHOLE_TABLES)
def test_equal_to_the_published_whole(mill: Tidemill, name: str) -> None:
    """What is built from other tables, over all days that there are, is the published table, bit for bit."""
    same(mill.show(name, from_="2026-01-01", to="2026-04-01"), mill.show(name))


def test_topics_are_what_trends_over_all_records(mill: Tidemill, tmp_path: Path) -> None:
    """Of simulated records, and of spellings, ties and nobody's questions on both sides of a local midnight."""
    asked = [("a1", "Where's my card?"), ("a1", "wheres my cárd"), (None, "WHERES MY CARD"), (None, "wheres my card")]
    spelled = [
        event(f"{at} {text}", at, text=text, assistant_id=assistant)
        for at in ("2026-02-10T18:00:00Z", "2026-02-10T18:30:00Z", "2026-02-12T05:00:00Z")
        for assistant, text in asked
    ]
    late = event("late", "2026-02-12T06:00:00Z", text="wheres my cárd", assistant_id="a1")
    other = home(tmp_path, *spelled, late, settings='timezone = "Asia/Kolkata"\n')
    other.build("topics")
    found = other.show("topics").select("assistant_id", "topic", "frequency", "variations")
    assert found.rows() == [("a1", "wheres my cárd", 7, 2), (None, "WHERES MY CARD", 6, 2)]
    for one in (mill, other):
        topics = one.show("topics").drop("canonical_text")
        assert not topics.is_empty()
        same(topics, one.show("trending_topics", from_="1970-01-01", to="2026-04-01").select(topics.columns))


# What is known then


def test_the_window_before_is_as_long(tmp_path: Path) -> None:
    """Trending topics are compared with the window before, which ends where the window begins, and is filtered too."""
    instants = (
        "08T18:00:00Z",
        "09T18:00:00.000001Z",
        "10T18:00:00Z",
        "10T18:00:00.000001Z",
        "11T18:00:00Z",
        "11T19:00Z",
    )
    asked = [event(at, f"2026-02-{at}", text="why?", assistant_id="a1") for at in instants]
    other = event("other", "2026-02-11T00:00:00Z", text="why?", assistant_id="a2")
    mill = home(tmp_path, *asked, other)
    found = mill.show("trending_topics", since="24h", as_of="2026-02-11T18:00Z", where={"assistant_id": "a1"})
    assert found.select("frequency", "previous_frequency", "growth").rows() == [(2, 2, 0)]
    found = mill.show("trending_topics", from_="2026-02-11T00:00Z", to="2026-02-11T18:00:00.000001Z")
    assert found.select("assistant_id", "frequency", "previous_frequency").rows() == [("a1", 1, 2), ("a2", 1, 0)]


def test_documents_are_those_known_on_the_last_day(tmp_path: Path) -> None:
    """Those updated long before the window, and until its last day's end, as they then were; later ones are unknown."""
    update = {"type": "document_updated"}
    mill = home(
        tmp_path,
        event("old", "2025-06-01T10:00:00Z", document_id="d1", name="old", **update),
        event("new", "2026-02-11T23:30:00Z", document_id="d1", name="new", **update),
        event("same day", "2026-02-11T22:30:00Z", document_id="d2", name="d2", **update),
        event("late", "2026-02-11T23:00:00Z", document_id="d3", name="d3", **update),
        event("use", "2026-02-11T10:00:00Z", document_id="d1", request_id="r", type="document_retrieved"),
        settings='timezone = "Europe/Berlin"',
    )
    window: dict[str, Any] = {"since": "24h", "as_of": "2026-02-11T18:00Z"}
    found = mill.show("document_utilization", **window)
    assert found.select("document_id", "name", "retrievals").rows() == [("d1", "old", 1), ("d2", "d2", 0)]
    found = mill.show("document_utilization", **window, where={"document_id": "d1"})
    assert found.select("document_id", "retrievals", "status").rows() == [("d1", 1, "warm")]
    midnight = mill.show("document_utilization", from_="2026-02-11", to="2026-02-12")
    assert midnight["document_id"].to_list() == ["d1", "d2"]


# Whole days


def test_tables_of_tables_take_whole_days(tmp_path: Path) -> None:
    """Of the reporting timezone; the command says which, and Python's rows are the same."""
    mill = home(
        tmp_path,
        event("a", "2026-02-09T22:59:59Z", session_id="s0"),
        event("b", "2026-02-09T23:00:00Z", session_id="s1"),
        event("c", "2026-02-10T22:59:59Z", session_id="s2"),
        event("d", "2026-02-10T23:00:00Z", session_id="s3"),
        settings='timezone = "Europe/Berlin"',
    )
    arguments = ("show", "sessions", "--since", "1h", "--as-of", "2026-02-10T12:00Z", "--format", "csv")
    said = tm(*arguments, at=mill)
    assert [line.split(",")[0] for line in said.out.splitlines()] == ["session_id", "s1", "s2"]
    assert said.err == (
        "sessions is built from other tables: whole days, 2026-02-10 to 2026-02-10 (Europe/Berlin), are taken\n"
    )
    said = tm(*arguments, "--where", "session_id=s2", at=mill)
    assert [line.split(",")[0] for line in said.out.splitlines()] == ["session_id", "s2"]
    assert said.err.endswith("(Europe/Berlin), are taken; filters look at its own columns\n")
    assert mill.show("sessions", since="1h", as_of="2026-02-10T12:00Z")["session_id"].to_list() == ["s1", "s2"]


def test_users_are_filtered_by_the_sessions(tmp_path: Path) -> None:
    """An event that carries no user counts for the session's, and one that carries another, too."""
    mill = home(
        tmp_path,
        event("a", "2026-02-10T10:00:00Z", session_id="s1"),
        event("b", "2026-02-10T11:00:00Z", session_id="s1", user_id="u1", project="p1"),
        event("c", "2026-02-10T12:00:00Z", session_id="s1", user_id="u2"),
        event("d", "2026-02-10T12:00:00Z", session_id="s2", user_id="u2"),
    )
    window: dict[str, Any] = {"since": "24h", "as_of": "2026-02-10T18:00Z"}
    assert mill.show("sessions", **window, where={"user_id": "u1"})["events"].to_list() == [3]
    assert mill.show("users", **window, where={"user_id": "u1"})["events"].to_list() == [3]
    assert mill.show("projects", **window, where={"project": "p1"})["events"].to_list() == [3]
    assert mill.show("activity_daily", **window, where={"user_id": "u1"})["events"].to_list() == [1]


# The reporting timezone


@pytest.mark.parametrize(
    ("zone", "day", "hours"),
    [
        ("Europe/Berlin", date(2026, 3, 29), 23),
        ("Europe/Berlin", date(2026, 10, 25), 25),
        ("Europe/Berlin", date(2026, 2, 10), 24),
        ("Asia/Kolkata", date(2026, 2, 10), 24),
        ("America/Havana", date(2026, 3, 8), 23),
        ("Pacific/Apia", date(2011, 12, 31), 24),
    ],
)
def test_a_day_is_as_long_as_it_is_there(tmp_path: Path, zone: str, day: date, hours: int) -> None:
    """From a date to the next are that local day's records, for exact and for whole-day tables; hours stay apart."""
    noon = datetime(day.year, day.month, day.day, 12, tzinfo=UTC)
    instants = [noon + timedelta(minutes=30 * n) for n in range(-60, 61)]
    records = [event(f"{n}", at.isoformat(), session_id=f"s{n}") for n, at in enumerate(instants)]
    mill = home(tmp_path, *records, settings=f'timezone = "{zone}"')
    window: dict[str, Any] = {"from_": day, "to": str(day + timedelta(days=1))}
    assert mill.show("activity_daily", **window).select("day", "events").rows() == [(day, 2 * hours)]
    assert mill.show("activity_hourly", **window)["events"].to_list() == [2] * hours
    assert mill.show("sessions", **window).height == 2 * hours
    assert mill.show("llm_ttft", **window)["window_hours"].to_list() == [hours]
    built(mill, "activity_daily", "activity_hourly")
    for name in ("activity_daily", "activity_hourly"):
        zoned = pl.col(catalog_tables.table(name).partition_column)
        local = zoned if name == "activity_daily" else zoned.dt.convert_time_zone(zone).dt.date()
        same(mill.show(name, **window), mill.show(name).filter(local == day))


# Filters


FILTERED: Final = [
    call("a", "2026-02-10T10:00:00Z", assistant_id="a1", name="it's", user_id="u1", model="m1"),
    call("b", "2026-02-10T11:00:00Z", assistant_id="a1", user_id="u2", category="x"),
    call("c", "2026-02-10T12:00:00Z", assistant_id="a2", user_id="u1", project="p"),
    call("d", "2026-02-10T13:00:00Z", name=""),
    job("j1", "2026-02-10T09:00:00Z", status="running", user_id="u1"),
    job("j1", "2026-02-10T09:00:00Z", status="completed", observed_at="2026-02-10T10:00:00Z"),
    job("j2", "2026-02-10T09:00:00Z", status="completed", user_id="u2", observed_at="2026-02-10T10:00:00Z"),
    metric("m1", "2026-02-10T09:00:00Z"),
    metric("m2", "2026-02-10T09:00:00Z") | {"name": "memory"},
]
DAY: Final = ("--from", "2026-02-10", "--to", "2026-02-11")


@pytest.mark.parametrize(
    ("table", "where", "column", "found"),
    [
        ("llm_ttft", ["assistant_id=a1"], "requests", [2]),
        ("llm_ttft", ["assistant_id=a1", "user_id=u1"], "requests", [1]),
        ("llm_ttft", ["assistant_id=none"], "requests", [0]),
        ("llm_hourly", ["user_id=u1"], "assistant_id", ["a1", "a2"]),
        ("llm_hourly", ["model=m1"], "requests", [1]),
        ("activity_daily", ["type=llm_request"], "events", [4]),
        ("activity_daily", ["type=question"], "events", []),
        ("activity_daily", ["name=it's"], "events", [1]),
        ("activity_daily", ["name="], "events", [1]),
        ("activity_daily", ["category=x"], "events", [1]),
        ("activity_daily", ["project=p"], "events", [1]),
        ("activity_daily", ["id=a"], "events", [1]),
        ("activity_daily", ["project=a=b"], "events", []),
        ("job_states", ["user_id=u1"], "status", ["completed"]),
        ("job_states", ["status=completed"], "job_id", ["j1", "j2"]),
        ("job_states", ["status=running"], "job_id", []),
        ("metric_hourly", ["name=memory"], "samples", [1]),
    ],
    ids=str,
)
def test_a_filter_looks_at_what_the_record_carries(
    tmp_path: Path, table: str, where: list[str], column: str, found: list[object]
) -> None:
    """Several hold together; a job carries what its state says, and an empty text is a text."""
    mill = home(tmp_path, *FILTERED)
    options = [part for text in where for part in ("--where", text)]
    said = tm("show", table, *DAY, *options, "--output", tmp_path / "out.parquet", at=mill)
    assert (said.code, said.out, said.err) == (0, "", "")
    result = pl.read_parquet(tmp_path / "out.parquet")
    assert result[column].to_list() == found
    filters = dict(text.split("=", 1) for text in where)
    same(result, mill.show(table, from_="2026-02-10", to="2026-02-11", where=filters))


def test_none_is_no_value(tmp_path: Path) -> None:
    """In Python, None asks for the records that carry nothing there."""
    mill = home(tmp_path, *FILTERED)
    window: dict[str, Any] = {"from_": "2026-02-10", "to": "2026-02-11"}
    assert mill.show("llm_ttft", **window, where={"assistant_id": None})["requests"].to_list() == [1]
    assert mill.show("job_totals", **window, where={"name": None, "job_id": "j1"}).height == 1


@pytest.mark.parametrize(
    ("table", "where", "found"),
    [
        ("activity_hourly", ["events=2"], ["2026-02-10T10:00:00Z"]),
        ("activity_hourly", ["hour=2026-02-10T11:00+00:00"], ["2026-02-10T11:00:00Z"]),
        ("activity_hourly", ["events=1.5"], []),
        ("activity_hourly", ["success_rate=1", "events=2"], []),
        ("event_types_daily", ["day=2026-02-10", "type=question"], ["2026-02-10"]),
        ("sessions", ["user_id=u1"], ["s1"]),
        ("sessions", ["duration_seconds=3600"], ["s1"]),
        ("llm_ttft", ["window_hours=24"], ["24"]),
    ],
    ids=str,
)
def test_without_a_window_the_tables_own_columns_are_filtered(
    tmp_path: Path, table: str, where: list[str], found: list[str]
) -> None:
    """Those of the published table, each as its type; what is in the lake since then is not shown."""
    mill = home(
        tmp_path,
        event("a", "2026-02-10T10:00:00Z", session_id="s1", user_id="u1"),
        event("b", "2026-02-10T11:00:00Z", session_id="s1"),
        event("c", "2026-02-10T10:00:00Z", session_id="s2", type="log"),
    )
    built(mill, table, as_of=AS_OF)
    file = tmp_path / "late.jsonl"
    file.write_text('{"timestamp": "2026-02-10T10:30:00Z", "type": "question", "session_id": "s9"}\n')
    mill.ingest(file, record="event")
    options = [part for text in where for part in ("--where", text)]
    said = tm("show", table, *options, "--format", "csv", at=mill)
    assert (said.code, said.err) == (0, "")
    assert [line.split(",")[0] for line in said.out.splitlines()[1:]] == found
    result = mill.show(table, where=dict(text.split("=") for text in where))
    assert result.schema == mill.show(table).schema
    assert result.height == len(found)


# What is read


def test_only_the_days_of_the_window_are_opened(mill: Tidemill, tmp_path: Path) -> None:
    """With every other day's files gone, each table is still shown; a window over a missing day is not."""
    copy = Tidemill(tmp_path / "home")
    shutil.copytree(mill.home.lake, copy.home.lake)
    day = last_day(mill)
    for file in copy.home.lake.glob("*/day=*/*.parquet"):
        if file.parent.name != f"day={day}":
            file.unlink()
    window: dict[str, Any] = {"from_": day, "to": day + timedelta(days=1)}
    for name in ("activity_hourly", "job_states", "metric_hourly", "llm_ttft", "sessions", "job_totals"):
        same(copy.show(name, **window), mill.show(name, **window))
    with pytest.raises(TidemillError, match="is missing; put it back from a copy"):
        copy.show("activity_daily", since="48h", as_of=day)


def test_only_the_columns_of_the_select_are_read(mill: Tidemill, tmp_path: Path) -> None:
    """With the bytes of every other column destroyed, the table is still shown; one that needs them is not."""
    copy = Tidemill(tmp_path / "home")
    shutil.copytree(mill.home.lake, copy.home.lake)
    needed = {"timestamp", "type", "ttft_ms", "assistant_id"}
    for file in copy.home.lake.glob("events/day=*/*.parquet"):
        data = bytearray(file.read_bytes())
        found = pq.read_metadata(file)
        for group in range(found.num_row_groups):
            for place in range(found.num_columns):
                column = found.row_group(group).column(place)
                if column.path_in_schema not in needed:
                    start = column.dictionary_page_offset or column.data_page_offset
                    data[start : start + column.total_compressed_size] = b"\xff" * column.total_compressed_size
        times = file.stat().st_atime_ns, file.stat().st_mtime_ns
        file.write_bytes(data)
        os.utime(file, ns=times)  # as a disk changes bytes: where the time is another, all of it is read
    options: dict[str, Any] = {"since": "36h", "as_of": "latest", "where": {"assistant_id": "a-1"}}
    same(copy.show("llm_ttft", **options), mill.show("llm_ttft", **options))
    with pytest.raises(TidemillError):
        copy.show("activity_daily", since="36h", as_of="latest")


def test_nothing_is_changed_or_needed_of_what_is_published(tmp_path: Path) -> None:
    """A window is shown before the first build, and leaves no file behind in the home's tables."""
    mill = home(tmp_path, *EDGES)
    before = digests(mill.home.path)
    for name in ("activity_daily", "llm_ttft", "job_totals"):
        mill.show(name, since="24h", as_of="latest")
    after = digests(mill.home.path)
    assert {name for name in after if before.get(name) != after[name]} <= {"lake/.lock"}
    assert before.keys() == after.keys()


# Nothing there


@pytest.mark.parametrize("name", catalog_tables.tables())
def test_an_empty_window_has_the_right_columns(mill: Tidemill, name: str) -> None:
    """Every column with its type."""
    found = mill.show(name, from_="1999-01-01", to="1999-01-02")
    assert found.schema == mill.show(name).schema
    assert found.height <= (4 if name in ALWAYS else 0)


@pytest.mark.parametrize("name", ["activity_daily", "llm_ttft", "sessions", "job_totals"])
def test_an_empty_home_has_the_right_columns(mill: Tidemill, name: str, tmp_path: Path) -> None:
    """Nothing was ever ingested, `latest` is now, and nothing is made there."""
    empty = Tidemill(tmp_path / "home")
    found = empty.show(name, since="24h", as_of="latest")
    assert found.schema == mill.show(name).schema
    assert found.height == (1 if name == "llm_ttft" else 0)
    assert not empty.home.path.exists()


def test_a_window_in_the_future_says_so(tmp_path: Path) -> None:
    """It is no error: there may be records of then."""
    said = tm("show", "activity_daily", "--from", "2150-01-01", "--to", "2150-02-01", at=home(tmp_path, *EDGES))
    assert (said.code, said.err) == (0, "the window begins in the future\nno rows\n")
    assert said.out.startswith("day ")


# What is refused


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["llm_tft", "--since", "24h"], 'there is no table "llm_tft"; did you mean "llm_ttft"?'),
        (
            ["llm_ttft", "--since", "24h", "--where", "asistant_id=a"],
            'filter "asistant_id"; did you mean "assistant_id"?',
        ),
        (["activity_daily", "--since", "24h", "--where", "ttft_ms=1"], 'there is no filter "ttft_ms"'),
        (["activity_daily", "--since", "24h", "--where", "text=hello"], 'there is no filter "text"'),
        (["job_states", "--since", "24h", "--where", "session_id=s"], 'there is no filter "session_id"'),
        (["sessions", "--since", "24h", "--where", "usr_id=u"], 'there is no column "usr_id"; did you mean "user_id"?'),
        (["activity_daily", "--where", "evnts=1"], 'there is no column "evnts"; did you mean "events"?'),
        (["activity_daily", "--where", "events=many"], "where events: many is no BIGINT"),
        (["sessions", "--since", "24h", "--where", "started_at=noon"], "where started_at: noon is no TIMESTAMP"),
        (["activity_daily", "--where", "events"], "where takes column=value; not events"),
        (["activity_daily", "--where", "events=1", "--where", "events=2"], "where names events twice"),
        (["activity_daily", "--since", "24"], "since takes a number of hours or days like 36h or 7d; not 24"),
        (["activity_daily", "--since", "0h"], "since takes a number of hours or days like 36h or 7d; not 0h"),
        (["activity_daily", "--since=-1h"], "since takes a number of hours or days like 36h or 7d; not -1h"),
        (["activity_daily", "--since", "1.5h"], "since takes a number of hours or days like 36h or 7d; not 1.5h"),
        (["activity_daily", "--since", "9999999999d"], "since takes a number of hours or days"),
        (["activity_daily", "--since", ""], "since takes a number of hours or days like 36h or 7d; not"),
        (
            ["activity_daily", "--since", "24h", "--as-of", "noon"],
            "as-of takes a time like 2026-02-10T18:00Z, or latest",
        ),
        (
            ["activity_daily", "--since", "24h", "--as-of", "1969-12-31"],
            "as-of is 1969-12-31, but records are of 1970 to",
        ),
        (["activity_daily", "--since", "24h", "--as-of", "0001-01-01T00:00+10:00"], "but records are of 1970 to 2199"),
        (["activity_daily", "--since", "24h", "--as-of", "9999-12-31"], "but records are of 1970 to 2199"),
        (["activity_daily", "--from", "2026-02-30"], "from takes a time like 2026-02-10T18:00Z; not 2026-02-30"),
        (
            ["activity_daily", "--from", "2026-02-10", "--to", "latest"],
            "to takes a time like 2026-02-10T18:00Z; not latest",
        ),
        (
            ["activity_daily", "--from", "2026-02-11", "--to", "2026-02-10"],
            "a window ends after it starts; this one is from 2026-02-11T00:00:00Z to 2026-02-10T00:00:00Z",
        ),
        (["activity_daily", "--from", "2026-02-11", "--to", "2026-02-11"], "a window ends after it starts"),
        (["activity_daily", "--from", "2150-01-01"], "a window ends after it starts"),
        (["builds", "--since", "1h"], "builds is about the pipeline itself and has no window; show it without one"),
        (["activity_daily", "--to", "2026-02-11"], "to ends a window that nothing begins; give from too"),
        (["activity_daily", "--as-of", "2026-02-11"], "as-of ends a window that nothing begins; give since too"),
        (["activity_daily", "--since", "1h", "--from", "2026-02-11"], "not both"),
        (["activity_daily", "--since", "1h", "--to", "2026-02-11"], "not both"),
        (["activity_daily", "--from", "2026-02-11", "--as-of", "latest"], "one from a moment ends at to"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_used_is_one_line(mill: Tidemill, arguments: list[str], fault: str) -> None:
    """It says what, and what is meant or to be done; the exit code is 2."""
    said = tm("show", *arguments, at=mill)
    assert fault in said.fault
    assert said.code == 2


def test_python_raises_the_same(mill: Tidemill) -> None:
    """The exceptions are those of the package."""
    with pytest.raises(UsageError, match='no filter "usr_id"; did you mean "user_id"'):
        mill.show("activity_daily", since="24h", where={"usr_id": "u"})
    with pytest.raises(UsageError, match='no column "evnts"'):
        mill.show("activity_daily", where={"evnts": 1})


def test_clock_spans() -> None:
    """From one day to another, both included."""
    assert calendar.span(date(2026, 2, 27), date(2026, 3, 1)) == ["2026-02-27", "2026-02-28", "2026-03-01"]
