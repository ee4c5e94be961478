"""All tables become visible at once: a folder of hard links, then one swap of a pointer.

- `tables/snapshots/<id>/<table>/<period>-<content>.parquet`: never changed once published
- `tables/snapshots/<id>/catalog.duckdb`, `manifest.json`
- `tables/current` → `snapshots/<id>`, `tables/CURRENT`: that folder's absolute path
"""

from __future__ import annotations

import hashlib
import itertools
import json
import shutil
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tidemill import lake
from tidemill.durable import sync, sync_files
from tidemill.engines import breaches, snapshot

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.build import Build
    from tidemill.home import Home
    from tidemill.lake import Snapshot

MANIFEST: Final = "manifest.json"
UNFINISHED: Final = "building-"
"""How the name of a build's own folder begins."""
KEEP_SECONDS: Final = 3_600.0
"""How long a snapshot stays after the next one came, however many are kept."""


@dataclass(frozen=True)
class TableState:
    """What is published of one table: each partition's fingerprint and history, and the file of each period."""

    partitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """What one snapshot holds, and what it was made of; `thresholds` are the definitions that were evaluated last."""

    folder: Path = Path()
    id: str = ""
    home: str = ""
    published_at: str = ""
    timezone: str = "UTC"
    lake_digest: str = ""
    despite: list[str] = field(default_factory=list)
    lake: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    tables: dict[str, TableState] = field(default_factory=dict)
    thresholds: dict[str, dict[str, Any]] = field(default_factory=dict)
    open_breaches: str = ""
    checks: str = ""

    @property
    def breaches(self) -> Path | None:
        """The file of the breaches that were open when it was published; none of an older version's snapshot."""
        return self.folder / self.open_breaches if self.open_breaches else None


def digest(value: object) -> str:
    """SHA-256 of a value's JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def lake_digest(records: Snapshot) -> str:
    """The digest of every file of the lake."""
    return digest({table: records.paths(table) for table in lake.TABLES})


def current(home: Home) -> Manifest:
    """The newest snapshot; one without tables before the first publish."""
    folder = (home.tables / "current").resolve()
    try:
        values = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError:
        return Manifest()
    tables = {name: TableState(**state) for name, state in values.pop("tables").items()}
    return Manifest(folder=folder, tables=tables, **values)


def publish(build: Build, *, despite: Sequence[str] = ()) -> str:
    """Publish the states of a build as a new snapshot, with the failed checks despite which; returns its id."""
    home = build.home
    _record(build, despite)
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%S%f}-{uuid.uuid4().hex[:8]}"
    folder = _snapshots(home) / name
    folder.mkdir(parents=True)
    for table, state in build.states.items():
        (folder / table).mkdir()
        for file in state.files.values():
            (folder / table / file).hardlink_to(build.file(table, file))
    snapshot.write_builds(build.connection, folder, build.states)
    open_breaches = breaches.write(build.connection, folder)
    snapshot.write_catalog(folder, build.lake)
    _write_manifest(build, folder, name, now, despite, open_breaches=open_breaches)
    durable = build.settings.durable
    if durable:
        sync_files([file for file in folder.rglob("*") if file.is_file()], home.path)
    _swap(home, folder, durable=durable)
    _prune(home, build.settings.snapshots.keep)
    return name


def _snapshots(home: Home) -> Path:
    return home.tables / "snapshots"


def _record(build: Build, despite: Sequence[str]) -> None:
    """Keep with each partition of this build despite which checks it was published."""
    for state in build.states.values():
        for made in state.partitions.values():
            if made["run_id"] == build.run_id:
                made["despite"] = ", ".join(despite) or None


def _write_manifest(
    build: Build, folder: Path, name: str, now: datetime, despite: Sequence[str], *, open_breaches: str
) -> None:
    values = {
        "id": name,
        "home": str(build.home.path),
        "published_at": now.isoformat(),
        "timezone": build.settings.timezone,
        "lake_digest": lake_digest(build.lake),
        "despite": list(despite),
        "lake": build.records,
        "tables": {table: {"partitions": s.partitions, "files": s.files} for table, s in build.states.items()},
        "thresholds": build.thresholds,
        "open_breaches": open_breaches,
        "checks": build.checks,
    }
    (folder / MANIFEST).write_text(json.dumps(values))


def _swap(home: Home, folder: Path, *, durable: bool) -> None:
    link = home.tables / f"current-{uuid.uuid4().hex}"
    link.symlink_to(folder.relative_to(home.tables))
    link.rename(home.tables / "current")
    _name(home, folder, durable=durable)


def _name(home: Home, folder: Path, *, durable: bool) -> None:
    text = home.tables / f"CURRENT-{uuid.uuid4().hex}"
    text.write_text(str(folder))
    if durable:
        sync(text)
    text.rename(home.tables / "CURRENT")
    if durable:
        sync(home.tables)


def mend(home: Home, *, durable: bool = False) -> None:
    """Finish the swap, and remove the leftovers, of a build that was killed; call it under the tables' lock."""
    for folder in [*home.tables.glob(f"{UNFINISHED}*"), *_snapshots(home).glob("*")]:
        if not (folder / MANIFEST).exists():
            shutil.rmtree(folder, ignore_errors=True)
    for pattern in ("current-*", "CURRENT-*"):
        for pointer in home.tables.glob(pattern):
            pointer.unlink()
    link, text = home.tables / "current", home.tables / "CURRENT"
    if link.is_symlink():
        folder = home.tables / link.readlink()
        if not text.exists() or text.read_text() != str(folder):
            _name(home, folder, durable=durable)


def _prune(home: Home, keep: int) -> None:
    """Remove snapshots beyond those to keep, but none that was the newest within the last hour."""
    newest_first = sorted(_snapshots(home).iterdir(), reverse=True)
    pairs = list(itertools.pairwise(newest_first))[keep - 1 :]
    for folder in [older for newer, older in pairs if time.time() - newer.stat().st_mtime > KEEP_SECONDS]:
        shutil.rmtree(folder, ignore_errors=True)
