from __future__ import annotations

import hashlib
import subprocess
from typing import TYPE_CHECKING

import pytest
from deltalake import DeltaTable

from tests.homes import event, feed, home
from tidemill.lake import log_checksums
from tidemill.lake import schema as lake_schema

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill import Tidemill


@pytest.fixture
def mill(tmp_path: Path) -> Tidemill:
    """A home with two loads of events."""
    return home(tmp_path, event("a", "2026-02-10T10:00:00Z"), event("b", "2026-02-11T10:00:00Z"))


def sealed(mill: Tidemill) -> str:
    """The seals of the events' log."""
    return log_checksums.beside(mill.home.lake / "events").read_text()


def test_seals_are_what_sha256sum_checks(mill: Tidemill) -> None:
    """Anybody can check them without tidemill: after loads, a compaction, and loads after that."""
    mill.compact()
    feed(mill, event("c", "2026-02-12T10:00:00Z"))
    for table in lake_schema.TABLES:
        checked = subprocess.run(["sha256sum", "-c", "--strict", f"{table}.sha256"], cwd=mill.home.lake, check=True)
        assert checked.returncode == 0
    names = [line.rpartition("/")[2] for line in sealed(mill).splitlines()]
    assert names == [f"{0:020}.json", f"{1:020}.json", f"{1:020}.checkpoint.parquet", f"{2:020}.json"]


def test_what_a_killed_process_did_not_seal_is_sealed_by_the_next(mill: Tidemill) -> None:
    """Its commit, and half a line that it wrote, are no damage."""
    file, whole = log_checksums.beside(mill.home.lake / "events"), sealed(mill)
    file.write_text(whole[:-20])
    feed(mill, event("c", "2026-02-12T10:00:00Z"))
    lines = sealed(mill).splitlines()
    assert [len(line) for line in lines] == [len(lines[0]), len(lines[0]) - 19, *[len(lines[0])] * 2]
    assert log_checksums.faults(mill.home.lake / "events", deep=True) == []
    log_checksums.renew(mill.home.lake / "events")
    assert len(sealed(mill).splitlines()) == 3


def test_a_log_that_was_summed_up_may_lose_its_past(mill: Tidemill) -> None:
    """Delta removes old commits after a checkpoint, though nobody came to seal that; what comes after is needed."""
    folder = mill.home.lake / "events"
    DeltaTable(folder).create_checkpoint()
    (folder / log_checksums.LOG / f"{0:020}.json").unlink()
    assert log_checksums.faults(folder) == []
    log_checksums.seal(folder)
    feed(mill, event("c", "2026-02-12T10:00:00Z"))
    log_checksums.renew(folder)
    assert [line.rpartition("/")[2] for line in sealed(mill).splitlines()] == [
        f"{1:020}.json",
        f"{1:020}.checkpoint.parquet",
        f"{2:020}.json",
    ]
    newest = folder / log_checksums.LOG / f"{2:020}.json"
    assert hashlib.sha256(newest.read_bytes()).hexdigest() in sealed(mill)
    newest.unlink()
    assert [fault.path for fault in log_checksums.faults(folder)] == [newest]
