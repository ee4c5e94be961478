"""A disk that is full, refuses or fails: what is said, that nothing is half visible, and that it goes on afterwards."""

from __future__ import annotations

import json
import os
import random
import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.refusals import REFUSALS, refuse
from tests.faults.scenario import AS_OF, Place, command
from tidemill import Tidemill
from tidemill.lake import commits

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tests.faults.kills import Case

FEW: Final = ("activity_daily", "sessions")
ROOM: Final = "free some room there, then run the same command again; nothing is lost"
PLAIN: Final = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")} | {
    "PYTHONDONTWRITEBYTECODE": "1"
}
"""The environment of a command that finds no room: Python is not to take any."""
SAMPLE: Final = (
    *(("first ingest", "full from then on", share) for share in (0.02, 0.9)),
    *(("first build", "full from then on", share) for share in (0.1, 0.97)),
    *(("ingest", how, 0.7) for how in ("full once", "no permission")),
    *(("build", how, share) for how, share in (("I/O error", 0.45), ("no permission", 0.4), ("full once", 0.98))),
    *(("retry", how, 0.95) for how in ("full from then on", "I/O error")),
    *(
        ("compact", how, share)
        for how, share in (("full from then on", 0.2), ("I/O error", 0.7), ("no permission", 0.9))
    ),
    *(("prune", how, 0.05) for how in ("full from then on", "no permission")),
)


@pytest.mark.parametrize(("step", "how", "share"), SAMPLE)
def test_a_step_that_was_refused_says_so_and_is_done_once_the_disk_lets_it(
    step: str, how: str, share: float, case: Callable[[str], Case]
) -> None:
    """One line on standard error: what, where and what to do; readers see the state before or after it, as ever."""
    changes = case(step).changes
    numbers = [number for number, (call, _) in enumerate(changes, 1) if call in REFUSALS[how].calls]
    where, wrong = refuse(case(step), how, numbers[int(share * len(numbers))])
    assert (where, wrong) == (where, [])


def mounted(folder: Path, options: str) -> bool:
    """Whether a small disk could be mounted there, or mounted with another size."""
    run = subprocess.run(["mount", "-t", "tmpfs", "-o", options, "tmpfs", folder], capture_output=True, check=False)
    return run.returncode == 0


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    if os.geteuid() or not mounted(folder, "size=2m"):
        pytest.skip("only root can mount a small disk")
    yield folder
    subprocess.run(["umount", folder], check=True)


def records(folder: Path, count: int) -> Path:
    """A file of events that do not compress well."""
    chance = random.Random(count)
    file = folder / f"{count}.jsonl"
    lines = (
        {
            "timestamp": f"2026-02-1{n % 2}T10:00:00Z",
            "type": "question",
            "text": chance.randbytes(120).hex(),
            "id": str(n),
        }
        for n in range(count)
    )
    file.write_text("".join(json.dumps(line) + "\n" for line in lines))
    return file


def run(place: Place, *arguments: object) -> tuple[int, list[str]]:
    """Run the command in a process of its own; its exit code, and its lines that say a failure."""
    ended = subprocess.run(
        command(place, tuple(map(str, arguments))), env=PLAIN, capture_output=True, text=True, check=False
    )
    assert "Traceback" not in ended.stderr
    return ended.returncode, [line for line in ended.stderr.splitlines() if line.startswith("tidemill: ")]


def test_a_full_disk_is_said_and_goes_on_once_there_is_room(disk: Path, tmp_path: Path) -> None:
    """Ingest and build leave nothing on it that takes room, and readers keep what they had."""
    place, file = Place(disk), records(tmp_path, 20_000)
    mill = Tidemill(place.home)
    place.put("tidemill.toml", "threads = 1\n")
    code, said = run(place, "ingest", file, "--record", "event")
    assert (code, len(said)) == (1, 1)
    assert said[0].endswith(f" cannot be written or read: No space left on device; {ROOM}")
    assert str(place.home) in said[0]
    assert list(mill.home.staging.iterdir()) == []
    assert commits.current(mill.home).paths("events") == []

    assert mounted(disk, "remount,size=64m")
    assert run(place, "ingest", file, "--record", "event") == (0, [])
    assert run(place, "build", *FEW, "--as-of", AS_OF) == (0, [])
    shown = mill.sql("FROM activity_daily").fetchall()
    assert sum(row[1] for row in shown) == 20_000

    assert run(place, "ingest", records(tmp_path, 500), "--record", "event", "--source", "more") == (0, [])
    free = os.statvfs(disk)
    filler = disk / "filler"
    filler.write_bytes(b"x" * (free.f_bavail * free.f_frsize - 16_384))
    code, said = run(place, "build", *FEW, "--as-of", AS_OF)
    assert (code, len(said)) == (1, 1)
    assert said[0].endswith(ROOM)
    assert mill.sql("FROM activity_daily").fetchall() == shown
    assert len(list((mill.home.tables / "snapshots").iterdir())) == 1
    assert list(mill.home.tables.glob("building-*")) == []

    filler.unlink()
    assert run(place, "build", *FEW, "--as-of", AS_OF) == (0, [])
    assert sum(row[1] for row in mill.sql("FROM activity_daily").fetchall()) == 20_500


def test_a_limit_of_the_size_of_files_is_said(tmp_path: Path) -> None:
    """Whoever set it is told of it, and it is the same command that then ends well."""
    place, file = Place(tmp_path), records(tmp_path, 2_000)
    place.put("tidemill.toml", "threads = 1\n")
    arguments = ("ingest", str(file), "--record", "event")
    limited = (
        "import os, resource, sys; resource.setrlimit(resource.RLIMIT_FSIZE, (65536, 65536));"
        "os.execv(sys.argv[1], sys.argv[1:])"
    )
    ended = subprocess.run(
        [sys.executable, "-c", limited, *command(place, arguments)],
        env=PLAIN,
        capture_output=True,
        text=True,
        check=False,
    )
    (said,) = (line for line in ended.stderr.splitlines() if line.startswith("tidemill: "))
    assert ended.returncode == 1
    assert "File too large; raise the limit of a file's size (ulimit -f)" in said
    assert run(place, *arguments) == (0, [])


def test_a_standard_output_that_takes_nothing_is_said(tmp_path: Path) -> None:
    """As one line, and not as a fault of the home."""
    place = Place(tmp_path)
    with open("/dev/full", "w") as full:  # noqa: PTH123 - no path of ours
        ended = subprocess.run(
            command(place, ("tables",)),
            env=PLAIN,
            stdout=full,
            stderr=subprocess.PIPE,
            text=True,
            check=False,
        )
    assert ended.returncode == 2
    assert ended.stderr == "tidemill: standard output cannot be written: No space left on device\n"
