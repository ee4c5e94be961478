"""Fewer files in the lake: the small ones of a day become one, and files that nothing names any more are removed.

The new file is written beside the lake, without the lock; under it the commit only says that it takes the others'
place. That changes no data, so nothing becomes stale.
"""

from __future__ import annotations

import os
import re
import shutil
import uuid
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb

from tidemill import delta, lake
from tidemill.engines import compacting
from tidemill.engines import duckdb as engine
from tidemill.engines.snapshot import CATALOG
from tidemill.errors import LockTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from tidemill.home import Home
    from tidemill.lake import DataFile, Snapshot
    from tidemill.settings import Settings

SMALL_BYTES: Final = 128 << 20
"""A larger file is left as it is."""
GRACE_HOURS: Final = 1
"""How long a file stays after it left the lake, for builds and readers that have just begun."""
_NAMED: Final = re.compile(r"'([^']+\.parquet)'")


@dataclass
class Compacted:
    """What compacting did to a table of the lake: files and bytes before and after, and old files that were removed."""

    table: str
    days: int = 0
    files: int = 0
    files_after: int = 0
    bytes: int = 0
    bytes_after: int = 0
    removed: int = 0


@dataclass
class _Group:
    """Some small files of one table and day."""

    table: str
    files: list[DataFile] = field(default_factory=list)


def compact(
    home: Home, settings: Settings, *, dry_run: bool = False, grace_hours: int = GRACE_HOURS
) -> list[Compacted]:
    """Make one file of a day's small ones, in every table, and remove old files; what that did to each table.

    Old are those that left the lake at least `grace_hours` ago, and that no kept snapshot names. With `dry_run` nothing
    is done: the bytes after it are not known, and are those before.
    """
    now = lake.current(home)
    found = {table: Compacted(table, files=len(now.of(table)), bytes=_size(now.paths(table))) for table in lake.TABLES}
    for group in _groups(now):
        made = found[group.table]
        made.days += 1
        made.files_after -= len(group.files) - 1
        if not dry_run and not _replace(home, settings, group):
            made.files_after += len(group.files) - 1
    for made in found.values():
        made.files_after += made.files
    if home.lake.is_dir():
        _finish(home, found, grace_hours=grace_hours, dry_run=dry_run)
    return list(found.values())


def _groups(now: Snapshot) -> list[_Group]:
    """The small files of each table and day, where there is more than one."""
    groups: dict[tuple[str, str], _Group] = {}
    for table in lake.TABLES:
        for file in now.of(table):
            if Path(file.path).stat().st_size < SMALL_BYTES:
                groups.setdefault((table, file.day), _Group(table)).files.append(file)
    return [group for group in groups.values() if len(group.files) > 1]


def _replace(home: Home, settings: Settings, group: _Group) -> bool:
    """Put one file in the place of some; False if one of them is not in the lake any more."""
    folder = home.staging / uuid.uuid4().hex
    folder.mkdir(parents=True)
    try:
        with engine.connect(
            timezone=None, memory_limit=settings.memory_limit, threads=settings.threads, temp_directory=folder
        ) as connection:
            addition = compacting.merge(connection, group.table, group.files, folder)
        with home.lock("lake"):
            lake.prepare(home)
            there = {*lake.snapshot(home).paths(group.table)}
            if not all(file.path in there for file in group.files):
                return False
            lake.commit(home, [f"compact-{uuid.uuid4().hex}"], [addition], instead_of=group.files)
            return True
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def _finish(home: Home, found: dict[str, Compacted], *, grace_hours: int, dry_run: bool) -> None:
    """Remove what nothing names any more, unless somebody builds over the lake as it was; and shorten the log."""
    with _alone(home) as alone, home.lock("lake"):
        lake.prepare(home)
        now, named = lake.snapshot(home), _named_by_snapshots(home)
        for table, made in found.items():
            made.bytes_after = _size(now.paths(table))
            gone = delta.left(home.lake / table, grace_hours) if alone else []
            old = [path for path in gone if str(path) not in named]
            made.removed = len(old)
            if not dry_run:
                for path in old:
                    path.unlink(missing_ok=True)
                delta.shorten_log(home.lake / table)


@contextmanager
def _alone(home: Home) -> Iterator[bool]:
    """Whether nobody builds, who might publish a snapshot that names what left the lake since it began."""
    with ExitStack() as held:
        try:
            held.enter_context(home.lock("tables", wait=0))
        except LockTimeoutError:
            yield False
        else:
            yield True


def _named_by_snapshots(home: Home) -> set[str]:
    """The files that the catalog of a kept snapshot names."""
    found: set[str] = set()
    for path in (home.tables / "snapshots").glob(f"*/{CATALOG}"):
        with duckdb.connect(str(path), read_only=True) as database:
            views = database.execute("SELECT sql FROM duckdb_views() WHERE schema_name = 'lake'").fetchall()
        found |= {name for (sql,) in views for name in _NAMED.findall(sql)}
    return found


def _size(paths: Iterable[str]) -> int:
    return sum(os.stat(path).st_size for path in paths)  # noqa: PTH116 - names are enough
