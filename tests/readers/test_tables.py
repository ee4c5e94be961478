from __future__ import annotations

import base64
import json
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.homes import AS_OF, built, event, feed, home, opened
from tidemill.catalog import system_tables
from tidemill.catalog import tables as catalog_tables
from tidemill.errors import NotFoundError, UsageError
from tidemill.readers import tables
from tidemill.readers.paging import Filter, Page

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill.readers.snapshot import Published

TABLES: Final = ("activity_daily", "sessions", "function_calls_notable")
ODD: Final = "ü\"3'%"
RECORDS: Final = (
    event("a", "2026-02-10T10:00:00Z", session_id="s1", user_id="u1", type="token_usage", cost_usd=0.5),
    event("b", "2026-02-10T10:10:00Z", session_id="s1"),
    event("c", "2026-02-10T10:30:00Z", session_id="s1"),
    event("d", "2026-02-10T12:00:00Z", session_id="s2"),
    event("e", "2026-02-11T00:00:00Z", session_id="s3", user_id=ODD, type="token_usage", cost_usd=0.25),
    event("f", "2026-02-11T00:00:01.5Z", session_id="s3"),
    event("g", "2026-02-12T00:00:00Z", session_id="s4"),
    *(
        event(key, "2026-02-12T00:00:00Z", type="function_call", name=key, success=success, duration_ms=9000)
        for key, success in (("no", False), ("unknown", None), ("yes", True))
    ),
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Sessions of 3, 1, 2 and 1 events, of which the second and fourth belong to nobody and cost nothing."""
    return opened(tmp_path_factory.mktemp("tables"), *RECORDS, tables=TABLES)


def page(*filters: str, **asked: Any) -> Page:
    """A page, with filters as they stand in an address."""
    parts = (text.partition("=") for text in filters)
    return Page(filters=tuple(Filter.of(name, value) for name, _, value in parts), **asked)


def ids(published: Published, asked: Page, table: str = "sessions", key: str = "session_id") -> list[Any]:
    """The keys of the rows of a page."""
    return [row[key] for row in tables.rows(published, table, asked)["rows"]]


def test_a_row_has_every_column_in_its_order(published: Published) -> None:
    """Instants as ISO 8601 in UTC, and null where there is no value."""
    found = tables.rows(published, "sessions", page("session_id=s2"))
    assert found == {
        "table": "sessions",
        "snapshot": published.id,
        "total_rows": 1,
        "rows": [
            {
                "session_id": "s2",
                "user_id": None,
                "project": None,
                "started_at": "2026-02-10T12:00:00Z",
                "ended_at": "2026-02-10T12:00:00Z",
                "duration_seconds": 0.0,
                "events": 1,
                "errors": 0,
                "questions": 1,
                "total_duration_ms": None,
                "total_tokens": 0,
                "cost_usd": None,
            }
        ],
        "next_cursor": None,
    }
    assert list(found["rows"][0])[:3] == ["session_id", "user_id", "project"]
    (fraction,) = tables.rows(published, "sessions", page("session_id=s3"))["rows"]
    assert fraction["ended_at"] == "2026-02-11T00:00:01.5Z"
    assert ids(published, Page(), "activity_daily", "day") == ["2026-02-10", "2026-02-11", "2026-02-12"]


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        ([], ["s1", "s2", "s3", "s4"]),
        (["user_id=u1"], ["s1"]),
        (["user_id__=u1"], ["s1"]),
        (["user_id__ne=u1"], ["s3"]),  # who is not known is neither u1 nor another
        (["user_id__null=true"], ["s2", "s4"]),
        (["user_id__null=false"], ["s1", "s3"]),
        (["user_id__gt=u1"], ["s3"]),
        ([f"user_id={ODD}"], ["s3"]),
        (["user_id=U1"], []),
        (["user_id="], []),
        (["user_id=null"], []),
        (["user_id=' OR true --"], []),
        (["user_id=u1\x00"], []),
        (["session_id__gte=s2", "session_id__lt=s4"], ["s2", "s3"]),
        (["session_id__lte=s2"], ["s1", "s2"]),
        (["events=1"], ["s2", "s4"]),
        (["events__ne=1"], ["s1", "s3"]),
        (["events__gte=2"], ["s1", "s3"]),
        (["events__lt=2"], ["s2", "s4"]),
        (["events=1.5"], []),  # not rounded to 2
        (["events__gt=1.5"], ["s1", "s3"]),
        (["events__lte=9223372036854775808"], ["s1", "s2", "s3", "s4"]),
        (["cost_usd=0.25"], ["s3"]),
        (["cost_usd__gt=2.5e-1"], ["s1"]),
        (["cost_usd__null=true", "events=1"], ["s2", "s4"]),
        (["started_at=2026-02-10T11:00:00+01:00"], ["s1"]),
        (["started_at__gte=2026-02-11"], ["s3", "s4"]),
        (["ended_at__gt=2026-02-11T00:00:01Z", "ended_at__lt=2026-02-11T00:00:02Z"], ["s3"]),
        (["events=1", "events=2"], []),
    ],
    ids=ascii,
)
def test_filters_compare_with_values_of_the_columns_type(
    published: Published, filters: list[str], expected: list[str]
) -> None:
    """All of them must hold; without a value no comparison does."""
    found = tables.rows(published, "sessions", page(*filters))
    assert [row["session_id"] for row in found["rows"]] == expected
    assert found["total_rows"] == len(expected)


@pytest.mark.parametrize(
    ("filters", "expected"),
    [
        (["success=false"], ["no"]),
        (["success=true"], ["yes"]),
        (["success__ne=true"], ["no"]),
        (["success__null=true"], ["unknown"]),
    ],
    ids=str,
)
def test_a_truth_may_be_unknown(published: Published, filters: list[str], expected: list[str]) -> None:
    """Then it is neither, until it is asked for."""
    assert ids(published, page(*filters), "function_calls_notable", "function") == expected


def test_days_are_compared_as_days(published: Published) -> None:
    """Both ends may be given."""
    found = ids(published, page("day__gt=2026-02-10", "day__lte=2026-02-12"), "activity_daily", "day")
    assert found == ["2026-02-11", "2026-02-12"]
    assert ids(published, page("day=2026-02-10"), "activity_daily", "day") == ["2026-02-10"]


@pytest.mark.parametrize(
    ("order", "expected"),
    [
        ([], ["s1", "s2", "s3", "s4"]),
        (["-session_id"], ["s4", "s3", "s2", "s1"]),
        (["-events"], ["s1", "s3", "s2", "s4"]),  # equal ones in the table's own order
        (["events", "-session_id"], ["s4", "s2", "s3", "s1"]),
        (["user_id"], ["s1", "s3", "s2", "s4"]),  # what has no value comes last, either way
        (["-user_id"], ["s3", "s1", "s2", "s4"]),
        (["events", "events"], ["s2", "s4", "s3", "s1"]),
    ],
    ids=str,
)
def test_rows_stand_in_the_order_that_is_asked_for(published: Published, order: list[str], expected: list[str]) -> None:
    """Page by page as in one; a column may order rows that is not asked for."""
    assert ids(published, page(order=order)) == expected
    one_by_one = [ids(published, page(order=order, limit=1, offset=offset)) for offset in range(5)]
    assert one_by_one == [[key] for key in expected] + [[]]
    assert ids(published, page(order=order, columns=["session_id"])) == expected


def test_only_the_columns_that_are_asked_for(published: Published) -> None:
    """In that order; a filter may look at another."""
    found = tables.rows(published, "sessions", page("user_id=u1", columns=["events", "session_id"]))["rows"]
    assert [list(row.items()) for row in found] == [[("events", 3), ("session_id", "s1")]]


def test_pages_go_on_where_the_one_before_ended(published: Published) -> None:
    """Until the last, which names no next; each knows how many rows there are in all, and may be of another length."""
    found, seen, cursor = [], [], None
    for limit in (1, 2, 5):
        asked = page("session_id__ne=s2", order=["-events"], limit=limit)
        snapshot, asked = tables.opened(cursor, "sessions", asked) if cursor else (published.id, asked)
        made = tables.rows(published, "sessions", asked)
        cursor = made["next_cursor"]
        assert (snapshot, made["total_rows"]) == (published.id, 3)
        found += [row["session_id"] for row in made["rows"]]
        seen.append(cursor is None)
        if cursor is None:
            break
    assert (found, seen) == (["s1", "s3", "s4"], [False, True])


def test_a_cursor_goes_on_over_its_own_snapshot(tmp_path: Path) -> None:
    """What was published since moves no row from one page to another."""
    mill = home(tmp_path, *RECORDS)
    built(mill, *TABLES, as_of=AS_OF)
    before = mill.newest()
    cursor = tables.rows(before, "sessions", page(limit=2))["next_cursor"]
    assert cursor is not None
    feed(mill, event("new", "2026-02-10T10:00:00Z", session_id="s0"))
    built(mill, *TABLES, as_of=AS_OF)
    after = mill.newest()
    assert ids(after, Page()) == ["s0", "s1", "s2", "s3", "s4"]
    snapshot, asked = tables.opened(cursor, "sessions", page(limit=2))
    assert (snapshot, before.id == after.id) == (before.id, False)
    assert ids(before, asked) == ["s3", "s4"]


@pytest.mark.parametrize(
    ("table", "asked"),
    [
        ("activity_daily", page(limit=1)),
        ("sessions", page("events=1", limit=1)),
        ("sessions", page(order=["-session_id"], limit=1)),
        ("sessions", page(columns=["session_id"], limit=1)),
    ],
    ids=str,
)
def test_a_cursor_is_of_one_question(published: Published, table: str, asked: Page) -> None:
    """With another table, filter, order or columns it would skip rows."""
    cursor = tables.rows(published, "sessions", page(limit=1))["next_cursor"]
    assert cursor is not None
    with pytest.raises(UsageError, match="cursor belongs to another table, filter, order or columns"):
        tables.opened(cursor, table, asked)


def encoded(state: str) -> str:
    """A text as cursors are spelled."""
    return base64.urlsafe_b64encode(state.encode()).decode().rstrip("=")


@pytest.mark.parametrize(
    "cursor",
    [
        *("", "é", "no cursor", "a", encoded("no JSON"), encoded("{}"), encoded("7"), encoded('["a", 1]')),
        encoded("[" * 10_000),
    ],
    ids=lambda cursor: ascii(cursor[:10]),
)
def test_what_is_no_cursor_is_refused(cursor: str) -> None:
    """Whatever it is, and however deep."""
    with pytest.raises(UsageError, match="cursor is none that an answer gave"):
        tables.opened(cursor, "sessions", Page(limit=1))


@pytest.mark.parametrize("place", [-1, 10**30, 1.5, True, "1", None], ids=repr)
def test_a_cursor_names_a_row(published: Published, place: object) -> None:
    """One that was changed on its way is refused, before it is asked for."""
    cursor = tables.rows(published, "sessions", page(limit=1))["next_cursor"]
    assert cursor is not None
    snapshot, _, asked = json.loads(base64.urlsafe_b64decode(cursor + "=" * (-len(cursor) % 4)))
    with pytest.raises(UsageError, match="cursor belongs to another"):
        tables.opened(encoded(json.dumps([snapshot, place, asked])), "sessions", page(limit=1))


@pytest.mark.parametrize(
    ("table", "asked", "fault"),
    [
        ("sessions", page("usr_id=u1"), 'there is no column "usr_id"; did you mean "user_id"?'),
        ("sessions", page("user_id__like=u%"), 'there is no column "user_id__like"'),
        ("sessions", page(order=["-evnts"]), 'there is no column "evnts"; did you mean "events"?'),
        ("sessions", page(order=["events DESC"]), 'there is no column "events DESC"'),
        ("sessions", page(columns=["count(*)"]), 'there is no column "count(*)"'),
        ("sessions", page("events=many"), "events is a BIGINT; not many"),
        ("sessions", page("events="), "events is a BIGINT; not "),
        ("sessions", page("cost_usd__lt=free"), "cost_usd is a DOUBLE; not free"),
        ("sessions", page("started_at__gte=noon"), "started_at is a TIMESTAMP WITH TIME ZONE; not noon"),
        ("sessions", page("user_id__null=yes"), "user_id__null is true or false; not yes"),
        ("activity_daily", page("day=2026-02-30"), "day is a DATE; not 2026-02-30"),
        ("function_calls_notable", page("success=maybe"), "success is a BOOLEAN; not maybe"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_said(published: Published, table: str, asked: Page, fault: str) -> None:
    """Which column or value, and what it must be."""
    with pytest.raises(UsageError) as error:
        tables.rows(published, table, asked)
    assert fault in str(error.value)
    assert "\n" not in str(error.value)


def test_a_column_is_named_once(published: Published) -> None:
    """An object has each name once."""
    found = tables.rows(published, "sessions", page("session_id=s1", columns=["events", "events"]))["rows"]
    assert found == [{"events": 3}]


@pytest.mark.parametrize("name", ["session", "jobs_daily", "lake.events", "table_columns; DROP", ""])
def test_a_table_that_is_not_published_is_not_found(published: Published, name: str) -> None:
    """Whether it is unknown or only not built."""
    with pytest.raises(NotFoundError, match=f'there is no table "{name}"'):
        tables.rows(published, name, Page())


def test_every_published_table_is_listed(published: Published) -> None:
    """By family and name, with its key, its rows and its columns; those about the pipeline, too."""
    found = {table["name"]: table for table in tables.tables(published)}
    assert found.keys() == {*catalog_tables.with_inputs(TABLES), *system_tables.OWN}
    assert list(found) == sorted(found, key=lambda name: (found[name]["family"], name))
    assert {name: table["rows"] for name, table in found.items()} == {
        name: tables.rows(published, name, Page())["total_rows"] for name in found
    }
    sessions = found["sessions"]
    assert sessions["description"] == catalog_tables.table("sessions").description
    assert (sessions["family"], sessions["key"], sessions["rows"]) == ("activity", ["session_id"], 4)
    assert sessions["columns"][0] == {"name": "session_id", "type": "VARCHAR", "description": "the session"}
    assert found["builds"]["key"] == ["table_name", "partition_value"]
    assert all(str(table["built_at"]).endswith("Z") for table in found.values())


def test_tables_of_nothing_are_listed_and_empty(nothing: Published) -> None:
    """Every table is there; those that have rows of nothing have them."""
    found = {table["name"]: table for table in tables.tables(nothing)}
    assert found.keys() == {*catalog_tables.tables(), *system_tables.OWN}
    assert [found[name]["rows"] for name in ("sessions", "activity_daily", "job_summary")] == [0, 0, 1]
    empty = tables.rows(nothing, "sessions", page("events__gt=0", order=["-events"], limit=10))
    assert (empty["total_rows"], empty["rows"], empty["next_cursor"]) == (0, [], None)
