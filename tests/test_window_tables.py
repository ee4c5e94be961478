from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.homes import built, event, feed, home, rows
from tidemill.build import staleness
from tidemill.build.run import begin, look
from tidemill.build.tables import build_table
from tidemill.catalog import tables as catalog_tables

if TYPE_CHECKING:
    from pathlib import Path

    from tests.homes import Record
    from tidemill import Tidemill

AS_OF = "2026-02-10T18:00:00+00:00"
KNOWN = ("document_utilization", "document_freshness", "connector_syncs")
TABLES = (*KNOWN, "trending_topics", "llm_ttft")


def asked(key: str, at: str, text: str = "balance") -> Record:
    """A question."""
    return event(key, at, text=text)


def updated(key: str, at: str, **fields: object) -> Record:
    """An update of the document d1, unless it is of another."""
    return event(key, at, type="document_updated", document_id="d1") | fields


def built_windows(mill: Tidemill, as_of: str = AS_OF) -> set[str]:
    """Build as of a moment; which window tables were built."""
    return built(mill, *TABLES, as_of=as_of).keys() & set(TABLES)


# The window before


def test_a_table_is_given_the_window_before_with_its_own(tmp_path: Path) -> None:
    """Each of as long as the other, both beginning after their first instant and ending with their last."""
    mill = home(
        tmp_path,
        asked("1", "2026-02-08T18:00:00Z"),
        asked("2", "2026-02-08T18:00:00.000001Z"),
        asked("3", "2026-02-09T18:00:00Z"),
        asked("4", "2026-02-09T18:00:00.000001Z"),
        asked("5", "2026-02-10T18:00:00Z"),
        asked("6", "2026-02-10T18:00:00.000001Z"),
        asked("7", "2026-01-05T00:00:00Z"),
    )
    mill.build(as_of=AS_OF)
    assert rows(mill, "SELECT window_hours, frequency, previous_frequency, growth FROM trending_topics") == [
        (24, 2, 2, 0),
        (168, 5, 0, 5),
        (720, 5, 1, 4),
    ]


def test_records_of_the_window_before_make_only_such_a_table_stale(tmp_path: Path) -> None:
    """A late question of three days ago is in the 24 hours before of no table, one of yesterday of one."""
    mill = home(tmp_path, asked("1", "2026-02-10T12:00:00Z"), event("2", "2026-02-10T12:00:00Z", type="llm_request"))
    built_windows(mill)
    feed(mill, asked("3", "2026-02-08T12:00:00Z"))
    assert built(mill, *TABLES, as_of=AS_OF)["trending_topics"] == ["168h", "24h", "720h"]
    feed(mill, asked("4", "2026-02-07T12:00:00Z"))
    found = built(mill, *TABLES, as_of=AS_OF)
    assert found["trending_topics"] == found["llm_ttft"] == ["168h", "720h"]
    feed(mill, asked("5", "2026-02-01T12:00:00Z"))
    found = built(mill, *TABLES, as_of=AS_OF)
    assert (found["trending_topics"], found["llm_ttft"]) == (["168h", "720h"], ["720h"])
    assert rows(mill, "SELECT window_hours, frequency, previous_frequency FROM trending_topics") == [
        (24, 1, 0),
        (168, 3, 1),
        (720, 4, 0),
    ]


def test_nothing_of_a_window_is_left_for_the_next_table(tmp_path: Path) -> None:
    """Neither the records nor the documents that a table was given."""
    mill = home(tmp_path, asked("1", "2026-02-10T12:00:00Z"), updated("2", "2026-02-10T12:00:00Z"))
    with begin(mill.home, mill.settings, as_of=AS_OF) as build:
        for name in catalog_tables.with_inputs(TABLES):
            build_table(build, name)
        assert build.connection.execute("SELECT view_name FROM duckdb_views() WHERE NOT internal").fetchall() == []


# What was known


def test_documents_are_as_they_were_known_at_the_end_of_the_day(tmp_path: Path) -> None:
    """Of the reporting timezone: what is known of them later is not in a window that ended before."""
    mill = home(
        tmp_path,
        updated("1", "2026-02-10T12:00:00Z", name="at noon"),
        updated("2", "2026-02-11T04:59:59Z", name="in the evening"),
        updated("3", "2026-02-11T05:00:00Z", name="tomorrow"),
        updated("4", "2026-02-11T05:00:00Z", document_id="d2"),
        event("5", "2026-02-11T05:00:00Z", type="connector_sync", connector_id="c1"),
        settings='timezone = "America/New_York"\n',
    )
    built_windows(mill)
    query = "SELECT DISTINCT document_id, name FROM document_utilization ORDER BY ALL"
    assert rows(mill, query) == [("d1", "in the evening")]
    assert rows(mill, "FROM connector_syncs") == []
    assert rows(mill, "SELECT category, documents FROM document_freshness") == [
        ("fresh", 1),
        ("aging", 0),
        ("stale", 0),
    ]
    assert rows(mill, "SELECT document_id, name FROM documents") == [("d1", "tomorrow"), ("d2", None)]
    built_windows(mill, "2026-02-11T05:00:00+00:00")
    assert rows(mill, query) == [("d1", "tomorrow"), ("d2", None)]
    assert rows(mill, "SELECT window_hours, connector_id, syncs FROM connector_syncs") == [
        (24, "c1", 1),
        (168, "c1", 1),
        (720, "c1", 1),
    ]


def test_what_is_known_later_makes_no_earlier_window_stale(tmp_path: Path) -> None:
    """A document of a later day changes nothing of it; one of as_of's day, or of any before, does."""
    mill = home(tmp_path, updated("1", "2026-02-10T12:00:00Z"), event("2", "2026-02-10T12:00:00Z", type="llm_request"))
    assert built_windows(mill) == set(TABLES)
    assert built_windows(mill) == set()
    feed(mill, updated("3", "2026-02-11T00:00:00Z"), updated("4", "2026-02-12T00:00:00Z", document_id="d2"))
    assert built_windows(mill) == set()
    feed(mill, updated("5", "2026-02-10T23:59:59Z", document_id="d3"))
    assert built_windows(mill) >= {"document_utilization", "document_freshness"}
    feed(mill, updated("6", "2020-01-01T00:00:00Z", document_id="d4"))
    assert built_windows(mill) == set(KNOWN)
    assert rows(mill, "SELECT category, documents FROM document_freshness") == [
        ("fresh", 2),
        ("aging", 0),
        ("stale", 1),
    ]


def test_a_window_that_stands_is_not_stale_by_what_is_known_later(tmp_path: Path) -> None:
    """Without a moment that is asked for it keeps its own while that is young, however many documents come after it."""
    settings = "[windows]\nrefresh_minutes = 1000000000\n"
    mill = home(tmp_path, updated("1", "2026-02-10T12:00:00Z"), settings=settings)
    built_windows(mill)
    feed(mill, updated("2", "2026-02-11T00:00:00Z", document_id="d2"))
    with look(mill.home, mill.settings) as build:
        assert [name for name in KNOWN if staleness.work(build, catalog_tables.table(name))] == []


@pytest.mark.parametrize("table", KNOWN)
def test_such_a_table_also_stands_in_an_empty_home(tmp_path: Path, table: str) -> None:
    """With its columns, and the rows that it always has."""
    mill = home(tmp_path)
    mill.build(table, as_of=AS_OF)
    assert len(mill.show(table)) == (3 if table == "document_freshness" else 0)


def test_an_empty_window_moves_on_though_records_came_to_where_it_was(tmp_path: Path) -> None:
    """It is made of what it was made of before, of nothing: only its moment is another, and that was asked for."""
    mill = home(tmp_path, event("1", "2026-01-05T00:00:00Z", type="llm_request"))
    mill.build("llm_cache", as_of=AS_OF)
    feed(mill, event("2", "2026-02-10T12:00:00Z", type="llm_request"))
    mill.build("llm_cache", as_of="2026-02-20T18:00:00Z")
    moments = rows(mill, "SELECT DISTINCT CAST(as_of AS VARCHAR) FROM llm_cache")
    assert moments == [("2026-02-20 18:00:00+00",)]
