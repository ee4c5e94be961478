"""All tables become visible at once: a folder of hard links, then one swap of a pointer.

    tables/snapshots/<id>/<table>/<period>-<content>.parquet    never changed once published
    tables/snapshots/<id>/catalog.duckdb, manifest.json
    tables/current → snapshots/<id>,  tables/CURRENT: that folder's absolute path
"""

from __future__ import annotations

import hashlib
import json
import os
import shutil
import time
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tidemill import lake
from tidemill.engines import snapshot

if TYPE_CHECKING:
    from tidemill.build import Build
    from tidemill.home import Home

EMPTY: Final = "empty"
"""The period of a table's only file while it has no rows: readers find its columns there."""
MANIFEST: Final = "manifest.json"
KEEP_SECONDS: Final = 3_600.0


@dataclass(frozen=True)
class TableState:
    """What is published of one table: each partition's fingerprint and history, and the file of each period."""

    partitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """What one snapshot holds, and what it was made of."""

    folder: Path = Path()
    id: str = ""
    home: str = ""
    published_at: str = ""
    timezone: str = "UTC"
    lake_digest: str = ""
    lake: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    tables: dict[str, TableState] = field(default_factory=dict)


def digest(value: object) -> str:
    """SHA-256 of a value's JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def current(home: Home) -> Manifest:
    """The newest snapshot; one without tables before the first publish."""
    folder = (home.tables / "current").resolve()
    try:
        values = json.loads((folder / MANIFEST).read_text())
    except FileNotFoundError:
        return Manifest()
    tables = {name: TableState(**state) for name, state in values.pop("tables").items()}
    return Manifest(folder=folder, tables=tables, **values)


def publish(build: Build) -> str:
    """Publish the states of a build as a new snapshot; returns its id."""
    home = build.home
    now = datetime.now(UTC)
    name = f"{now:%Y%m%dT%H%M%S}-{uuid.uuid4().hex[:8]}"
    folder = home.tables / "snapshots" / name
    folder.mkdir(parents=True)
    for table, state in build.states.items():
        (folder / table).mkdir()
        for file in state.files.values():
            fresh = build.folder / file
            source = fresh if fresh.exists() else build.before.folder / table / file
            if fresh.exists():
                fresh.chmod(0o444)
            os.link(source, folder / table / file)
    snapshot.write_builds(build.connection, folder, build.states)
    snapshot.write_catalog(folder, build.lake)
    _write_manifest(build, folder, name, now)
    _swap(home, folder)
    _prune(home, build.settings.snapshots.keep)
    return name


def _write_manifest(build: Build, folder: Path, name: str, now: datetime) -> None:
    files = {table: [file.path for file in build.lake.of(table)] for table in lake.TABLES}
    values = {
        "id": name,
        "home": str(build.home.path),
        "published_at": now.isoformat(),
        "timezone": build.settings.timezone,
        "lake_digest": digest(files),
        "lake": build.records,
        "tables": {table: {"partitions": s.partitions, "files": s.files} for table, s in build.states.items()},
    }
    (folder / MANIFEST).write_text(json.dumps(values))


def _swap(home: Home, folder: Path) -> None:
    link = home.tables / f"current-{uuid.uuid4().hex}"
    link.symlink_to(folder.relative_to(home.tables))
    link.rename(home.tables / "current")
    text = home.tables / f"CURRENT-{uuid.uuid4().hex}"
    text.write_text(str(folder))
    text.rename(home.tables / "CURRENT")


def _prune(home: Home, keep: int) -> None:
    """Remove snapshots beyond those to keep, but none younger than an hour."""
    folders = sorted((home.tables / "snapshots").iterdir(), key=lambda folder: folder.name, reverse=True)
    for folder in folders[keep:]:
        if time.time() - folder.stat().st_mtime > KEEP_SECONDS:
            shutil.rmtree(folder, ignore_errors=True)
