from __future__ import annotations

import re
import shutil
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.homes import AS_OF, few_tables, home, published
from tidemill.lake import delta
from tidemill.lake import schema as lake_schema

__all__ = ["few_tables"]

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemill import Tidemill

FEW: Final = ("activity_daily",)
CALLS: Final = (
    "openat,creat,mkdir,mkdirat,write,pwrite64,writev,pwritev,ftruncate,sendfile,copy_file_range,"
    "fsync,fdatasync,rename,renameat,renameat2,link,linkat,symlink,symlinkat,unlink,unlinkat,rmdir"
)
_CALL: Final = re.compile(r"^\d+ +(\w+)\((.*)\) = \d+")
_UNFINISHED: Final = re.compile(r"^(\d+) +(.*) <unfinished \.\.\.>$")
_RESUMED: Final = re.compile(r"^(\d+) +<\.\.\. \w+ resumed>(.*)$")
_OPEN_FILE: Final = re.compile(r"^\w+<([^>]*)>")
_PATH: Final = re.compile(r'"([^"]+)"')
_WRITES: Final = {"write", "pwrite64", "writev", "pwritev", "ftruncate", "sendfile", "copy_file_range"}
_SYNCS: Final = {"fsync", "fdatasync"}
_REMOVES: Final = {"unlink", "unlinkat", "rmdir"}
_MAKES: Final = {"creat", "mkdir", "mkdirat", "symlink", "symlinkat"}
FIRST: Final = "0" * 20
"""The log entry that makes a table, of which the first commit sees that the disk has it: until then it is empty."""


@dataclass
class Disk:
    """What a power failure would lose: content that was written, and names that were given, since the last sync."""

    files: set[Path] = field(default_factory=set)
    names: dict[Path, set[Path]] = field(default_factory=dict)

    def apply(self, call: str, arguments: str) -> None:
        """Do what a call did."""
        opened, paths = _OPEN_FILE.match(arguments), _paths(arguments)
        if call in _WRITES and opened:
            self.files.add(Path(opened[1]))
        elif call in _SYNCS and opened:
            self.files.discard(Path(opened[1]))
            self.names.pop(Path(opened[1]), None)
        elif call in _REMOVES and paths:
            self._remove(paths[0])
        elif call.startswith(("rename", "link")):
            self._give(*paths, moved=call.startswith("rename"))
        elif paths and (call in _MAKES or "O_CREAT" in arguments):
            self.names.setdefault(paths[-1].parent, set()).add(paths[-1])

    def _give(self, source: Path, target: Path, *, moved: bool) -> None:
        (self.files.add if source in self.files else self.files.discard)(target)
        if moved:
            self._remove(source)
        self.names.setdefault(target.parent, set()).add(target)

    def _remove(self, file: Path) -> None:
        self.files.discard(file)
        self.names.get(file.parent, set()).discard(file)

    def lost(self, below: Path, *, but: Path | None = None) -> set[Path]:
        """What is lost of a folder, but for the names in one folder."""
        names = {name for folder, new in self.names.items() if folder != but for name in new}
        return {path for path in self.files | names if path.is_relative_to(below)}


def _paths(arguments: str) -> list[Path]:
    """The paths of a call, of which one may be beside an open folder."""
    folder = _OPEN_FILE.match(arguments)
    return [Path(folder[1] if folder else "/", path) for path in _PATH.findall(arguments)]


def _calls(trace: Path) -> Iterator[tuple[str, str]]:
    """The calls of all threads with their arguments, in the order in which they ended."""
    begun: dict[str, str] = {}
    for line in trace.read_text(errors="replace").splitlines():
        whole = line
        if cut := _UNFINISHED.match(line):
            begun[cut[1]] = cut[2]
            continue
        if rest := _RESUMED.match(line):
            whole = f"{rest[1]} {begun.pop(rest[1])}{rest[2]}"
        if call := _CALL.match(whole):
            yield call[1], call[2]


def lost_at_names(trace: Path, mill: Tidemill) -> dict[str, set[Path]]:
    """For each kind of name that a commit or a publish gives, what a power failure just after it would lose of it."""
    disk, found, calls = Disk(), dict[str, set[Path]](), [*_calls(trace)]
    staged = {_paths(arguments)[0] for call, arguments in calls if call.startswith("rename")}
    for call, arguments in calls:
        if call.startswith(("rename", "link")):
            source, target = _paths(arguments)
            for what, lost in _named(disk, mill, target, staged):
                found.setdefault(what, set()).update(lost, disk.files & {source})
        disk.apply(call, arguments)
    tables = disk.lost(mill.home.tables)
    kept = tables.union(*(disk.lost(mill.home.lake / table) for table in lake_schema.TABLES))
    return found | {"end": {path for path in kept if path.name != ".lock"}}


def _named(disk: Disk, mill: Tidemill, target: Path, staged: set[Path]) -> Iterator[tuple[str, set[Path]]]:
    """What a name is, if it is one that names other things, and what of these would be lost."""
    log, tables = target.parent, mill.home.tables
    if target.name.startswith("journal-"):
        yield "journal", disk.lost(mill.home.lake) & staged - {target.with_suffix(".tmp")}
    elif log.name == "_delta_log" and log.parent.parent == mill.home.lake and target.name[:20] != FIRST:
        yield "log entry", disk.lost(log.parent, but=log)
    elif target == tables / "current":
        yield "snapshot", disk.lost(tables / "snapshots")
    elif target == tables / "CURRENT":
        yield "pointer", set()


def traced(mill: Tidemill, folder: Path, *commands: tuple[str, ...]) -> dict[str, set[Path]]:
    """Run commands on a home, one after the other; what each name that they gave would have lost."""
    found: dict[str, set[Path]] = {}
    for command in commands:
        trace = folder / "trace"
        subprocess.run(
            [
                *("strace", "-f", "-y", "-s", "4096", "-qq", "-e", f"trace={CALLS}", "-o", str(trace)),
                *(sys.executable, "-m", "tidemill", "--home", str(mill.home.path), *command),
            ],
            check=True,
            capture_output=True,
        )
        for what, lost in lost_at_names(trace, mill).items():
            found.setdefault(what, set()).update(lost)
    return found


@pytest.mark.skipif(not shutil.which("strace"), reason="strace is not installed")
@pytest.mark.parametrize("durability", ["fsync", "none"])
def test_what_is_named_is_on_the_disk(tmp_path: Path, durability: str) -> None:
    """With durability fsync a power failure at any name would lose nothing of what is named; without, it would."""
    mill = home(tmp_path, settings=f'durability = "{durability}"')
    files = [tmp_path / "a.jsonl", tmp_path / "b.jsonl"]
    for n, file in enumerate(files):
        file.write_text(
            f'{{"record": "event", "id": "{n}", "timestamp": "2026-02-1{n}T12:00:00Z", "type": "question"}}\n'
        )
    first, second = (("ingest", str(file)) for file in files)
    build = ("build", *FEW, "--as-of", AS_OF)
    found = traced(mill, tmp_path, first, build, second, build, ("compact",))
    assert found.keys() == {"journal", "log entry", "snapshot", "pointer", "end"}
    if durability == "fsync":
        assert {what: lost for what, lost in found.items() if lost} == {}
    else:
        assert {what for what, lost in found.items() if lost} == {*found}


def test_durable_commits_are_those_of_any_other(tmp_path: Path) -> None:
    """A lake and tables with durability fsync hold what they hold without, after compaction and pruning, too."""
    found = []
    for durability in ("none", "fsync"):
        mill = home(tmp_path, settings=f'durability = "{durability}"', name=durability)
        for n in range(4):
            file = tmp_path / f"{n}.jsonl"
            file.write_text(f'{{"record": "event", "id": "{n}", "timestamp": "2026-02-1{n}T12:00:00Z", "type": "a"}}\n')
            mill.ingest(file, source="app")
        mill.compact()
        mill.prune("300d")
        mill.build(*FEW, as_of=AS_OF)
        logs = delta.log_files(mill.home.lake / "events")
        found.append((published(mill), [log.name for log in logs]))
        assert [*mill.home.staging.iterdir()] == []
    assert found[0] == found[1]
    assert len(found[0][1]) > 1
