"""The lake: Delta tables of jobs, events, metrics, loads and quarantine, written by one commit at a time.

A commit is journaled before its first table is touched, so that whoever takes the lock next finishes what a
killed process began; each load is one application transaction in every table, so nothing is appended twice.
The rows of `loads` come last: under the lock, a record that is in the lake is one whose load is in the ledger.
"""

from __future__ import annotations

import os
import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidemill.errors import DamagedError, Fault
from tidemill.home import format_version, staging_dir
from tidemill.home.fsync import sync, sync_files
from tidemill.lake import delta, log_checksums
from tidemill.lake import journal as lake_journal
from tidemill.lake.schema import RECORD_TABLES, TABLES, Addition, DataFile

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from contextlib import ExitStack

    from tidemill.home.home import Home

PRUNED: Final = "pruned"
"""The file that names the first day which was not pruned."""
_DAY: Final = re.compile(r"\d{4}-\d{2}-\d{2}")


@dataclass(frozen=True)
class Snapshot:
    """What the lake holds at one moment: the files of each table, with absolute paths, as of some version of each.

    Of the UTC days before `pruned` it holds no records any more, and takes none.
    """

    files: Mapping[str, Sequence[DataFile]]
    pruned: str = ""
    versions: Mapping[str, int] = field(default_factory=dict)

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
        delta.sweep(home.lake / table)
    _make_tables(home)
    for unfinished in home.lake.glob("journal-*.tmp"):
        unfinished.unlink()
    for journal in lake_journal.left(home):
        _finish(home, journal, lake_journal.checked(home, journal))
    _finish_pruning(home)
    staging_dir.sweep(home)


def _make_tables(home: Home) -> None:
    """Create the tables that are not there; a lake of none is of this version from its beginning."""
    missing = [table for table in TABLES if not log_checksums.entries(home.lake / table)]
    if len(missing) == len(TABLES) and not format_version.of_lake(home.lake):
        for table in TABLES:
            log_checksums.beside(home.lake / table).touch()  # from now on no log may be missing
        replace(home.lake / format_version.FILE, format_version.new())
    for table in missing:
        if faults := log_checksums.faults(home.lake / table):
            raise DamagedError(faults)
        delta.create(home.lake / table, table)


def current(home: Home) -> Snapshot:
    """The lake as it is now; takes the lock. That of a home without one is empty, and is not made."""
    if not home.lake.is_dir():
        return nothing()
    with home.lock("lake"):
        prepare(home)
        return snapshot(home)


def nothing() -> Snapshot:
    """The lake of a home that has none yet."""
    return Snapshot({table: [] for table in TABLES})


def snapshot(home: Home) -> Snapshot:
    """The lake as it is now; call it under the lock, after `prepare`."""
    found = {table: delta.files(home.lake / table, table) for table in TABLES}
    return Snapshot(found, pruned_before(home), {table: delta.version(home.lake / table) for table in TABLES})


def at(home: Home, versions: Mapping[str, int]) -> Snapshot:
    """The lake's records as they were at a version of each table, whatever was committed or compacted since.

    Raises:
        LakeError: the logs do not tell of it any more.
        DamagedError: they are not what was written.
    """
    found = {table: delta.files_at(home.lake / table, table, versions[table]) for table in RECORD_TABLES}
    return Snapshot(found, pruned_before(home), versions)


def commit(
    home: Home,
    ids: Sequence[str],
    additions: Sequence[Addition],
    instead_of: Sequence[DataFile] = (),
    *,
    staged: ExitStack,
    durable: bool = False,
) -> None:
    """Append staged files to their tables as one commit that survives a crash; call it under the lock.

    `ids` are those of the loads, each an application transaction. Files that take the place of others change no data.
    `staged` removes the staged files; whatever happens, it does not once a journal names them, until that is done.
    A commit that is `durable` survives a power failure, too: what it names is on the disk before it is named.
    """
    removals = [os.path.relpath(file.path, home.lake) for file in instead_of]
    entry = lake_journal.Entry(list(ids), list(additions), removals, durable)
    if durable:
        folders = [home.lake / table for table in TABLES]
        logs = [file for folder in folders for file in (*delta.log_files(folder), log_checksums.beside(folder))]
        sync_files([*filter(Path.exists, logs), *(Path(addition.staged) for addition in additions)], home.lake)
        sync(home.path)
    journal, text = lake_journal.written(home, entry)
    journaled = staged.pop_all()
    try:
        replace(journal, text)
        _finish(home, journal, entry)
    except BaseException:
        if not journal.exists():
            staged.push(journaled)
        raise
    journaled.close()


def replace(file: Path, text: str) -> None:
    """Write a file that is whole, or as it was before, whenever this is killed and whenever the power goes."""
    beside = file.with_suffix(".tmp")
    beside.write_text(text)
    sync(beside)
    beside.rename(file)
    sync(file.parent)


def unknown_load(home: Home, load_id: str) -> Fault:
    """That the lake holds records of a load that its ledger does not know: a killed commit that nobody finished."""
    what = f"holds records of load {load_id}, which its ledger does not know: a journal was lost"
    return Fault(home.lake, what, "load its file again: tidemill ingest FILE --reread")


def _finish(home: Home, journal: Path, entry: lake_journal.Entry) -> None:
    with staging_dir.held(home):
        beside = staging_dir.of(home) if entry.durable else None
        for table in TABLES:
            removed = [path.removeprefix(f"{table}/") for path in entry.removals if path.startswith(f"{table}/")]
            new = [addition for addition in entry.additions if addition.table == table]
            delta.append(home.lake / table, table, entry.ids, new, removed, beside=beside)
    journal.unlink()


def pruned_before(home: Home) -> str:
    """The first UTC day whose records the lake may hold; empty if it never was pruned."""
    file = home.lake / PRUNED
    try:
        text = file.read_text(errors="replace")
    except FileNotFoundError:
        return ""
    if not _DAY.fullmatch(text):
        raise DamagedError([Fault(file, "names no day", "write the first day into it that was not pruned: 2026-02-10")])
    return text


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
            with staging_dir.held(home):
                delta.remove(folder, table, gone, beside=staging_dir.of(home))
