"""Looking at every stored byte of a home: what was cut, changed or deleted behind our back, and what to do about it."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.engine import session
from tidemill.errors import DamagedError, Fault, LakeError
from tidemill.home import file_digest, format_version
from tidemill.lake import auditing, commits, delta, log_checksums
from tidemill.lake import journal as lake_journal
from tidemill.lake import schema as lake_schema
from tidemill.lake import state as lake_state
from tidemill.lake.commits import Snapshot
from tidemill.snapshots import baseline, catalog_files, lineage, publish
from tidemill.snapshots import manifest as snapshots_manifest
from tidemill.snapshots.catalog_db import CATALOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from tidemill.config.settings import Settings
    from tidemill.home.file_digest import Stamp
    from tidemill.home.home import Home
    from tidemill.lake.schema import DataFile
    from tidemill.snapshots.manifest import Manifest

    Progress = Callable[[str, int, int], None]

AT_ONCE: Final = 2


@dataclass
class _Look:
    """An inspection that is going on: what it found, and which files it has seen to be whole."""

    home: Home
    settings: Settings
    progress: Progress | None
    faults: list[Fault] = field(default_factory=list)
    seen: set[tuple[int, int]] = field(default_factory=set)

    def each(self, what: str, stamps: list[Stamp]) -> None:
        """See that files are what was written, two at once; one of several names is read once."""
        with ThreadPoolExecutor(AT_ONCE) as pool:
            for number, fault in enumerate(pool.map(self.one, stamps)):
                if self.progress:
                    self.progress(what, number, len(stamps))
                self.faults += [fault] if fault else []

    def one(self, known: Stamp) -> Fault | None:
        """What is wrong with one file."""
        if fault := file_digest.glanced(known):
            return fault
        stat = Path(known.path).stat()
        place = (stat.st_dev, stat.st_ino)
        if place in self.seen:
            return None
        fault = file_digest.examined(known.path, known.digest)
        if not fault:
            self.seen.add(place)
        return fault


def inspect(home: Home, settings: Settings, progress: Progress | None = None) -> list[Fault]:
    """Every fault that there is in the lake and the published snapshots of a home."""
    look = _Look(home, settings, progress)
    records = _lake(look)
    _snapshots(look, records)
    return [*{fault.path: fault for fault in reversed(look.faults)}.values()][::-1]


def _lake(look: _Look) -> Snapshot | None:
    """Look at the lake; what it holds, unless its logs cannot be trusted."""
    home = look.home
    if not home.lake.is_dir():
        return Snapshot(dict.fromkeys(lake_schema.TABLES, ()))
    with home.lock("lake"):
        look.faults += list(_of_logs(home))
        if look.faults:
            return None
        try:
            commits.prepare(home)
            records = commits.snapshot(home)
        except DamagedError as error:
            look.faults += error.faults
            return None
        except LakeError as error:
            look.faults.append(Fault(home.lake, f"cannot be read ({error})"))
            return None
    files = [file for table in lake_schema.TABLES for file in records.of(table)]
    look.each("lake", lake_state.stamps(files))
    with session.connect(home, look.settings, timezone=None) as connection:
        broken = {fault.path for fault in look.faults}
        nameless = (file for file in files if not file_digest.promised(file.path) and Path(file.path) not in broken)
        look.faults += list(_read_whole(connection, nameless))
        look.faults += list(_of_newest(home, records))
        if not look.faults:
            look.faults += list(_of_lineage(home, connection, records))
            look.faults += list(_of_ledger(home, connection, records))
    return records


def _of_logs(home: Home) -> Iterator[Fault]:
    sealed = [table for table in lake_schema.TABLES if log_checksums.beside(home.lake / table).exists()]
    if sealed and not format_version.of_lake(home.lake):
        yield Fault(home.lake / format_version.FILE, "is missing", "put it back from a copy, or run: tidemill upgrade")
    for table in lake_schema.TABLES:
        yield from log_checksums.faults(home.lake / table, deep=True)
    for journal in lake_journal.left(home):
        yield from lake_journal.faults_of(home, journal)


def _read_whole(connection: duckdb.DuckDBPyConnection, files: Iterator[DataFile]) -> Iterator[Fault]:
    """Of files whose names do not tell their content those that cannot be read to their end."""
    for file in files:
        if why := auditing.unreadable(connection, file.path, file.rows):
            yield Fault(Path(file.path), why)


def _of_newest(home: Home, records: Snapshot) -> Iterator[Fault]:
    """Whether the lake is the one, and as much pruned as the one, that the newest snapshot was made of."""
    with suppress(DamagedError):  # of which more is said when the snapshots are looked at
        if fault := baseline.lost(home, publish.current(home), records):
            yield fault


def _of_lineage(home: Home, connection: duckdb.DuckDBPyConnection, records: Snapshot) -> Iterator[Fault]:
    """Yield what of the lake came back from an older copy."""
    with suppress(DamagedError):
        yield from lineage.faults(home, connection, publish.current(home), records)


def _of_ledger(home: Home, connection: duckdb.DuckDBPyConnection, records: Snapshot) -> Iterator[Fault]:
    for load_id, accepted, held in auditing.unbalanced(connection, records):
        if accepted is None:
            yield commits.unknown_load(home, load_id)
        else:
            yield Fault(home.lake, f"holds {held:,} records of load {load_id}, and its ledger says {accepted:,}")
    if (count := lineage.lacking(connection, records)["quarantine"]) > 0:
        yield Fault(home.lake / "quarantine", f"holds {count:,} records fewer than its ledger says")


def _snapshots(look: _Look, records: Snapshot | None) -> None:
    home = look.home
    look.faults += publish.pointer_faults(home)
    there = {path.name: path for table in lake_schema.TABLES for path in delta.on_disk(home.lake / table, table)}
    held = {Path(path).name for table in lake_schema.TABLES for path in records.paths(table)} if records else set(there)
    for folder in sorted((home.tables / "snapshots").glob("*")):
        if manifest := _manifest(look, folder):
            look.each(f"snapshot {folder.name}", baseline.files(manifest))
            look.faults += list(_of_folder(folder, manifest))
            _lake_files(look, folder, there, held)


def _manifest(look: _Look, folder: Path) -> Manifest | None:
    if not (folder / snapshots_manifest.MANIFEST).exists():
        if publish.was_published(look.home, folder):
            look.faults.append(Fault(folder / snapshots_manifest.MANIFEST, "is missing"))
        return None
    try:
        return snapshots_manifest.read(folder, anew=True)
    except DamagedError as error:
        look.faults += error.faults
        return None


def _of_folder(folder: Path, manifest: Manifest) -> Iterator[Fault]:
    """What is in a snapshot and is not of it: whoever reads a table's folder would read that, too."""
    named = {*manifest.stamps, snapshots_manifest.MANIFEST}
    for path in sorted(folder.rglob("*")) if manifest.format else ():
        if path.is_file() and str(path.relative_to(folder)) not in named:
            yield Fault(path, "is none of the snapshot's files", "remove it")


def _lake_files(look: _Look, folder: Path, there: dict[str, Path], held: set[str]) -> None:
    """See that the lake files that a snapshot's catalog names are there, and whole where the lake has left them."""
    catalog = folder / CATALOG
    if catalog in {fault.path for fault in look.faults}:
        return
    try:
        named = catalog_files.lake_files(catalog)
    except duckdb.Error as error:
        look.faults.append(Fault(catalog, f"cannot be opened ({str(error).splitlines()[0]})"))
        return
    for name in sorted(named - held):
        if name not in there:
            look.faults.append(Fault(catalog, f"names {name} of the lake, which is missing"))
        elif fault := file_digest.examined(str(there[name])):
            look.faults.append(fault)
