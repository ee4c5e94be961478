"""What becomes of records on their way into the lake: each is accepted, known already, refused or ignored, once."""

from __future__ import annotations

import gzip
import json
import os
import subprocess
import sys
import time
from collections import Counter
from datetime import UTC, datetime
from itertools import permutations
from typing import TYPE_CHECKING

import polars as pl
import pyarrow.parquet as pq
import pytest

from tests.conftest import Lake, event, job, metric
from tidemill.errors import UsageError
from tidemill.ingest.load import LARGE_BYTES
from tidemill.ingest.staging import stage
from tidemill.lake import schema as lake_schema
from tidemill.records import EVENT, PROVENANCE
from tidemill.sources import files, splitting

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

    from tests.conftest import Row

BERLIN_GAP = "2026-03-29 02:30"
BERLIN_TWICE = "2026-10-25 02:30"


def append(path: Path, *records: Row | str, newline: bool = True) -> None:
    """Add lines to a file, the last one with its newline or without."""
    text = "\n".join(record if isinstance(record, str) else json.dumps(record) for record in records)
    with path.open("a") as file:
        file.write(text + "\n" * newline)


def age(path: Path, seconds: float = 3600) -> None:
    """Make a file look as if nobody had written to it for a while."""
    then = time.time() - seconds
    os.utime(path, (then, then))


def names(home: Lake, table: str = "events") -> list[str]:
    """The names of the stored records, sorted."""
    found: list[str] = home.column(f"SELECT name FROM {table} ORDER BY name")
    return found


class TestEqualRecords:
    """Duplicates, conflicts and ids that are derived."""

    def test_the_same_id_with_the_same_content_is_a_duplicate(self, home: Lake) -> None:
        """An id that comes again with the same content, in the same file or another, is counted and not stored."""
        first = home.write("a.jsonl", event(id="1"), event(id="1"), event(id="2"))
        again = home.write("b.jsonl", event(id="2"), event(id="3"))
        assert home.ingest(first, record="event") == {"records_read": 3, "accepted": 2, "duplicates": 1}
        assert home.ingest(again, record="event") == {"records_read": 2, "accepted": 1, "duplicates": 1}

    def test_the_same_id_with_other_content_is_a_conflict(self, home: Lake) -> None:
        """The record that stands first keeps its id; the other is quarantined with its line and its text."""
        path = home.write("a.jsonl", event(id="2"), "", event(id="1", name="first"), event(id="1", name="second"))
        assert home.ingest(path, record="event") == {"records_read": 3, "accepted": 2, "quarantined": 1}
        later = home.write("b.jsonl", event(id="1", name="third"))
        assert home.ingest(later, record="event") == {"records_read": 1, "quarantined": 1}
        assert home.column("SELECT name FROM events WHERE id = '1'") == ["first"]
        assert home.refusals() == [(4, "id", "conflict"), (1, "id", "conflict")]
        assert ['"second"' in text or '"third"' in text for text in home.column("SELECT raw FROM held")] == [True, True]

    def test_a_conflict_is_not_hidden_by_a_duplicate(self, home: Lake) -> None:
        """Of three records of one id, the equal one is a duplicate and only the other one a conflict."""
        path = home.write("a.jsonl", event(id="1", name="a"), event(id="1", name="b"), event(id="1", name="a"))
        assert home.ingest(path, record="event") == {
            "records_read": 3,
            "accepted": 1,
            "duplicates": 1,
            "quarantined": 1,
        }

    @pytest.mark.parametrize(
        "value", ["7", "7.50", "1e3", "0.1e-5", "true", '{"a": 1}', '["x"]', '"\\u0041"', "12345678901234567890123"]
    )
    def test_a_conflict_is_found_under_an_id_of_any_json(self, home: Lake, value: str) -> None:
        """An id may be any JSON value: its conflicts keep their line and text all the same."""
        lines = [f'{{"id": {value}, "timestamp": "2026-02-10", "type": "{word}"}}' for word in ("a", "b")]
        assert home.ingest(home.write("a.jsonl", *lines), record="event")["quarantined"] == 1
        assert home.query("SELECT line, raw FROM held") == [{"line": 2, "raw": lines[1]}]

    def test_an_id_is_unique_within_its_day_source_and_kind_of_record(self, home: Lake) -> None:
        """The same id on another UTC day, in another source or of a metric is another record."""
        lines = [event(id="1"), event(id="1", timestamp="2026-02-11T00:00:00Z")]
        path = home.write("a.jsonl", *({"record": "event"} | line for line in lines), metric(id="1", record="metric"))
        assert home.ingest(path)["accepted"] == 3
        assert home.ingest(path, source="other")["accepted"] == 3

    def test_two_equal_lines_without_an_id_stay_two(self, home: Lake) -> None:
        """What happened twice in a file happened twice; the file sent again, renamed or not, adds nothing."""
        path = home.write("a.jsonl", event(), event(), event())
        assert home.ingest(path, record="event") == {"records_read": 3, "accepted": 3}
        renamed = path.rename(path.with_name("b.jsonl"))
        assert home.ingest(renamed, record="event") == {}
        assert home.column("SELECT count(DISTINCT id) FROM events") == [3]

    def test_overlapping_files_add_only_what_is_new(self, home: Lake) -> None:
        """Of a later export that holds more copies of the same records, only the further copies are new."""
        home.ingest(home.write("a.jsonl", event(), event(), event(name="x")), record="event")
        later = home.write("b.jsonl", event(), event(name="y"), event(), event())
        assert home.ingest(later, record="event") == {"records_read": 4, "accepted": 2, "duplicates": 2}

    def test_the_same_record_in_any_layout_is_the_same_record(self, home: Lake) -> None:
        """Equality is that of the mapped columns, not of the bytes: JSON lines, a document and CSV overlap."""
        home.ingest(home.write("a.jsonl", event(name="x", input_tokens=3)), record="event")
        document = home.put("b.json", json.dumps([event(input_tokens="3.0", name="x")], indent=1))
        table = home.put("c.csv", "type,name,input_tokens,timestamp\nquestion,x,3,2026-02-10 13:00:00+01\n")
        assert home.ingest(document, table, record="event") == {"records_read": 2, "duplicates": 2}

    def test_an_empty_id_is_none(self, home: Lake) -> None:
        """An id of no characters is no id: it is derived, and two such records are two."""
        path = home.write("a.jsonl", event(id="", name="a"), event(id="", name="b"))
        assert home.ingest(path, record="event") == {"records_read": 2, "accepted": 2}

    def test_an_id_that_looks_derived_is_taken_as_it_is(self, home: Lake) -> None:
        """An id that begins with # is the source's own: equal records under it are one."""
        path = home.write("a.jsonl", event(id="#1"), event(id="#1"))
        assert home.ingest(path, record="event") == {"records_read": 2, "accepted": 1, "duplicates": 1}
        assert home.column("SELECT id FROM events") == ["#1"]


class TestLoads:
    """What is a load, and what is no new one."""

    def test_an_unchanged_file_is_not_read_again(self, home: Lake) -> None:
        """A file of the same size, time and inode holds nothing new."""
        path = home.write("a.jsonl", event())
        home.ingest(path, record="event")
        assert [report.unchanged for report in home.mill.ingest(path, record="event")] == [1]

    def test_the_same_content_under_another_name_is_the_same_load(self, home: Lake) -> None:
        """A copy makes no second load, neither beside the first nor later, nor when it is read again."""
        first, copy = (home.write(name, event(id="1")) for name in ("a.jsonl", "b.jsonl"))
        assert home.ingest(first, copy, record="event") == {"records_read": 1, "accepted": 1}
        assert home.ingest(home.write("c.jsonl", event(id="1")), record="event") == {}
        assert home.ingest(first, record="event", reread=True) == {}
        assert home.column("SELECT count(*) FROM loads") == [1]

    def test_reread_sees_a_change_that_the_file_system_hides(self, home: Lake) -> None:
        """--reread reads a file whose size, time and inode are those of its last load."""
        path = home.write("a.jsonl", event(id="1"))
        home.ingest(path, record="event")
        stat = path.stat()
        with path.open("r+") as file:
            file.write(json.dumps(event(id="2")))
        os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))
        assert home.ingest(path, record="event") == {}
        assert home.ingest(path, record="event", reread=True) == {"records_read": 1, "accepted": 1}

    @pytest.mark.parametrize("damage", ["", "{", '{"/x": {"size": 1}}'], ids=["gone", "cut", "older"])
    def test_what_is_remembered_of_files_is_a_shortcut_only(self, home: Lake, damage: str) -> None:
        """When it is lost or damaged, files are read again and nothing is stored again."""
        path = home.write("a.jsonl", event(), event())
        home.ingest(path, record="event")
        append(path, event())
        home.ingest(path, record="event")
        for file in home.mill.home.lake.glob("seen-*.json"):
            file.write_text(damage) if damage else file.unlink()
        home.ingest(path, record="event")
        assert home.column("SELECT count(*) FROM events") == [3]

    def test_the_ledger_says_what_a_load_was(self, home: Lake) -> None:
        """A load's row has its source, file, size, and the first and the last moment of what it accepted."""
        path = home.write(
            "a.jsonl", event(), event(timestamp="2026-02-12T01:02:03.000004Z"), event(timestamp="1969-01-01")
        )
        home.ingest(path, record="event")
        (load,) = home.query("FROM loads")
        assert (load["source"], load["kind"], load["format"], load["uri"]) == ("files", "ingest", "native", str(path))
        assert load["bytes"] == path.stat().st_size
        assert load["first_timestamp"] == datetime(2026, 2, 10, 12, tzinfo=UTC)
        assert load["last_timestamp"] == datetime(2026, 2, 12, 1, 2, 3, 4, tzinfo=UTC)
        assert load["started_at"] <= load["finished_at"]

    def test_one_file_that_cannot_be_used_does_not_stop_the_others(self, home: Lake) -> None:
        """The others are loaded, and the report names the one that failed."""
        good = [home.write(name, event(id=name)) for name in ("a.jsonl", "c.jsonl")]
        bad = home.put("b.csv.gz", "")
        bad.write_bytes(b"no gzip")
        (report,) = home.mill.ingest(good[0], bad, good[1], record="event")
        assert home.counts([report]) == {"records_read": 2, "accepted": 2}
        assert [str(bad) in str(failure) for failure in report.failures] == [True]
        assert [type(failure).exit_code for failure in report.failures] == [2]

    def test_a_source_that_is_not_configured_is_a_usage_error(self, home: Lake) -> None:
        """Ingesting a source by a wrong name says so, and which there are."""
        home.settings('[sources.app]\npath = "*.jsonl"\n')
        with pytest.raises(UsageError, match='no source "ap"; did you mean "app"'):
            home.mill.ingest(source="ap")

    def test_a_load_leaves_nothing_in_the_staging_folder(self, home: Lake) -> None:
        """What was staged is in the lake or gone, whether the load was new, known, refused or impossible."""
        path = home.write("a.jsonl", event(id="1"), "broken")
        age(path)
        bad = home.put("b.parquet", "no parquet")
        for name in (path, path, bad):
            home.mill.ingest(name, record="event", reread=True)
        assert list(home.mill.home.staging.iterdir()) == []


class TestGrowingFiles:
    """A file that is read while somebody writes it."""

    def test_only_the_tail_of_a_grown_file_is_read(self, home: Lake) -> None:
        """The next load begins where the last one ended, and its lines are counted from the top of the file."""
        path = home.write("a.jsonl", event(), "", event(name="x"))
        assert home.ingest(path, record="event")["records_read"] == 2
        append(path, event(name="y"), "", "broken")
        assert home.ingest(path, record="event") == {"records_read": 2, "accepted": 1, "quarantined": 1}
        assert home.refusals() == [(6, None, "not JSON")]
        append(path, event(name="z"), "broken too")
        assert home.ingest(path, record="event") == {"records_read": 2, "accepted": 1, "quarantined": 1}
        assert home.refusals() == [(6, None, "not JSON"), (8, None, "not JSON")]

    def test_identical_lines_are_counted_on_over_head_and_tail(self, home: Lake) -> None:
        """Equal lines stay as many as they are, however often the file was read while it grew."""
        path = home.write("a.jsonl", event(), event(name="x"))
        for copies in (1, 2, 3):
            home.ingest(path, record="event")
            append(path, *[event()] * copies)
        home.ingest(path, record="event")
        assert home.column("SELECT count(*) FROM events WHERE name IS NULL") == [7]
        whole = home.put("b.jsonl", path.read_bytes())
        assert home.ingest(whole, record="event") == {"records_read": 8, "duplicates": 8}

    def test_identical_lines_of_a_mixed_file_are_counted_on(self, home: Lake) -> None:
        """The same holds where each line says which record it is, and for metrics."""
        lines = [event(record="event"), metric(record="metric")]
        path = home.write("a.jsonl", *lines)
        home.ingest(path)
        append(path, *lines, *lines)
        assert home.ingest(path) == {"records_read": 4, "accepted": 4}
        assert home.column("SELECT count(DISTINCT id) FROM metrics") == [3]

    def test_identical_lines_are_counted_on_by_a_format_too(self, home: Lake) -> None:
        """The same holds for a format of the user's own."""
        form = home.put("my.sql", "-- record: event\nSELECT line, ts AS timestamp, 'x' AS type FROM raw")
        path = home.write("a.jsonl", {"ts": "2026-02-10"})
        home.ingest(path, format=str(form))
        append(path, {"ts": "2026-02-10", "not": "read"}, {"ts": "2026-02-10"})
        assert home.ingest(path, format=str(form)) == {"records_read": 2, "accepted": 2}

    def test_a_file_whose_head_changed_is_read_from_the_start(self, home: Lake) -> None:
        """A file that was written anew is a new content: what it shares with the old one is known."""
        path = home.write("a.jsonl", event(id="1"), event(id="2"))
        home.ingest(path, record="event")
        home.write("a.jsonl", event(id="0"), event(id="1"), event(id="2"), event(id="3"))
        assert home.ingest(path, record="event") == {"records_read": 4, "accepted": 2, "duplicates": 2}

    def test_a_file_that_became_shorter_is_read_from_the_start(self, home: Lake) -> None:
        """A rotated log starts again under its name."""
        path = home.write("a.jsonl", event(id="1"), event(id="2"))
        home.ingest(path, record="event")
        home.write("a.jsonl", event(id="3"))
        assert home.ingest(path, record="event") == {"records_read": 1, "accepted": 1}

    def test_a_last_line_without_its_newline_waits_while_it_does_not_parse(self, home: Lake) -> None:
        """Half a line is no record yet; when the rest has come it is one, and the file was never called empty."""
        whole = json.dumps(event(name="late"))
        path = home.write("a.jsonl", event(name="early"))
        append(path, whole[:20], newline=False)
        assert home.ingest(path, record="event") == {"records_read": 1, "accepted": 1}
        (report,) = home.mill.ingest(path, record="event")
        assert (report.loads, report.empty, report.failures) == ([], [], [])
        append(path, whole[20:], newline=False)
        assert home.ingest(path, record="event") == {"records_read": 1, "accepted": 1}
        append(path, "", event(name="next"))
        assert home.ingest(path, record="event") == {"records_read": 1, "accepted": 1}
        assert names(home) == ["early", "late", "next"]

    def test_half_a_line_is_all_there_is(self, home: Lake) -> None:
        """A file of nothing but half a line is not empty: it waits, and nothing is loaded yet."""
        path = home.put("a.jsonl", '{"timestamp": "2026-02-')
        (report,) = home.mill.ingest(path, record="event")
        assert (report.loads, report.empty) == ([], [])

    def test_half_a_line_is_quarantined_when_the_file_is_at_rest(self, home: Lake) -> None:
        """A last line that nobody completed within a minute is refused like any other."""
        path = home.write("a.jsonl", event())
        append(path, '{"timestamp": "2026', newline=False)
        age(path)
        assert home.ingest(path, record="event") == {"records_read": 2, "accepted": 1, "quarantined": 1}
        assert home.refusals() == [(2, None, "not JSON")]

    def test_a_file_with_a_waiting_line_is_looked_at_again(self, home: Lake) -> None:
        """A file is unchanged only if all of it was read: a line that waits must not be forgotten."""
        path = home.write("a.jsonl", event())
        append(path, '{"timestamp": "2026', newline=False)
        portion = files.portion(path, "native", (), None)
        assert portion is not None
        assert not files.unchanged(path, portion.seen)

    def test_a_long_line_that_waits_is_not_cut(self, home: Lake) -> None:
        """A line without its newline waits whole, however long it is."""
        whole = json.dumps(event(name="long", filler="x" * (9 << 20)))
        path = home.write("a.jsonl", event(name="short"))
        append(path, whole[:-1], newline=False)
        assert home.ingest(path, record="event") == {"records_read": 1, "accepted": 1}
        append(path, "}")
        assert home.ingest(path, record="event") == {"records_read": 1, "accepted": 1}

    def test_a_touched_file_brings_nothing_twice(self, home: Lake) -> None:
        """A grown file whose time alone changed is read again at most, and adds nothing."""
        path = home.write("a.jsonl", event(), event())
        home.ingest(path, record="event")
        append(path, event())
        home.ingest(path, record="event")
        age(path)
        home.ingest(path, record="event")
        assert home.column("SELECT count(*) FROM events") == [3]


CREATED = job(status="queued", observed_at="2026-02-10T12:00:00Z", name="build")
STARTED: Row = {"job_id": "j1", "status": "Started", "started_at": "2026-02-10T12:05:00Z", "project": "p"}
ENDED: Row = {"job_id": "j1", "status": "succeeded", "completed_at": "2026-02-10T12:30:00Z", "cost_usd": 2}


class TestJobs:
    """Observations of jobs, in whatever order they come."""

    @pytest.mark.parametrize("order", [(0, 1, 2), (2, 1, 0), (1, 0, 2)], ids=str)
    def test_the_newest_observation_wins_in_any_order(self, home: Lake, order: tuple[int, ...]) -> None:
        """A job's state is made of its observations, whatever order their files come in."""
        observations = (CREATED, STARTED, ENDED)
        for number in order:
            home.ingest(home.write(f"{number}.jsonl", observations[number]), record="job")
        home.mill.build("job_states")
        state = home.mill.show("job_states").row(0, named=True)
        assert home.refusals() == []
        assert (state["status"], state["name"], state["project"], state["cost_usd"]) == ("completed", "build", "p", 2.0)
        assert state["created_at"] == datetime(2026, 2, 10, 12, tzinfo=UTC)
        assert state["started_at"] == datetime(2026, 2, 10, 12, 5, tzinfo=UTC)
        assert state["completed_at"] == datetime(2026, 2, 10, 12, 30, tzinfo=UTC)

    def test_every_order_within_a_file_gives_the_same_observations(self, home: Lake) -> None:
        """Partial observations take created_at from a line before or after them; other orders add nothing."""
        for number, order in enumerate(permutations((CREATED, STARTED, ENDED))):
            counts = home.ingest(home.write(f"{number}.jsonl", *order), record="job")
            assert counts == {"records_read": 3, "duplicates" if number else "accepted": 3}
        assert home.column("SELECT status FROM jobs ORDER BY observed_at") == ["queued", "running", "completed"]

    def test_an_observation_of_an_unknown_job_waits(self, home: Lake) -> None:
        """It is quarantined as unknown until a source, any source, says when the job was created; then it is in."""
        assert home.ingest(home.write("a.jsonl", ENDED), record="job") == {"records_read": 1, "quarantined": 1}
        assert home.refusals() == [(1, "created_at", "unknown job")]
        home.ingest(home.write("b.jsonl", event(), job(job_id="another")), record="job")
        assert home.refusals()[0] == (1, "created_at", "unknown job")
        counts = home.ingest(home.write("c.jsonl", CREATED), record="job", source="other")
        assert counts == {"records_read": 2, "accepted": 2}
        assert home.column("SELECT reason FROM held WHERE reason = 'unknown job'") == []
        assert home.column("SELECT kind FROM loads WHERE accepted > 0 ORDER BY ALL") == ["ingest", "ingest", "retry"]
        assert home.column("SELECT source FROM jobs WHERE job_id = 'j1' ORDER BY observed_at") == ["other", "files"]
        assert home.ingest(home.write("d.jsonl", event()), record="event") == {"records_read": 1, "accepted": 1}

    def test_what_waits_twice_is_accepted_once(self, home: Lake) -> None:
        """Equal observations of an unknown job, from two files, become one."""
        home.ingest(home.write("a.jsonl", ENDED, STARTED), record="job")
        home.ingest(home.write("b.jsonl", ENDED), record="job")
        home.ingest(home.write("c.jsonl", CREATED), record="job")
        assert home.column("SELECT status FROM jobs ORDER BY observed_at") == ["queued", "running", "completed"]
        assert home.refusals() == []

    def test_an_observation_that_waits_keeps_the_timezone_of_its_load(self, home: Lake) -> None:
        """A naive time means the same whether its record was accepted at once or had to wait."""
        ended = {"job_id": "j1", "status": "failed", "completed_at": "2026-02-10 13:30:00"}
        home.ingest(home.write("a.jsonl", ended), record="job", timezone="Europe/Berlin")
        home.ingest(home.write("b.jsonl", CREATED), record="job")
        assert home.column("SELECT completed_at FROM jobs WHERE status = 'failed'") == [
            datetime(2026, 2, 10, 12, 30, tzinfo=UTC)
        ]

    def test_created_at_never_changes(self, home: Lake) -> None:
        """Another created_at for a known job is refused, within a file, later, and from another source."""
        other = job(created_at="2026-02-10T12:00:01Z")
        path = home.write("a.jsonl", job(), other)
        assert home.ingest(path, record="job") == {"records_read": 2, "accepted": 1, "quarantined": 1}
        later = home.write("b.jsonl", other | {"status": "failed"})
        assert home.ingest(later, record="job", source="other") == {"records_read": 1, "quarantined": 1}
        assert home.refusals() == [(2, "created_at", "created_at changed"), (1, "created_at", "created_at changed")]

    def test_equal_observations_are_duplicates_within_their_source(self, home: Lake) -> None:
        """The same observation is stored once a source, told in full or in part."""
        partial = {"job_id": "j1", "status": "RUNNING", "observed_at": "2026-02-10T12:00:00Z"}
        path = home.write("a.jsonl", job(), job(), partial)
        assert home.ingest(path, record="job") == {"records_read": 3, "accepted": 1, "duplicates": 2}
        assert home.ingest(path, record="job", source="other") == {"records_read": 3, "accepted": 1, "duplicates": 2}

    def test_statuses_have_synonyms_and_others_stay(self, home: Lake) -> None:
        """A word that means a status is stored as that status, in any case; any other in lower case."""
        words = {
            "Success": "completed", "finished": "completed", "ERROR": "failed", "crashed": "failed",
            "canceled": "cancelled", "aborted": "cancelled", "scheduled": "pending", "waiting": "pending",
            "in_progress": "running", "Paused": "paused", "Zombie": "zombie",
        }  # fmt: skip
        home.ingest(home.write("a.jsonl", *(job(job_id=word, status=word) for word in words)), record="job")
        assert {row["job_id"]: row["status"] for row in home.query("FROM jobs")} == words

    def test_observed_at_is_the_latest_of_what_is_known(self, home: Lake) -> None:
        """Without observed_at it is the latest of created, started, completed and deleted; scheduled does not count."""
        times = {"scheduled_at": "2026-02-12", "started_at": "2026-02-10T13:00:00Z", "deleted_at": "2026-02-11"}
        home.ingest(home.write("a.jsonl", job(**times)), record="job")
        assert home.column("SELECT observed_at FROM jobs") == [datetime(2026, 2, 11, tzinfo=UTC)]

    def test_a_job_lies_in_the_day_it_was_created(self, home: Lake) -> None:
        """Every observation of a job is in the lake's day of its created_at."""
        home.ingest(home.write("a.jsonl", CREATED, ENDED | {"completed_at": "2026-03-01"}), record="job")
        folders = {path.parent.name for path in (home.mill.home.lake / "jobs").rglob("*.parquet")}
        assert folders == {"day=2026-02-10"}


VALUES: tuple[object, ...] = ([1], "x", 5, {}, None)


class TestSettings:
    """What a source's settings say of its records."""

    def test_each_line_says_which_record_it_is(self, home: Lake) -> None:
        """A file may mix all three; a line that does not say, or says another word, is refused."""
        good = [event(record="event"), metric(record="metric"), job(record="job")]
        path = home.write("a.jsonl", *good, event(), event(record="trace"), "x")
        age(path)
        assert home.ingest(path) == {"records_read": 6, "accepted": 3, "quarantined": 3}
        assert [row[:2] for row in home.refusals()] == [(4, "record"), (5, "record"), (6, None)]

    def test_a_line_that_is_another_record_than_its_source_is_refused(self, home: Lake) -> None:
        """A source of events takes no metric."""
        path = home.write("a.jsonl", event(record="event"), metric(record="metric"))
        assert home.ingest(path, record="event") == {"records_read": 2, "accepted": 1, "quarantined": 1}
        assert home.refusals() == [(2, None, "its record is not event")]

    def test_a_csv_may_mix_records(self, home: Lake) -> None:
        """A column `record` says of each row what it is, as a field does of each line."""
        rows = ["record,timestamp,type,name,value,job_id,status,created_at"]
        rows += ["event,2026-02-10,question,a,,,,", "metric,2026-02-10,,cpu,1,,,", "job,,,,,j1,running,2026-02-10"]
        path = home.put("a.csv", "\n".join([*rows, "trace,2026-02-10,x,b,,,,", ",2026-02-10,x,c,,,,", ""]))
        assert home.ingest(path) == {"records_read": 5, "accepted": 3, "quarantined": 2}
        assert [row[:2] for row in home.refusals()] == [(5, "record"), (6, "record")]

    def test_fields_that_no_column_takes_are_attributes(self, home: Lake) -> None:
        """They are kept beside what the record's own attributes hold, as the JSON that they were."""
        path = home.write("a.jsonl", event(attributes={"a": 1}, b={"c": [2, None]}, d="x"), event(record="event"))
        home.ingest(path, record="event")
        found = [json.loads(text) for text in home.column("SELECT attributes FROM events ORDER BY length(attributes)")]
        assert found == [{}, {"a": 1, "b": {"c": [2, None]}, "d": "x"}]

    def test_attributes_must_be_an_object(self, home: Lake) -> None:
        """Any other JSON in that field is refused."""
        path = home.write("a.jsonl", *(event(attributes=value) for value in VALUES))
        assert home.ingest(path, record="event") == {"records_read": 5, "accepted": 2, "quarantined": 3}
        assert {row[1:] for row in home.refusals()} == {("attributes", "not an object")}

    def test_a_column_that_comes_late_is_a_column(self, home: Lake) -> None:
        """A field that only a late line of a long file has is no attribute but the column that it is."""
        path = home.write("a.jsonl", *[event(id=str(n)) for n in range(11_000)], event(model="m", extra=1, id="last"))
        home.ingest(path, record="event")
        assert home.query("SELECT model, attributes FROM events WHERE id = 'last'") == [
            {"model": "m", "attributes": '{"extra":1}'}
        ]

    def test_an_id_prefix_keeps_sources_apart(self, home: Lake) -> None:
        """It is put before every id that means the same in all sources, not before the event's own, nor before none."""
        home.settings('[sources.app]\npath = "a.jsonl"\nrecord = "event"\nid_prefix = "app-"\n')
        line = event(id="1", session_id="s", user_id="u", job_id="j", name="n", agent_id=None)
        (home.mill.home.path / "a.jsonl").write_text(json.dumps(line))
        home.ingest("app")
        assert home.query("SELECT id, session_id, user_id, job_id, name, agent_id FROM events") == [
            {"id": "1", "session_id": "app-s", "user_id": "app-u", "job_id": "app-j", "name": "n", "agent_id": None}
        ]

    def test_naive_times_are_read_in_the_timezone_of_the_source(self, home: Lake) -> None:
        """An offset is honoured; a local time that does not exist moves on by the gap, one of two is the later."""
        times = {
            "2026-02-10 12:00": "11:00", "2026-02-10T12:00:00.5": "11:00", "2026-02-10T12:00:00Z": "12:00",
            "2026-02-10T12:00:00+05:30": "06:30", BERLIN_GAP: "01:30", BERLIN_TWICE: "01:30",
            "2026-07-01 12:00": "10:00",
        }  # fmt: skip
        path = home.write("a.jsonl", *(event(timestamp=time, name=time) for time in times))
        home.ingest(path, record="event", timezone="Europe/Berlin")
        assert {row["name"]: f"{row['timestamp']:%H:%M}" for row in home.query("FROM events")} == times

    def test_a_fixed_timestamp_is_for_records_that_have_none(self, home: Lake) -> None:
        """It stands in where the field is missing or null, and nowhere else."""
        source = 'path = "*.jsonl"\nrecord = "event"\ntimestamp = "2026-01-01 01:00"\ntimezone = "Europe/Berlin"\n'
        home.settings(f"[sources.app]\n{source}")
        lines = [{"type": "a"}, {"type": "b", "timestamp": None}, event(type="c"), event(type="d", timestamp="x")]
        (home.mill.home.path / "a.jsonl").write_text("\n".join(map(json.dumps, lines)))
        assert home.ingest() == {"records_read": 4, "accepted": 3, "quarantined": 1}
        fixed, given = datetime(2026, 1, 1, tzinfo=UTC), datetime(2026, 2, 10, 12, tzinfo=UTC)
        assert home.column("SELECT timestamp FROM events ORDER BY type") == [fixed, fixed, given]


INGEST = """
import sys
from tidemill import Tidemill
mill = Tidemill(sys.argv[1])
sys.stdin.readline()
for path in sys.argv[2:]:
    for report in mill.ingest(path, record="event"):
        assert not report.failures, report.failures
"""
CRASH = """
import os, signal, sys
from tidemill import Tidemill
from tidemill.lake import delta
append, left = delta.append, int(sys.argv[3])
def killed(*arguments):
    global left
    if left == 0:
        {crash}
    left -= 1
    append(*arguments)
delta.append = killed
Tidemill(sys.argv[1]).ingest(sys.argv[2])
"""
KILL, INTERRUPT = "os.kill(os.getpid(), signal.SIGKILL)", "raise KeyboardInterrupt"


class TestTogether:
    """Processes side by side, and processes that die."""

    def race(self, home: Lake, *shares: list[Path]) -> None:
        """Ingest files in a process each, all at once; none may fail."""
        started = [
            subprocess.Popen([sys.executable, "-c", INGEST, home.mill.home.path, *share], stdin=subprocess.PIPE)
            for share in shares
        ]
        for process in started:
            assert process.stdin
            process.stdin.close()
        assert [process.wait(120) for process in started] == [0] * len(started)
        home.assert_adds_up()

    def test_two_processes_may_ingest_the_same_files(self, home: Lake) -> None:
        """Each record is stored once and each load stands once in the ledger, whoever comes first."""
        paths = [home.write(f"{n}.jsonl", event(), event(), event(id=str(n))) for n in range(4)]
        self.race(home, paths, paths[::-1])
        assert home.query("SELECT count(*) AS n, sum(accepted) AS accepted FROM loads") == [{"n": 4, "accepted": 6}]
        assert home.column("SELECT count(*) FROM events") == [6]

    def test_two_processes_may_ingest_files_that_share_ids(self, home: Lake) -> None:
        """What two files share is accepted from one and a duplicate in the other; conflicts are refused once."""
        one = [home.write(f"a{n}.jsonl", event(id="s"), event(id=f"a{n}"), event(id="c", name="a")) for n in range(3)]
        two = [home.write(f"b{n}.jsonl", event(id="s"), event(id=f"b{n}"), event(id="c", name="b")) for n in range(3)]
        self.race(home, one, two)
        assert home.column("SELECT count(*) FROM events") == [8]
        assert home.query("SELECT sum(duplicates) AS d, sum(quarantined) AS q FROM loads") == [{"d": 7, "q": 3}]

    def crash(self, home: Lake, path: Path, after: int, how: str) -> None:
        """Ingest in a process that dies after some of the lake's tables are written."""
        script = CRASH.format(crash=how)
        ended = subprocess.run(
            [sys.executable, "-c", script, home.mill.home.path, path, str(after)], check=False, capture_output=True
        )
        assert ended.returncode != 0

    @pytest.mark.parametrize(
        ("how", "after"),
        [(KILL, 0), (INTERRUPT, 1), (KILL, 3), (KILL, 5), (INTERRUPT, 5)],
        ids=["killed first", "interrupted early", "killed midway", "killed last", "interrupted last"],
    )
    def test_the_next_ingest_finishes_what_a_dead_one_began(self, home: Lake, after: int, how: str) -> None:
        """Wherever a commit breaks off, nothing is visible of half of it, and then all of it, once."""
        path = home.write("a.jsonl", event(record="event"), metric(record="metric"), job(record="job"), "broken")
        age(path)
        self.crash(home, path, after, how)
        assert list(home.mill.home.lake.glob("journal-*.json"))
        assert home.ingest(path) == {}
        for table in ("jobs", "events", "metrics", "quarantine", "loads"):
            assert home.column(f"SELECT count(*) FROM {table}") == [1]
        assert list(home.mill.home.lake.glob("journal-*")) == []

    def test_a_large_load_survives_an_interrupt(self, home: Lake) -> None:
        """Of a load that is staged as it will lie in the lake, an interrupted commit loses nothing either."""
        path = large(home, (json.dumps(event(record="event", id=str(n), text=FILLER)) for n in range(300)))
        self.crash(home, path, 1, INTERRUPT)
        home.ingest(path)
        assert home.column("SELECT count(*) FROM events") == [300]
        assert home.column("SELECT accepted FROM loads") == [300]


FILLER = "x" * 60_000


def large(home: Lake, lines: Iterable[str]) -> Path:
    """A compressed file that is large for one, since it is not compressed at all."""
    path = home.put("a.jsonl", "").with_suffix(".jsonl.gz")
    path.write_bytes(gzip.compress("\n".join(lines).encode(), compresslevel=0))
    return path


class TestLarge:
    """Files that are staged and settled day by day, where a shortcut is taken for what seems to be all good."""

    @pytest.mark.parametrize("packed", [False, True], ids=["plain", "gz"])
    def test_a_large_file_is_loaded_like_a_small_one(self, home: Lake, *, packed: bool) -> None:
        """Duplicates, conflicts, refusals, other days and late columns are found wherever they stand in it."""
        count = 300 if packed else 2_300
        lines = [json.dumps(event(id=str(n), text=FILLER)) for n in range(count)]
        odd = [
            event(id="1", text=FILLER), event(id="2", text="another"), event(id="d", timestamp="2026-02-11"), event(),
            event(id="m", model="late"), event(id="x", timestamp="never"), "broken", event(), event(id="m", name="!"),
        ]  # fmt: skip
        lines[count // 2 : count // 2] = [one if isinstance(one, str) else json.dumps(one) for one in odd]
        if packed:
            path = large(home, [*lines[:-1], lines[-1].replace("02-10", "02-12")])
        else:
            path = home.write("a.jsonl", *lines)
            assert path.stat().st_size > LARGE_BYTES
        counts = home.ingest(path, record="event")
        assert counts == {"records_read": count + 9, "accepted": count + 4, "duplicates": 1, "quarantined": 4}
        found = [
            (2, "id", "conflict"),
            (6, "timestamp", "not a timestamp"),
            (7, None, "not JSON"),
            (9, "id", "conflict"),
        ]
        assert home.refusals() == [(count // 2 + place, field, reason) for place, field, reason in found]
        assert home.query("SELECT id, attributes FROM events WHERE model = 'late'") == [{"id": "m", "attributes": "{}"}]
        again = home.put("b.jsonl", "\n".join([lines[0], *map(json.dumps, (event(), event(), event()))]))
        assert home.ingest(again, record="event") == {"records_read": 4, "accepted": 1, "duplicates": 3}

    @pytest.mark.parametrize("ordered", [True, False], ids=["in order", "out of order"])
    def test_a_large_file_of_many_days_is_loaded_by_day(self, home: Lake, *, ordered: bool) -> None:
        """Where a day begins is looked for; a record that stands elsewhere finds its day all the same."""
        days = [f"2026-02-{10 + n // 1_000}" for n in range(3_000)]
        if not ordered:
            days[5], days[1_500], days[2_999] = "2026-02-12", "2026-03-01", "2026-02-10"
        lines = [json.dumps(event(id=str(n), timestamp=f"{day}T10:00:00Z", text=FILLER)) for n, day in enumerate(days)]
        lines[2_000] = lines[2_000].replace("T10:00:00Z", "T99")
        path = home.put("a.jsonl", "\n".join(lines) + "\n")
        assert (len(splitting.find(path)) == 3) is ordered
        assert home.ingest(path, record="event") == {"records_read": 3_000, "accepted": 2_999, "quarantined": 1}
        assert home.refusals() == [(2_001, "timestamp", "not a timestamp")]
        found = home.query("SELECT timestamp::DATE::VARCHAR AS day, count(*) AS events FROM events GROUP BY ALL")
        expected = Counter(days[:2_000] + days[2_001:])
        assert {row["day"]: row["events"] for row in found} == expected

    def test_a_refused_record_and_a_broken_line_in_other_parts(
        self, home: Lake, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """A file whose first part has the one and whose second the other is not copied line by line.

        Their lines are counted on from part to part, also over empty ones.
        """
        days = ["2026-02-10"] * 600 + ["2026-02-11"] * 1_700
        lines = [json.dumps(event(id=str(n), timestamp=f"{day}T10:00:00Z", text=FILLER)) for n, day in enumerate(days)]
        lines[0] = json.dumps(event(id="0", timestamp="2026-02-10T10:00:00Z", duration_ms="soon"))
        lines[2_200] = lines[2_250] = "broken"
        lines[1:1] = ["", " \t"]
        path = home.put("a.jsonl", "\n".join(lines) + "\n")
        assert len(splitting.find(path)) == 2
        monkeypatch.setattr(stage, "spool", None)
        assert home.ingest(path, record="event") == {"records_read": 2_300, "accepted": 2_297, "quarantined": 3}
        broken = [(line, None, "not JSON") for line in (2_203, 2_253)]
        assert home.refusals() == [(1, "duration_ms", "not a number"), *broken]

    def test_a_file_of_several_kinds_keeps_what_is_refused_of_it(self, home: Lake) -> None:
        """Its lines seem to be events, and are begun again as what each of them says, with nothing of it forgotten."""
        days = ["2026-02-10"] * 600 + ["2026-02-11"] * 1_700
        lines = [
            json.dumps(event(record="event", id=str(n), timestamp=f"{day}T10:00:00Z", text=FILLER))
            for n, day in enumerate(days)
        ]
        lines[100] = json.dumps(event(record="event", id="soon", timestamp="2026-02-10T10:00:00Z", duration_ms="soon"))
        lines[2_200] = json.dumps(metric(record="metric", id="m", timestamp="2026-02-11T10:00:00Z"))
        lines[2_250] = "broken"
        path = home.put("a.jsonl", "\n".join(lines) + "\n")
        assert len(splitting.find(path)) == 2
        assert home.ingest(path) == {"records_read": 2_300, "accepted": 2_298, "quarantined": 2}
        assert home.refusals() == [(101, "duration_ms", "not a number"), (2_251, None, "not JSON")]


def test_a_column_without_a_value_is_left_out_of_the_file(home: Lake) -> None:
    """Files that lack other columns are read together, by the engine and by whoever knows Delta."""
    home.ingest(home.write("a.jsonl", event(id="a", user_id="u")), record="event")
    home.ingest(home.write("b.jsonl", event(id="b", duration_ms=1.5, text="why?")), record="event")
    home.ingest(home.put("c.csv", "id,timestamp,type,model\nc,2026-02-10T12:00:00Z,question,m\n"), record="event")
    columns = [pq.read_schema(path).names for path in home.mill.home.lake.glob("events/*/*.parquet")]
    always = {"id", "timestamp", "type", "name", "success", "ttft_ms", "total_tokens", *dict(PROVENANCE)}
    assert {frozenset({*names} - always) for names in columns} == {
        frozenset({"user_id"}),
        frozenset({"duration_ms", "text"}),
        frozenset({"model"}),
    }
    expected = [("a", "u", None, None, None), ("b", None, 1.5, "why?", None), ("c", None, None, None, "m")]
    query = "SELECT id, user_id, duration_ms, text, model FROM {} ORDER BY id"
    assert [tuple(row.values()) for row in home.query(query.format("events"))] == expected
    home.mill.build("activity_daily")
    assert home.mill.sql(query.format("lake.events")).fetchall() == expected
    frame = pl.scan_delta(str(home.mill.home.lake / "events")).sort("id").collect()
    assert frame.select("id", "user_id", "duration_ms", "text", "model").rows() == expected
    assert set(frame.columns) == {*EVENT.stored, "day"}


def test_a_lake_of_an_older_version_is_written_on(home: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its log told of fewer columns; it tells of all from the next load on, so that files may leave some out."""
    with monkeypatch.context() as older:
        older.setattr(lake_schema, "statistics_of", lambda _table: "load_id")
        older.setattr("tidemill.ingest.staging.write._absent", lambda *_: frozenset())
        home.ingest(home.write("a.jsonl", event(id="a", user_id="u")), record="event")
    home.ingest(home.write("b.jsonl", event(id="b", duration_ms=1.5)), record="event")
    found = home.query("SELECT id, user_id, duration_ms FROM events ORDER BY id")
    assert [tuple(row.values()) for row in found] == [("a", "u", None), ("b", None, 1.5)]
