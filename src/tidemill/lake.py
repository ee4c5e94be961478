"""The lake: Delta tables of jobs, events, metrics, loads and quarantine, written by one commit at a time.

A commit is journaled before its first table is touched, so that whoever takes the lock next finishes what a
killed process began; each load is one application transaction in every table, so nothing is appended twice.
The rows of `loads` come last: under the lock, a record that is in the lake is one whose load is in the ledger.
"""

from __future__ import annotations

import json
import os
import shutil
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidemill import delta
from tidemill.delta import RECORD_TABLES, TABLES, Addition, DataFile
from tidemill.durable import sync, sync_files

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tidemill.home import Home

__all__ = ["RECORD_TABLES", "TABLES", "Addition", "DataFile"]

PRUNED: Final = "pruned"
"""The file that names the first day which was not pruned."""
ORPHAN_SECONDS: Final = 86_400.0


@dataclass(frozen=True)
class Snapshot:
    """What the lake holds at one moment: the files of each table, with absolute paths.

    Of the UTC days before `pruned` it holds no records any more, and takes none.
    """

    files: Mapping[str, Sequence[DataFile]]
    pruned: str = ""

    def of(self, table: str, days: Iterable[str] | None = None) -> list[DataFile]:
        """A table's files, of all days or of some."""
        wanted = None if days is None else set(days)
        return [file for file in self.files[table] if wanted is None or file.day in wanted]

    def paths(self, table: str, days: Iterable[str] | None = None) -> list[str]:
        """The paths of those files."""
        return [file.path for file in self.of(table, days)]


def prepare(home: Home) -> None:
    """Create what is missing of the lake, and finish what a killed process left; call it under the lock."""
    home.make(home.staging)
    for table in TABLES:
        if not (home.lake / table / "_delta_log").is_dir():
            delta.create(home.lake / table, table)
    for unfinished in home.lake.glob("journal-*.tmp"):
        unfinished.unlink()
    for journal in sorted(home.lake.glob("journal-*.json")):
        _finish(home, journal)
    _finish_pruning(home)
    _sweep(home.staging)


def _sweep(staging: Path) -> None:
    """Remove what crashed runs left in the staging folder a day ago."""
    for folder in staging.iterdir():
        with suppress(FileNotFoundError):  # its owner may be removing it
            if time.time() - folder.stat().st_mtime > ORPHAN_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def current(home: Home) -> Snapshot:
    """The lake as it is now; takes the lock. That of a home without one is empty, and is not made."""
    if not home.lake.is_dir():
        return Snapshot({table: [] for table in TABLES})
    with home.lock("lake"):
        prepare(home)
        return snapshot(home)


def snapshot(home: Home) -> Snapshot:
    """The lake as it is now; call it under the lock, after `prepare`."""
    return Snapshot({table: delta.files(home.lake / table, table) for table in TABLES}, pruned_before(home))


def commit(
    home: Home,
    ids: Sequence[str],
    additions: Sequence[Addition],
    instead_of: Sequence[DataFile] = (),
    *,
    durable: bool = False,
) -> None:
    """Append staged files to their tables as one commit that survives a crash; call it under the lock.

    `ids` are those of the loads, each an application transaction. Files that take the place of others change no data.
    One that is `durable` survives a power failure, too: what it names is on the disk before it is named.
    """
    if durable:
        logs = [file for table in TABLES for file in delta.log_files(home.lake / table)]
        sync_files([*logs, *(Path(addition.staged) for addition in additions)], home.lake)
        sync(home.path)
    journal = home.lake / f"journal-{time.time_ns()}.json"
    entry = {
        "ids": list(ids),
        "additions": [asdict(addition) for addition in additions],
        "removals": [os.path.relpath(file.path, home.lake) for file in instead_of],
        "durable": durable,
    }
    replace(journal, json.dumps(entry))
    _finish(home, journal)


def replace(file: Path, text: str) -> None:
    """Write a file that is whole, or as it was before, whenever this is killed and whenever the power goes."""
    beside = file.with_suffix(".tmp")
    beside.write_text(text)
    sync(beside)
    beside.rename(file)
    sync(file.parent)


def _finish(home: Home, journal: Path) -> None:
    entry = json.loads(journal.read_text())
    additions = [Addition(**addition) for addition in entry["additions"]]
    beside = home.staging if entry.get("durable") else None
    for table in TABLES:
        removed = [path.removeprefix(f"{table}/") for path in entry["removals"] if path.startswith(f"{table}/")]
        new = [a for a in additions if a.table == table]
        delta.append(home.lake / table, table, entry["ids"], new, removed, beside=beside)
    journal.unlink()


def pruned_before(home: Home) -> str:
    """The first UTC day whose records the lake may hold; empty if it never was pruned."""
    try:
        return (home.lake / PRUNED).read_text()
    except FileNotFoundError:
        return ""


def prune(home: Home, before: str) -> None:
    """Remove the records of all UTC days before one, and take none of them from now on; call it under the lock."""
    if before > pruned_before(home):
        replace(home.lake / PRUNED, before)
    _finish_pruning(home)


def _finish_pruning(home: Home) -> None:
    before = pruned_before(home)
    for table in RECORD_TABLES if before else ():
        folder = home.lake / table
        gone = [os.path.relpath(file.path, folder) for file in delta.files(folder, table) if file.day < before]
        if gone:
            delta.remove(folder, table, gone, beside=home.staging)
