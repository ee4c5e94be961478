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

from tidemill import catalog, lake
from tidemill.engines.quoting import identifier

if TYPE_CHECKING:
    from tidemill.build import Build
    from tidemill.home import Home

EMPTY: Final = "empty"
"""The period of a table's only file while it has no rows: readers find its columns there."""
MANIFEST: Final = "manifest.json"
CATALOG: Final = "catalog.duckdb"
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
    _write_builds(build, folder)
    _write_catalog(build, folder)
    _write_manifest(build, folder, name, now)
    _swap(home, folder)
    _prune(home, build.settings.snapshots.keep)
    return name


def _write_builds(build: Build, folder: Path) -> None:
    """The history of each partition as the table `builds`."""
    connection = build.connection
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE history (table_name VARCHAR, partition_value VARCHAR, fingerprint VARCHAR,
        rows BIGINT, seconds DOUBLE, built_at TIMESTAMPTZ, run_id VARCHAR, despite VARCHAR)"""
    )
    rows = [
        (table, value, p["fingerprint"], p["rows"], p["seconds"], p["built_at"], p["run_id"], None)
        for table, state in build.states.items()
        for value, p in state.partitions.items()
    ]
    if rows:
        columns = [list(column) for column in zip(*rows, strict=True)]
        marks = ", ".join(f"unnest(${n}::{kind}[])" for n, kind in enumerate(_HISTORY_TYPES, 1))
        connection.execute(f"INSERT INTO history SELECT {marks}", columns)
    (folder / "builds").mkdir()
    target = folder / "builds" / "all.parquet"
    connection.execute(f"COPY (FROM history ORDER BY table_name, partition_value) TO '{target}' (FORMAT parquet)")
    target.chmod(0o444)


_HISTORY_TYPES: Final = ("VARCHAR", "VARCHAR", "VARCHAR", "BIGINT", "DOUBLE", "TIMESTAMPTZ", "VARCHAR", "VARCHAR")


def _write_catalog(build: Build, folder: Path) -> None:
    """A database of views by absolute paths: every table, and every stored row in schema `lake`."""
    import duckdb  # noqa: PLC0415

    from tidemill.engines import relations  # noqa: PLC0415
    from tidemill.quarantine import held  # noqa: PLC0415

    path = folder / CATALOG
    with duckdb.connect(str(path)) as database:
        database.execute("SET TimeZone = 'UTC'")
        for table in (*build.states, "builds"):
            files = [str(file) for file in sorted((folder / table).iterdir())]
            database.execute(f"CREATE VIEW {identifier(table)} AS {relations.published(files)}")
            if table in catalog.tables():
                _comment(database, catalog.table(table))
        database.execute("CREATE SCHEMA lake")
        for table, columns in lake.TABLES.items():
            select = relations.stored(table, columns, build.lake.paths(table))
            if table == "quarantine":
                select = f"SELECT {', '.join(columns)} FROM ({rows})" if (rows := held(build.lake)) else select
            if table != "released":
                database.execute(f"CREATE VIEW lake.{identifier(table)} AS {select}")
    path.chmod(0o444)


def _comment(database: Any, table: catalog.Table) -> None:  # noqa: ANN401 - duckdb is imported late
    database.execute(f"COMMENT ON VIEW {identifier(table.name)} IS {_text(table.description)}")


def _text(value: str) -> str:
    from tidemill.engines.quoting import literal  # noqa: PLC0415

    return literal(value)


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
