from __future__ import annotations

import signal
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Final

import pytest
from deltalake import DeltaTable

from tests.homes import AS_OF, built, event, feed, few_tables, home, published, rows, tm
from tidemill import Tidemill
from tidemill.errors import UsageError
from tidemill.home import file_digest, format_version
from tidemill.lake import log_checksums
from tidemill.lake import schema as lake_schema

__all__ = ["few_tables"]

FEW: Final = ("sessions", "job_totals", "metric_hourly", "llm_ttft")
ARCHIVE: Final = Path(__file__).parent / "fixtures" / "home-0.1.0.tar.gz"
"""A home as 0.1.0 made it: three loads, two refusals, a compaction, two snapshots of those tables; made elsewhere."""
EVENTS: Final = ["a", "b", "c", "d"]

KILLED: Final = """
import os, signal, sys
from tidemill import Tidemill
steps = int(sys.argv[2])
def count(name, arguments):
    global steps
    writes = name == "open" and isinstance(arguments[1], str) and set(arguments[1]) & set("wax+")
    if name in {"os.rename", "os.remove", "os.mkdir", "os.rmdir", "os.link", "os.symlink"} or writes:
        steps -= 1
        if not steps:
            os.kill(os.getpid(), signal.SIGKILL)
mill = Tidemill(sys.argv[1])
sys.addaudithook(count)
mill.upgrade()
print(steps)
"""
"""An upgrade that is killed before its n-th change of the file system; it prints n minus their number if it lives."""


@pytest.fixture
def mill(tmp_path: Path) -> Tidemill:
    """A home of 0.1.0, unpacked elsewhere than it was made."""
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(tmp_path, filter="data")
    return Tidemill(tmp_path / "home")


def files(mill: Tidemill) -> list[str]:
    """The data files of the lake, as the logs have them."""
    return [path for name in lake_schema.TABLES for path in DeltaTable(mill.home.lake / name).file_uris()]


def stored(mill: Tidemill) -> list[str]:
    """The ids of the lake's events as they are published."""
    return [key for (key,) in rows(mill, "SELECT id FROM lake.events ORDER BY ALL")]


def assert_upgraded(mill: Tidemill) -> None:
    """It is of this version in every respect, and whole."""
    assert format_version.of_lake(mill.home.lake) == format_version.of_tables(mill.home.tables) == format_version.FORMAT
    assert all(file_digest.promised(path) for path in files(mill))
    assert [
        fault for name in lake_schema.TABLES for fault in log_checksums.faults(mill.home.lake / name, deep=True)
    ] == []
    said = tm("check", "--deep", at=mill)
    assert said.code == 0, said.err
    assert stored(mill) == EVENTS
    assert list(mill.home.lake.glob("journal-*")) == list(mill.home.staging.iterdir()) == []


def test_an_older_home_is_read_and_written_as_it_is(mill: Tidemill) -> None:
    """Before it is upgraded every command goes on; what is new of it is as it would be in a new home."""
    assert tm("status", at=mill).code == 0
    feed(mill, event("e", "2026-02-11T12:00:00Z", session_id="s3"))
    built(mill, *FEW, as_of=AS_OF)
    assert stored(mill) == [*EVENTS, "e"]
    assert format_version.of_lake(mill.home.lake) == 0
    assert not log_checksums.beside(mill.home.lake / "events").exists()
    assert tm("check", "--deep", at=mill).code == 0
    assert rows(mill, "SELECT count(*) FROM lake.quarantine") == [(2,)]


def test_an_older_home_is_upgraded(mill: Tidemill) -> None:
    """Its files get names that tell their content, its logs seals; no table changes, and nothing is stale for it."""
    built(mill, *FEW, as_of=AS_OF)
    tables = published(mill)
    said = tm("upgrade", at=mill)
    assert (said.code, said.out) == (0, "")
    told = said.err.splitlines()
    assert told[0] == f"{len(files(mill))} files of the lake are named by their content"
    assert told[-1] == f"{mill.home.path} is of format version 1"
    assert built(mill, *FEW, as_of=AS_OF) == {}
    assert_upgraded(mill)
    assert published(mill) == tables
    assert tm("upgrade", at=mill).err == f"{mill.home.path} is of format version 1 already\n"
    feed(mill, event("e", "2026-02-11T12:00:00Z", session_id="s3"))
    assert "2026-02-11" in str(built(mill, *FEW, as_of=AS_OF))


def test_what_is_published_by_an_older_version_is_published_again(mill: Tidemill) -> None:
    """By the upgrade itself: its snapshot vouches for its files, and names them where they are now."""
    mill.upgrade()
    assert_upgraded(mill)
    assert (mill.home.tables / "CURRENT").read_text() == str(mill.snapshot())


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many changes of the file system an upgrade makes."""
    folder = tmp_path_factory.mktemp("steps")
    with tarfile.open(ARCHIVE) as archive:
        archive.extractall(folder, filter="data")
    ran = subprocess.run([sys.executable, "-c", KILLED, folder / "home", "1000"], check=True, capture_output=True)
    return 1_000 - int(ran.stdout)


@pytest.mark.parametrize("share", [0.01, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9, 0.99])
def test_an_upgrade_that_is_killed_is_finished(mill: Tidemill, steps: int, share: float) -> None:
    """By the next one; in between the home is of one version or the other, and builds."""
    step = max(1, int(steps * share))
    killed = subprocess.run([sys.executable, "-c", KILLED, mill.home.path, str(step)], check=False)
    assert killed.returncode == -signal.SIGKILL
    built(mill, "metric_hourly", as_of=AS_OF)
    assert stored(mill) == EVENTS
    assert tm("upgrade", at=mill).code == 0
    assert_upgraded(mill)


def test_a_damaged_older_home_is_not_upgraded(mill: Tidemill) -> None:
    """A name must not vouch for what is not whole: the file is named, and nothing is changed."""
    path = Path(max(path for path in files(mill) if "/events/" in path))
    content = path.read_bytes()
    path.write_bytes(content[:-20])
    before = files(mill)
    assert tm("upgrade", at=mill).fault.startswith(f"{path} has {len(content) - 20:,} bytes instead")
    assert files(mill) == before
    path.write_bytes(content[:-20] + b"x" * 20)
    assert tm("upgrade", at=mill).fault.startswith(f"{path} cannot be read")
    assert files(mill) == before
    assert format_version.of_lake(mill.home.lake) == 0
    assert f"{path} cannot be read" in tm("check", "--deep", at=mill).err
    path.write_bytes(content)
    mill.upgrade()
    assert_upgraded(mill)


def test_lost_seals_are_made_again(tmp_path: Path) -> None:
    """Whoever has seen that a log is whole lets upgrade seal it as it is; until then nothing is built of it."""
    mill = home(tmp_path, event("a", "2026-02-10T10:00:00Z"))
    built(mill, *FEW, as_of=AS_OF)
    lost = log_checksums.beside(mill.home.lake / "events")
    before = lost.read_text()
    lost.unlink()
    (mill.home.lake / "format").unlink()
    assert f"{mill.home.lake / 'format'} is missing; " in tm("build", at=mill).fault
    assert f"{mill.home.lake / 'format'} is missing; " in tm("check", "--deep", at=mill).err
    assert tm("upgrade", at=mill).code == 0
    assert lost.read_text() == before
    lost.unlink()
    feed_again = Tidemill(mill.home.path.rename(tmp_path / "moved"))
    assert f"{feed_again.home.lake / 'events.sha256'} is missing; " in tm("build", at=feed_again).fault
    assert "events.sha256 is missing; " in tm("check", "--deep", at=feed_again).err
    assert tm("upgrade", at=feed_again).code == 0
    assert built(feed_again, *FEW, as_of=AS_OF) == {}
    assert tm("check", "--deep", at=feed_again).code == 0


COMMANDS: Final = (
    *(("status",), ("build",), ("run",), ("ingest", "a.jsonl"), ("query", "SELECT 1"), ("show", "sessions")),
    *(("path", "sessions"), ("tables",), ("check",), ("check", "--deep"), ("compact",), ("prune", "--keep", "1d")),
    *(("quarantine", "list"), ("quarantine", "retry"), ("upgrade",), ("init",), ("simulate",)),
)


@pytest.mark.parametrize("room", ["lake", "tables"])
def test_a_newer_home_is_refused(tmp_path: Path, room: str) -> None:
    """By every command, in one line and with exit code 2, and nothing of it is touched."""
    mill = home(tmp_path, event("a", "2026-02-10T10:00:00Z"))
    built(mill, *FEW, as_of=AS_OF)
    if room == "lake":
        (mill.home.lake / "format").write_text(format_version.new().replace("1 ", "7 ", 1))
    else:
        manifest = mill.snapshot() / "manifest.json"
        manifest.write_text(manifest.read_text().replace('{"format": 1,', '{"format": 7,'))
    before = sorted(mill.home.path.rglob("*"))
    for command in COMMANDS:
        said = tm(*command, at=mill)
        assert said.code == 2, command
        assert said.fault.startswith(f"{mill.home.path} is of format version 7, made by a newer tidemill")
    assert sorted(mill.home.path.rglob("*")) == before


def test_a_home_that_became_newer_is_refused_too(tmp_path: Path) -> None:
    """By a process that opened it before."""
    mill = home(tmp_path, event("a", "2026-02-10T10:00:00Z"))
    (mill.home.lake / "format").write_text(format_version.new().replace("1 ", "7 ", 1))
    with pytest.raises(UsageError, match="made by a newer tidemill"):
        mill.build(*FEW)


def test_a_version_that_is_none_is_named(tmp_path: Path) -> None:
    """It is neither taken for an old one nor for a new one."""
    mill = home(tmp_path, event("a", "2026-02-10T10:00:00Z"))
    (mill.home.lake / "format").write_text("one")
    said = tm("status", at=mill.home.path)
    advice = "put it back from a copy, or remove it and run: tidemill upgrade"
    assert (said.code, said.fault) == (1, f"{mill.home.lake / 'format'} says no version; {advice}")
    (mill.home.lake / "format").unlink()
    assert tm("upgrade", at=mill).code == 0
    assert format_version.of_lake(mill.home.lake) == format_version.FORMAT
    built(mill, *FEW, as_of=AS_OF)
