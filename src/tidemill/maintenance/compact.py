"""Fewer files in the lake: the small ones of a day become one, and files that nothing names any more are removed.

The new file is written beside the lake, without the lock; under it the commit only says that it takes the others'
place. That changes no data, so nothing becomes stale.
"""

from __future__ import annotations

import os
import shutil
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from tidemill.engine import session
from tidemill.home import disk_errors, file_digest, staging_dir
from tidemill.lake import commits, delta
from tidemill.lake import schema as lake_schema
from tidemill.lake import state as lake_state
from tidemill.maintenance import merging
from tidemill.maintenance.vacuum import GRACE_SECONDS, vacuum

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tidemill.config.settings import Settings
    from tidemill.home.home import Home
    from tidemill.lake.commits import Snapshot
    from tidemill.lake.schema import DataFile

SMALL_BYTES: Final = 128 << 20
"""A larger file is left as it is."""


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


def compact(home: Home, settings: Settings, *, dry_run: bool = False, grace: float = GRACE_SECONDS) -> list[Compacted]:
    """Make one file of a day's small ones, in every table, and remove old files; what that did to each table.

    Old are those that left the lake `grace` seconds ago, and that no kept snapshot names. With `dry_run` nothing is
    done: the bytes after it are not known, and are those before.

    Raises:
        StorageError: the disk refuses; what was done before stays.
    """
    with disk_errors.guarded(home.path):
        return _compact(home, settings, dry_run=dry_run, grace=grace)


def _compact(home: Home, settings: Settings, *, dry_run: bool, grace: float) -> list[Compacted]:
    now = commits.current(home)
    file_digest.glance(lake_state.stamps(file for table in lake_schema.TABLES for file in now.of(table)))
    found = {
        table: Compacted(table, files=len(now.of(table)), bytes=_size(now.paths(table))) for table in lake_schema.TABLES
    }
    for group in _groups(now):
        made = found[group.table]
        made.days += 1
        made.files_after -= len(group.files) - 1
        if not dry_run:
            with staging_dir.held(home):
                replaced = _replace(home, settings, group)
            made.files_after += 0 if replaced else len(group.files) - 1
    for made in found.values():
        made.files_after += made.files
        made.bytes_after = made.bytes
    if home.lake.is_dir():
        if not dry_run:
            _finish(home, found)
        for table, count in vacuum(home, grace=grace, dry_run=dry_run).items():
            found[table].removed = count
    return list(found.values())


def _groups(now: Snapshot) -> list[_Group]:
    """The small files of each table and day, where there is more than one."""
    groups: dict[tuple[str, str], _Group] = {}
    for table in lake_schema.TABLES:
        for file in now.of(table):
            if file.size < SMALL_BYTES:
                groups.setdefault((table, file.day), _Group(table)).files.append(file)
    return [group for group in groups.values() if len(group.files) > 1]


def _replace(home: Home, settings: Settings, group: _Group) -> bool:
    """Put one file in the place of some; False if one of them is not in the lake any more."""
    folder = staging_dir.of(home) / uuid.uuid4().hex
    folder.mkdir()
    with ExitStack() as staged:
        staged.callback(shutil.rmtree, folder, ignore_errors=True)
        with session.connect(home, settings, timezone=None, spill=folder) as connection:
            addition = merging.merge(connection, group.table, group.files, folder)
        with home.lock("lake"):
            commits.prepare(home)
            there = {*commits.snapshot(home).paths(group.table)}
            if not all(file.path in there for file in group.files):
                return False
            name, durable = f"compact-{uuid.uuid4().hex}", settings.durable
            commits.commit(home, [name], [addition], instead_of=group.files, staged=staged, durable=durable)
            return True


def _finish(home: Home, found: dict[str, Compacted]) -> None:
    """Shorten the log of each table, and see how large the table is now."""
    with home.lock("lake"), staging_dir.held(home):
        commits.prepare(home)
        now = commits.snapshot(home)
        for table, made in found.items():
            made.bytes_after = _size(now.paths(table))
            delta.shorten_log(home.lake / table, beside=staging_dir.of(home))


def _size(paths: Iterable[str]) -> int:
    return sum(os.stat(path).st_size for path in paths)  # noqa: PTH116 - names are enough
