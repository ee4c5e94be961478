from __future__ import annotations

import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

import duckdb
import polars as pl
import pytest
from deltalake import DeltaTable

from tests.homes import AS_OF, built, event, feed, few_tables, home, job, metric, published, tm
from tidemill import Tidemill
from tidemill.errors import DamagedError
from tidemill.lake import delta
from tidemill.lake import schema as lake_schema
from tidemill.maintenance import compact, merging

__all__ = ["few_tables"]

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tidemill.maintenance.compact import Compacted

FEW: Final = ("activity_daily", "job_states", "metric_hourly", "session_activity_daily")
DAYS: Final = ("2026-02-10", "2026-02-11")


def in_many_files(folder: Path, times: int = 3) -> Tidemill:
    """A home whose two days lie in some files each, with columns that not all of them have."""
    mill = home(folder)
    for number in range(times):
        for day in DAYS:
            at = f"{day}T10:0{number}:00Z"
            more = {"text": "why?"} if number else {"duration_ms": 2.5}
            key = f"{day} {number}"
            feed(mill, event(key, at, session_id="s", **more), job(key, at), metric(key, at))
    return mill


def made(found: Sequence[Compacted]) -> dict[str, tuple[int, int]]:
    """Files before and after, of each table."""
    return {one.table: (one.files, one.files_after) for one in found}


def files(mill: Tidemill) -> dict[str, set[str]]:
    """The files of each table as its log has them."""
    return {name: set(DeltaTable(mill.home.lake / name).file_uris()) for name in lake_schema.TABLES}


def test_small_files_of_a_day_become_one(tmp_path: Path) -> None:
    """In every table, the ledger's too; a second time there is nothing to do."""
    mill = in_many_files(tmp_path)
    feed(mill, event("alone", "2026-02-12T10:00:00Z"))
    before = made(mill.compact())
    assert before["events"] == (7, 3)
    assert before["jobs"] == (6, 2)
    assert before["loads"] == (7, 1)
    assert made(mill.compact()) == {name: (after, after) for name, (_, after) in before.items()}


def test_compacting_changes_no_figure_and_makes_nothing_stale(tmp_path: Path) -> None:
    """Every record is there with its load, nothing is built, and a full build gives the same tables."""
    mill = in_many_files(tmp_path)
    built(mill, as_of=AS_OF)
    before, records = published(mill), pl.scan_delta(str(mill.home.lake / "events")).collect().sort("id")
    mill.compact()
    assert pl.scan_delta(str(mill.home.lake / "events")).collect().sort("id").equals(records)
    assert built(mill, as_of=AS_OF) == {}
    built(mill, as_of=AS_OF, full=True)
    assert published(mill) == before
    assert mill.ingest(*sorted((mill.home.path / "raw").iterdir()))[0].unchanged == 6


def test_records_of_a_compacted_file_stand_in_the_order_of_time(tmp_path: Path) -> None:
    """And the columns that none of its files had are left out."""
    mill = home(tmp_path)
    for number in (3, 1, 2):
        feed(mill, event(str(number), f"2026-02-10T1{number}:00:00Z"))
    mill.compact()
    (path,) = files(mill)["events"]
    assert pl.read_parquet(path)["id"].to_list() == ["1", "2", "3"]
    assert "duration_ms" not in pl.read_parquet_schema(path)


def test_a_dry_run_does_nothing(tmp_path: Path) -> None:
    """It says how many files there would be."""
    mill = in_many_files(tmp_path)
    before = files(mill)
    dry = made(mill.compact(dry_run=True))
    assert files(mill) == before
    assert dry == made(mill.compact())


def test_old_files_stay_for_kept_snapshots(tmp_path: Path) -> None:
    """A reader of a snapshot reads on after its files were replaced; when it is gone, they are removed."""
    mill = in_many_files(tmp_path)
    mill.home.settings_file.write_text("threads = 1\n[snapshots]\nkeep = 1\n")
    built(mill, as_of=AS_OF)
    first = mill.snapshot()
    compact.compact(mill.home, mill.settings, grace=0)
    with duckdb.connect(str(first / "catalog.duckdb"), read_only=True) as reader:
        assert reader.sql("SELECT count(*) FROM lake.events").fetchall() == [(6,)]
    built(mill, as_of=AS_OF)
    assert mill.sql("SELECT count(*) FROM lake.events").fetchall() == [(6,)]
    for path in sorted(first.rglob("*"), reverse=True):
        path.rmdir() if path.is_dir() else path.unlink()
    first.rmdir()
    removed = {one.table: one.removed for one in compact.compact(mill.home, mill.settings, grace=0)}
    assert removed["events"] == 6
    assert len([*mill.home.lake.glob("events/day=*/*.parquet")]) == 2
    assert mill.sql("SELECT count(*) FROM lake.events").fetchall() == [(6,)]


@pytest.mark.parametrize("called", ["o'brien", "a link"])
def test_old_files_stay_whatever_the_home_is_called(tmp_path: Path, called: str) -> None:
    """A quote in its name, or another path to it than the one that the snapshot was published by."""
    mill = home(tmp_path, name="o'brien")
    for number in range(2):
        feed(mill, event(str(number), "2026-02-10T10:00:00Z"))
    built(mill, "activity_daily")
    (tmp_path / "a link").symlink_to(mill.home.path)
    other = Tidemill(tmp_path / called)
    assert sum(one.removed for one in compact.compact(other.home, other.settings, grace=0)) == 0
    assert sum(one.removed for one in compact.compact(other.home, other.settings, grace=0)) == 0
    assert mill.sql("SELECT count(*) FROM lake.events").fetchall() == [(2,)]


def test_a_file_that_left_long_ago_goes_as_well(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Delta's log forgets after a week which files left; a file that was never committed it does not know at all."""
    mill = in_many_files(tmp_path)
    built(mill, "activity_daily")
    first = mill.snapshot()
    weeks_ago = time.time_ns() - 14 * 86_400 * 10**9
    with monkeypatch.context() as patch:
        patch.setattr("tidemill.lake.delta.time.time_ns", lambda: weeks_ago)
        mill.compact()
    compact.compact(mill.home, mill.settings, grace=0)
    stray = next(mill.home.lake.glob("events/day=*/*.parquet")).with_name("stray.parquet")
    stray.write_bytes(b"of a commit that never was")
    built(mill, "activity_daily")
    first.rename(tmp_path / "gone")
    removed = {one.table: one.removed for one in compact.compact(mill.home, mill.settings, grace=0)}
    assert removed["events"] == 7
    assert len([*mill.home.lake.glob("events/day=*/*.parquet")]) == 2


def test_old_files_stay_for_an_hour(tmp_path: Path) -> None:
    """For a build or a reader that has just begun."""
    mill = in_many_files(tmp_path)
    assert sum(one.removed for one in mill.compact()) == 0
    assert sum(one.removed for one in mill.compact()) == 0
    assert len([*mill.home.lake.glob("events/day=*/*.parquet")]) == 8


def test_what_is_ingested_in_the_meantime_is_not_lost(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A load that is committed between the reading and the commit of a compaction stays beside the new file."""
    mill = in_many_files(tmp_path)
    merge = merging.merge

    def late(*arguments: object) -> object:
        monkeypatch.undo()
        feed(mill, event("late", "2026-02-10T23:00:00Z"))
        return merge(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(merging, "merge", late)
    mill.compact()
    built(mill, "activity_daily")
    assert mill.sql("SELECT count(*) FROM lake.events").fetchall() == [(7,)]
    assert mill.show("activity_daily")["events"].to_list() == [4, 3]


def test_two_compactions_at_once_count_nothing_twice(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The one that comes second finds that its files are gone, and leaves those days alone."""
    mill = in_many_files(tmp_path)
    merge = merging.merge

    def other(*arguments: object) -> object:
        monkeypatch.undo()
        mill.compact()
        return merge(*arguments)  # type: ignore[arg-type]

    monkeypatch.setattr(merging, "merge", other)
    mill.compact()
    built(mill, "activity_daily")
    assert mill.sql("SELECT count(*) FROM lake.events").fetchall() == [(6,)]


KILLED: Final = """
import os, signal, sys
from tidemill import Tidemill
steps = int(sys.argv[2])
def count(event, arguments):
    global steps
    if event in {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "shutil.rmtree"} or (
        event == "open" and "w" in str(arguments[1])):
        steps -= 1
        if steps == 0:
            os.kill(os.getpid(), signal.SIGKILL)
mill = Tidemill(sys.argv[1])
sys.addaudithook(count)
mill.compact()
"""
"""A compaction that is killed before its n-th change of the file system."""


@pytest.mark.parametrize(
    "step", [1, 8, 17, *(pytest.param(step, marks=pytest.mark.slow) for step in (2, 3, 5, 11, 14, 20))]
)
def test_a_compaction_that_is_killed_loses_nothing(tmp_path: Path, step: int) -> None:
    """Whatever it was about to do; the next one finishes it."""
    mill = in_many_files(tmp_path, times=2)
    built(mill, as_of=AS_OF)
    before = published(mill)
    subprocess.run([sys.executable, "-c", KILLED, str(mill.home.path), str(step)], check=False)
    assert built(mill, as_of=AS_OF) == {}
    mill.compact()
    assert {name: len(paths) for name, paths in files(mill).items() if name in {"events", "jobs", "loads"}} == {
        "events": 2,
        "jobs": 2,
        "loads": 1,
    }
    built(mill, as_of=AS_OF, full=True)
    assert published(mill) == before
    assert list(mill.home.lake.glob("journal-*")) == []  # not even one that was not whole


def test_a_compaction_that_is_interrupted_leaves_what_its_journal_names(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its commit is finished by whoever takes the lock next."""

    def interrupted(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    mill = in_many_files(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(delta, "append", interrupted)
        with pytest.raises(KeyboardInterrupt):
            mill.compact()
    feed(mill, event("after", "2026-02-12T10:00:00Z"))
    mill.compact()
    built(mill, "activity_daily")
    assert mill.sql("SELECT count(*) FROM lake.events").fetchall() == [(7,)]


def test_the_command_says_what_it_did(tmp_path: Path) -> None:
    """A row for each table of the lake."""
    mill = in_many_files(tmp_path, times=2)
    said = tm("compact", "--format", "csv", at=mill)
    assert said.code == 0
    header, *lines = said.out.splitlines()
    assert header == "table,days,files,files_after,bytes,bytes_after,removed"
    events = next(line for line in lines if line.startswith("events,"))
    assert events.startswith("events,2,4,2,")


def test_a_home_without_a_lake_has_nothing_to_compact(tmp_path: Path) -> None:
    """And none is made."""
    mill = Tidemill(tmp_path / "nowhere")
    assert set(made(mill.compact()).values()) == {(0, 0)}
    assert not mill.home.path.exists()


def test_a_table_with_a_summed_up_log_is_read_and_written_on(tmp_path: Path) -> None:
    """After a checkpoint a load is still known, and a new one still comes."""
    mill = in_many_files(tmp_path, times=1)
    mill.compact()
    assert list(mill.home.lake.glob("events/_delta_log/*.checkpoint.parquet")) != []
    (path,) = [path for path in (mill.home.path / "raw").iterdir() if "2026-02-10" in path.read_text()]
    assert mill.ingest(path, reread=True)[0].unchanged == 1
    feed(mill, event("new", "2026-02-10T12:00:00Z"))
    built(mill, "activity_daily")
    assert mill.sql("SELECT count(*) FROM lake.events").fetchall() == [(3,)]


def test_nothing_is_removed_while_somebody_builds(tmp_path: Path) -> None:
    """Who may publish a snapshot that names what left the lake since the build began; compacting goes on."""
    mill = in_many_files(tmp_path)
    with mill.home.lock("tables"):
        found = {one.table: one for one in compact.compact(mill.home, mill.settings, grace=0)}
    assert (found["events"].files_after, found["events"].removed) == (2, 0)
    assert sum(one.removed for one in compact.compact(mill.home, mill.settings, grace=0)) > 0


def test_files_that_lost_rows_are_left_alone(tmp_path: Path) -> None:
    """A file that is not the one that was written is named; nothing is replaced."""
    mill = in_many_files(tmp_path)
    path = min(mill.home.lake.glob("events/day=*/*.parquet"))
    pl.read_parquet(path).clear().write_parquet(path)
    with pytest.raises(DamagedError, match=f"{path} has .* bytes instead of"):
        mill.compact()
    assert len(files(mill)["events"]) == 6
