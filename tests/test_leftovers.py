from __future__ import annotations

import os
import shutil
import time
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.homes import AS_OF, built, event, feed, few_tables, home, job, published
from tidemill.errors import DamagedError
from tidemill.ingest import quarantine
from tidemill.lake import commits, delta
from tidemill.maintenance import vacuum
from tidemill.maintenance.compact import compact
from tidemill.snapshots import publish

__all__ = ["few_tables"]

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill import Tidemill

FEW: Final = ("activity_daily",)
AT: Final = "2026-02-10T10:00:00Z"
DAY: Final = 86_400.0


class DiedError(BaseException):
    """Nothing that is meant for errors catches it."""


def interrupted(*_arguments: Any, **_options: Any) -> None:
    """What stands in the place of a step before which the process dies."""
    raise DiedError


def test_a_table_of_the_lake_that_was_being_made_is_made(tmp_path: Path) -> None:
    """Who dies between making its log and naming the first entry leaves a table that cannot be opened."""
    mill = home(tmp_path)
    log = mill.home.lake / "jobs" / "_delta_log"
    log.mkdir(parents=True)
    (log / "00000000000000000000.json#1").write_text("{")
    feed(mill, job("j", AT))
    built(mill, "activity_daily")
    assert mill.sql("SELECT count(*) FROM lake.jobs").fetchall() == [(1,)]
    assert [path.name for path in log.iterdir() if "#" in path.name] == []


def test_a_table_that_lost_its_log_is_not_made_anew(tmp_path: Path) -> None:
    """Its records would be gone without a word."""
    mill = home(tmp_path, job("j", AT))
    for entry in (mill.home.lake / "jobs" / "_delta_log").iterdir():
        entry.unlink()
    with pytest.raises(DamagedError, match=r"lake/jobs/_delta_log/0+\.json is missing"):
        mill.build()


def test_entries_of_a_log_that_never_got_their_name_are_removed(tmp_path: Path) -> None:
    """By whoever takes the lake's lock next."""
    mill = home(tmp_path, event("a", AT))
    stray = mill.home.lake / "events" / "_delta_log" / "00000000000000000002.json#1"
    stray.write_text("{")
    feed(mill, event("b", AT))
    assert not stray.exists()


def test_files_in_the_staging_folder_go_after_a_day(tmp_path: Path) -> None:
    """Not only folders: what a home remembers of files is written there, and DuckDB's own files are."""
    mill = home(tmp_path, event("a", AT))
    young, old = mill.home.staging / "young", mill.home.staging / "old"
    for path in (young, old):
        path.write_text("")
    os.utime(old, (time.time() - 2 * DAY,) * 2)
    commits.current(mill.home)
    assert young.exists()
    assert not old.exists()


def waiting(mill: Tidemill) -> int:
    """How many records wait for their job."""
    found = mill.quarantine(counted=True)
    return int(found.filter(found["reason"] == quarantine.UNKNOWN_JOB)["records"].sum())


@pytest.fixture
def unfed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Tidemill:
    """A home in which an observation waits for a job that came with an ingest which died before it fed it again."""
    mill = home(tmp_path)
    early = tmp_path / "early.jsonl"
    early.write_text('{"record": "job", "job_id": "j", "status": "running"}\n')
    mill.ingest(early)
    assert waiting(mill) == 1
    with monkeypatch.context() as patch:
        patch.setattr(quarantine, "retry_unknown_jobs", interrupted)
        with pytest.raises(DiedError):
            feed(mill, job("j", AT))
    assert waiting(mill) == 1
    return mill


def test_what_waits_for_a_job_is_fed_again_by_the_next_ingest(unfed: Tidemill) -> None:
    """Though that has nothing new: the one that brought the job died before it came to it."""
    (file,) = (unfed.home.path / "raw").iterdir()
    unfed.ingest(file)
    assert waiting(unfed) == 0
    built(unfed, "activity_daily")
    assert unfed.sql("SELECT count(*) FROM lake.jobs").fetchall() == [(2,)]


def test_once_it_was_fed_nothing_is_due(unfed: Tidemill, monkeypatch: pytest.MonkeyPatch) -> None:
    """An ingest with nothing new does not look into the quarantine."""
    (file,) = (unfed.home.path / "raw").iterdir()
    unfed.ingest(file)
    monkeypatch.setattr(quarantine, "retry_unknown_jobs", interrupted)
    assert unfed.ingest(file)[0].unchanged == 1


def test_a_snapshot_that_was_made_and_not_published_is_removed(tmp_path: Path) -> None:
    """Whoever dies before the swap leaves it whole, beside the folder of the build that names it."""
    mill = home(tmp_path, event("a", AT))
    built(mill, as_of=AS_OF)
    shown, folder = published(mill), mill.snapshot()
    shutil.copytree(folder, folder.with_name("99990101T000000000000-00000000"))
    left = mill.home.tables / f"{publish.UNFINISHED}0"
    left.mkdir()
    (left / publish.SNAPSHOT).write_text("99990101T000000000000-00000000")
    assert built(mill, as_of=AS_OF) == {}
    assert [path.name for path in folder.parent.iterdir()] == [folder.name]
    assert not left.exists()
    assert published(mill) == shown


def test_a_published_snapshot_stays_though_its_build_died_after_the_swap(tmp_path: Path) -> None:
    """The folder of that build names it, too."""
    mill = home(tmp_path, event("a", AT))
    built(mill, as_of=AS_OF)
    left = mill.home.tables / f"{publish.UNFINISHED}0"
    left.mkdir()
    (left / publish.SNAPSHOT).write_text(mill.snapshot().name)
    shown = published(mill)
    assert built(mill, as_of=AS_OF) == {}
    assert published(mill) == shown


def test_a_publish_that_fails_leaves_no_snapshot(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It takes room on a disk that may be full."""
    mill = home(tmp_path, event("a", AT))
    with monkeypatch.context() as patch:
        patch.setattr(publish, "_swap", interrupted)
        with pytest.raises(DiedError):
            built(mill, as_of=AS_OF)
    assert list((mill.home.tables / "snapshots").iterdir()) == []


def test_a_snapshot_whose_removal_was_interrupted_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It goes under another name, so nobody takes it for one."""
    mill = home(tmp_path, event("a", AT), settings="[snapshots]\nkeep = 1\n")
    for minutes in (0, 1):
        built(mill, as_of=AS_OF.replace("12:00:00", f"12:{minutes:02}:00"), full=True)
    old = min((mill.home.tables / "snapshots").iterdir())
    monkeypatch.setattr(publish, "KEEP_SECONDS", -1.0)
    with monkeypatch.context() as patch:
        patch.setattr(shutil, "rmtree", lambda *_arguments, **_options: None)
        built(mill, as_of=AS_OF.replace("12:00:00", "12:02:00"), full=True)
    assert not old.exists()
    assert len([*mill.home.tables.glob("building-*")]) > 0
    built(mill, as_of=AS_OF)
    assert [*mill.home.tables.glob("building-*")] == []


def test_old_files_whose_removal_was_interrupted_are_still_old(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """They do not stay for another hour: since when they are old is forgotten only when they are gone."""
    mill = home(tmp_path, event("a", AT))
    feed(mill, event("b", AT))
    compact(mill.home, mill.settings)
    named = {file.path for file in commits.current(mill.home).of("events")}
    old = [path for path in delta.on_disk(mill.home.lake / "events", "events") if str(path) not in named]
    assert old
    moved = time.time() + 2 * vacuum.GRACE_SECONDS
    monkeypatch.setattr(time, "time", lambda: moved)
    with monkeypatch.context() as patch:
        patch.setattr(vacuum, "_remove", interrupted)
        with pytest.raises(DiedError):
            compact(mill.home, mill.settings)
    assert sum(one.removed for one in compact(mill.home, mill.settings)) > 0
    assert not any(path.exists() for path in old)


def test_what_a_failed_commit_staged_is_removed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """As long as no journal names it; once one does, the commit is finished by whoever comes next."""
    mill = home(tmp_path, event("a", AT))
    with monkeypatch.context() as patch:
        patch.setattr(commits, "replace", interrupted)
        with pytest.raises(DiedError):
            feed(mill, event("b", AT))
    assert list(mill.home.staging.iterdir()) == []
    with monkeypatch.context() as patch:
        patch.setattr(delta, "append", interrupted)
        with pytest.raises(DiedError):
            feed(mill, event("b", AT))
    assert list(mill.home.staging.iterdir()) != []
    assert len(commits.current(mill.home).of("events")) == 2
