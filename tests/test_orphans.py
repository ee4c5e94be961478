from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Final

import pytest

from tests.homes import AS_OF, built, event, feed, few_tables, home, published, rows, write_settings
from tidemill.home import staging_dir
from tidemill.lake import commits
from tidemill.maintenance import vacuum
from tidemill.snapshots.publish import KEEP_SECONDS

__all__ = ["few_tables"]

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill import Tidemill

FEW: Final = ("metric_hourly", "activity_daily")

PAUSING: Final = """
import sys
from tidemill import Tidemill
from tidemill.ingest.staging import stage as staging
stage = staging.stage
def pausing(*arguments, **options):
    stage(*arguments, **options)
    print("staged", flush=True)
    sys.stdin.readline()
staging.stage = pausing
mill = Tidemill(sys.argv[1])
mill.ingest(mill.home.path / "more.jsonl")
"""
"""An ingest that waits, between staging and taking the lake's lock, until it is told to go on."""


def ingesting(mill: Tidemill) -> subprocess.Popen[str]:
    """An ingest of one event in a process of its own that has staged it, and waits."""
    (mill.home.path / "more.jsonl").write_text(json.dumps(event("more", "2026-02-10T11:00:00Z")) + "\n")
    command = [sys.executable, "-c", PAUSING, str(mill.home.path)]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    assert process.stdout
    assert process.stdout.readline() == "staged\n"
    return process


def age(*paths: Path, seconds: float = 2 * staging_dir.ORPHAN_SECONDS) -> None:
    """Let files, or folders with all that is in them, look that much older."""
    for path in paths:
        for inside in (path, *path.rglob("*")):
            stat = inside.stat()
            os.utime(inside, (stat.st_atime - seconds, stat.st_mtime - seconds))


def everything(mill: Tidemill) -> None:
    """Everything that a schedule runs."""
    feed(mill, event(str(time.time_ns()), "2026-02-10T12:00:00Z"))
    built(mill, *FEW, as_of=AS_OF)
    mill.compact()
    mill.retry()


@pytest.fixture
def mill(tmp_path: Path) -> Tidemill:
    """A home that is built."""
    made = home(tmp_path, event("a", "2026-02-10T10:00:00Z"))
    built(made, *FEW, as_of=AS_OF)
    return made


def test_what_a_killed_ingest_staged_goes_with_the_next_command(mill: Tidemill) -> None:
    """Its room is there again for the run that does its work: the kernel knows that it is dead."""
    process = ingesting(mill)
    assert list(mill.home.staging.glob("run-*/*/events/**/*.parquet")) != []
    process.send_signal(signal.SIGKILL)
    process.communicate()
    commits.current(mill.home)
    assert list(mill.home.staging.iterdir()) == []
    assert mill.ingest(mill.home.path / "more.jsonl")[0].total("accepted") == 1


def test_what_a_running_ingest_staged_is_never_touched(mill: Tidemill) -> None:
    """However old it looks, and whatever else is run beside it; it then ends well."""
    process = ingesting(mill)
    (folder,) = mill.home.staging.iterdir()
    age(folder)
    before = sorted(folder.rglob("*"))
    everything(mill)
    assert sorted(folder.rglob("*")) == before
    process.communicate("go on\n")
    assert process.returncode == 0
    assert list(mill.home.staging.iterdir()) == []
    built(mill, *FEW, as_of=AS_OF)
    assert rows(mill, "SELECT count(*) FROM lake.events WHERE id = 'more'") == [(1,)]


def test_a_folder_is_swept_only_when_nobody_holds_it(mill: Tidemill) -> None:
    """This process holds its own for as long as something is being done."""
    with staging_dir.held(mill.home):
        folder = staging_dir.of(mill.home)
        assert staging_dir.of(mill.home) == folder
        (folder / "spilled").write_text("much")
        age(folder)
        commits.current(mill.home)
        assert (folder / "spilled").exists()
        (folder / "spilled").unlink()
    assert not folder.exists()
    assert staging_dir.of(mill.home) != folder


def test_what_nobody_can_tell_of_goes_after_a_day(mill: Tidemill) -> None:
    """What an older version staged, a spilled file, half a file: not before."""
    places = mill.home.lake, mill.home.staging
    there = [places[0] / f"seen-{'0' * 32}.1.tmp", places[0] / "pruned.tmp", places[1] / "duckdb_temp_storage-0.tmp"]
    for file in there:
        file.write_text("half")
    there.append(places[1] / ("0" * 32))
    (there[-1] / "events").mkdir(parents=True)
    (there[-1] / "events" / "part.parquet").write_text("half")
    age(*there, seconds=staging_dir.ORPHAN_SECONDS - 60)
    everything(mill)
    assert [path for path in there if not path.exists()] == []
    age(*there, seconds=61)
    commits.current(mill.home)
    assert [path for path in there if path.exists()] == []


def test_a_file_that_no_commit_names_goes_by_itself(mill: Tidemill) -> None:
    """With the builds that a schedule runs, though nobody compacts: an hour after it was first seen."""
    stray = next(mill.home.lake.glob("events/day=*/*.parquet")).with_name(f"{'0' * 40}.parquet")
    stray.write_bytes(b"of a commit that never was")
    left = mill.home.lake / vacuum.LEFT
    age(left, seconds=vacuum.GRACE_SECONDS + 1)
    built(mill, *FEW, as_of=AS_OF)
    assert stray.exists()
    seen = {path: since - vacuum.GRACE_SECONDS for path, since in json.loads(left.read_text()).items()}
    assert [*seen] == [str(stray.relative_to(mill.home.lake))]
    left.write_text(json.dumps(seen))
    built(mill, *FEW, as_of=AS_OF)
    assert stray.exists(), "it is looked for once an hour"
    age(left, seconds=vacuum.GRACE_SECONDS + 1)
    built(mill, *FEW, as_of=AS_OF)
    assert not stray.exists()
    assert rows(mill, "SELECT count(*) FROM lake.events") == [(1,)]


def test_a_lake_that_was_killed_at_its_birth_is_made(tmp_path: Path) -> None:
    """An empty folder is no log: Delta makes the folder before the first commit."""
    mill = home(tmp_path)
    (mill.home.lake / "events" / "_delta_log").mkdir(parents=True)
    feed(mill, event("a", "2026-02-10T10:00:00Z"))
    built(mill, *FEW, as_of=AS_OF)
    assert rows(mill, "SELECT count(*) FROM lake.events") == [(1,)]


def test_an_unfinished_snapshot_goes_and_a_damaged_one_stays(mill: Tidemill) -> None:
    """Without a manifest both, but only one of them is newer than the newest; the other goes when it is a day old."""
    older = mill.snapshot()
    feed(mill, event("b", "2026-02-10T12:00:00Z"))
    built(mill, *FEW, as_of=AS_OF)
    (older / "manifest.json").unlink()
    unfinished = shutil.copytree(older, older.with_name("99991231T000000000000-00000000"))
    built(mill, *FEW, as_of=AS_OF)
    assert (older.exists(), unfinished.exists()) == (True, False)
    age(older)
    built(mill, *FEW, as_of=AS_OF)
    assert not older.exists()


def test_the_newest_snapshot_stays_though_the_clock_went_back(mill: Tidemill) -> None:
    """Its name is older than that of the one before; what readers are shown is never removed."""
    write_settings(mill, "[snapshots]\nkeep = 1")
    tables = published(mill)
    ahead = mill.snapshot().rename(mill.snapshot().with_name("99991231T000000000000-00000000"))
    (mill.home.tables / "current").unlink()
    (mill.home.tables / "current").symlink_to(ahead.relative_to(mill.home.tables))
    feed(mill, event("b", "2026-02-10T12:00:00Z"))
    age(ahead, seconds=KEEP_SECONDS + 1)
    built(mill, "activity_daily", as_of=AS_OF)
    assert mill.snapshot().name < ahead.name
    assert published(mill).keys() == tables.keys()
