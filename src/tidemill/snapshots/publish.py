"""All tables become visible at once: a folder of hard links, then one swap of a pointer.

- `tables/snapshots/<id>/<table>/<period>-<content>.parquet`: never changed once published
- `tables/snapshots/<id>/catalog.duckdb`, `manifest.json`
- `tables/current` → `snapshots/<id>`, `tables/CURRENT`: that folder's absolute path
"""

from __future__ import annotations

import itertools
import shutil
import time
import uuid
from contextlib import suppress
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import PurePath
from typing import TYPE_CHECKING, Any, Final

from tidemill.errors import DamagedError, Fault
from tidemill.home import format_version, staging_dir
from tidemill.home.fsync import sync, sync_files
from tidemill.lake import auditing
from tidemill.snapshots import catalog_db, lineage, manifest
from tidemill.snapshots.manifest import Manifest, TableState, lake_digest

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.config.settings import Settings
    from tidemill.home.home import Home
    from tidemill.lake.commits import Snapshot

UNFINISHED: Final = "building-"
"""How the name of a build's own folder begins."""
SNAPSHOT: Final = "snapshot"
"""The file in a build's own folder that names the snapshot which it is about to publish."""
KEEP_SECONDS: Final = 3_600.0
"""How long a snapshot stays after the next one came, however many are kept."""


def current(home: Home) -> Manifest:
    """The newest snapshot; one without tables before the first publish."""
    link = home.tables / "current"
    folder = link.resolve()
    if (folder / format_version.MANIFEST).is_file():
        return manifest.read(folder)
    if faults := pointer_faults(home):
        raise DamagedError(faults)
    return Manifest()


def is_elsewhere(home: Home, newest: Manifest) -> bool:
    """Whether a snapshot's catalog names files elsewhere: its home was moved, copied or mounted anew."""
    try:
        return not home.path.samefile(newest.home)
    except OSError:
        return True


def pointer_faults(home: Home) -> list[Fault]:
    """What is wrong with the link to the newest snapshot, or the text that names it."""
    link, text = home.tables / "current", home.tables / "CURRENT"
    mended = "run: tidemill build"
    if link.exists() and not link.is_symlink():
        return [Fault(link, "is not a link to a snapshot", f"remove it, and {mended}")]
    if not link.is_symlink():
        return [Fault(link, "is missing", mended)] if text.exists() else []
    folder = home.tables / link.readlink()
    if not (folder / format_version.MANIFEST).is_file():
        gone = folder / format_version.MANIFEST if folder.is_dir() else folder
        return [Fault(gone, "is missing, and it is the newest snapshot")]
    if not text.is_file() or text.read_text(errors="replace") != str(folder):
        return [Fault(text, f"does not name {folder}", mended)]
    return []


@dataclass(frozen=True)
class Candidate:
    """All that a build made, ready to be published.

    `file` returns where a table's file is by its name. `breaches` is a folder with the table of breaches and the file
    `open_breaches`. `despite` are the failed checks that are waived.
    """

    home: Home
    settings: Settings
    lake: Snapshot
    connection: DuckDBPyConnection
    folder: Path
    states: Mapping[str, TableState]
    records: Mapping[str, dict[str, dict[str, str]]]
    thresholds: Mapping[str, dict[str, Any]]
    checks: str
    breaches: Path
    open_breaches: str
    despite: Sequence[str]
    file: Callable[[str, str], Path]


def publish(candidate: Candidate) -> str:
    """Publish a candidate as a new snapshot; return its id."""
    home = candidate.home
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}"
    (candidate.folder / SNAPSHOT).write_text(name)
    try:
        folder = _snapshots(home) / name
        _fill(candidate, folder, now)
        durable = candidate.settings.durable
        if durable:
            sync_files([file for file in folder.rglob("*") if file.is_file()], home.path)
        _swap(home, folder, durable=durable)
    except BaseException:
        _withdraw(home, name)
        raise
    _prune(home, candidate.settings.snapshots.keep)
    return name


def _fill(candidate: Candidate, folder: Path, now: datetime) -> None:
    """Fill a snapshot's folder. The manifest comes last: a folder without one is not whole."""
    folder.mkdir(parents=True)
    for table, state in candidate.states.items():
        (folder / table).mkdir()
        for file in state.files.values():
            (folder / table / file).hardlink_to(candidate.file(table, file))
    for path in sorted(candidate.breaches.rglob("*")):
        place = folder / path.relative_to(candidate.breaches)
        if path.is_dir():
            place.mkdir()
        else:
            place.hardlink_to(path)
    catalog_db.write_builds(candidate.connection, folder, candidate.states)
    catalog_db.write_catalog(folder, candidate.lake)
    _write_manifest(candidate, folder, now)


def _snapshots(home: Home) -> Path:
    return home.tables / "snapshots"


def _write_manifest(candidate: Candidate, folder: Path, now: datetime) -> None:
    values = {
        "format": format_version.FORMAT,
        "id": folder.name,
        "home": str(candidate.home.path),
        "published_at": now.isoformat(),
        "timezone": candidate.settings.timezone,
        "lake_digest": lake_digest(candidate.lake),
        "despite": list(candidate.despite),
        "lake": candidate.records,
        "tables": {table: {"partitions": s.partitions, "files": s.files} for table, s in candidate.states.items()},
        "thresholds": candidate.thresholds,
        "open_breaches": candidate.open_breaches,
        "checks": candidate.checks,
        "lake_id": format_version.identity(candidate.home.lake),
        "lake_versions": dict(candidate.lake.versions),
        "loads": auditing.write_loads(candidate.connection, candidate.lake, folder),
        "lacking": lineage.lacking(candidate.connection, candidate.lake),
        "pruned": candidate.lake.pruned,
        "stamps": manifest.stamped(folder),
    }
    manifest.write(folder, values)


def _swap(home: Home, folder: Path, *, durable: bool) -> None:
    _point(home, folder)
    _name(home, folder, durable=durable)


def _point(home: Home, folder: Path) -> None:
    link = home.tables / f"current-{uuid.uuid4().hex}"
    link.symlink_to(folder.relative_to(home.tables))
    link.rename(home.tables / "current")


def _name(home: Home, folder: Path, *, durable: bool) -> None:
    text = home.tables / f"CURRENT-{uuid.uuid4().hex}"
    text.write_text(str(folder))
    if durable:
        sync(text)
    text.rename(home.tables / "CURRENT")
    if durable:
        sync(home.tables)


def mend(home: Home, *, durable: bool = False) -> None:
    """Finish the swap, and remove the leftovers, of a build that was killed; call it under the tables' lock.

    Raises:
        DamagedError: what the pointers name is no snapshot.
    """
    link, text = home.tables / "current", home.tables / "CURRENT"
    for pattern in ("current-*", "CURRENT-*"):
        for pointer in home.tables.glob(pattern):
            pointer.unlink()
    if not link.is_symlink() and not link.exists() and text.is_file():
        _point(home, _snapshots(home) / PurePath(text.read_text(errors="replace").strip()).name)
    if link.is_symlink():
        folder = home.tables / link.readlink()
        if (folder / format_version.MANIFEST).is_file() and (
            not text.is_file() or text.read_text(errors="replace") != str(folder)
        ):
            _name(home, folder, durable=durable)
    if faults := pointer_faults(home):
        raise DamagedError(faults)
    for folder in home.tables.glob(f"{UNFINISHED}*"):
        with suppress(FileNotFoundError):
            _withdraw(home, (folder / SNAPSHOT).read_text())
        shutil.rmtree(folder, ignore_errors=True)
    for folder in _snapshots(home).glob("*"):
        if not (folder / format_version.MANIFEST).exists() and not was_published(home, folder):
            shutil.rmtree(folder, ignore_errors=True)


def was_published(home: Home, folder: Path) -> bool:
    """Whether a snapshot without a manifest lost it: one that was never finished is newer than the newest, or old."""
    link = home.tables / "current"
    if not link.is_symlink():
        return False
    return folder.name <= link.readlink().name and not staging_dir.is_old(folder)


def _withdraw(home: Home, name: str) -> None:
    """Remove a snapshot that a build made and did not come to publish."""
    if name and (home.tables / "current").resolve().name != name:
        _remove(home, _snapshots(home) / name)


def _remove(home: Home, folder: Path) -> None:
    """Remove a snapshot, as a build's own folder: what is left of it if this is interrupted is not taken for one."""
    gone = home.tables / f"{UNFINISHED}{uuid.uuid4().hex}"
    with suppress(FileNotFoundError):
        folder.rename(gone)
    shutil.rmtree(gone, ignore_errors=True)


def _prune(home: Home, keep: int) -> None:
    """Remove snapshots beyond those to keep, but none that was the newest within the last hour."""
    newest_first = sorted(_snapshots(home).iterdir(), reverse=True)
    pairs = list(itertools.pairwise(newest_first))[keep - 1 :]
    current = (home.tables / "current").readlink().name  # not the newest by name where the clock went back
    for folder in [older for newer, older in pairs if time.time() - newer.stat().st_mtime > KEEP_SECONDS]:
        if folder.name != current:
            _remove(home, folder)
