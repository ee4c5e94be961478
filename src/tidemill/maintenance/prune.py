"""Less history: the records of old days leave the lake, and if it is asked for the tables' rows of those days, too."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tidemill.build import run as build_run
from tidemill.build.staleness import EMPTY
from tidemill.catalog import tables as catalog_tables
from tidemill.config import duration
from tidemill.errors import UsageError
from tidemill.home import disk_errors
from tidemill.lake import commits
from tidemill.lake import schema as lake_schema
from tidemill.lake.retention import is_gone
from tidemill.maintenance.vacuum import vacuum
from tidemill.snapshots import manifest, publish

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date

    from tidemill.catalog.tables import Table
    from tidemill.config.settings import Settings
    from tidemill.home.home import Home


@dataclass(frozen=True)
class Pruned:
    """What leaves a table of the lake (files, rows), or a published table (partitions, rows)."""

    table: str
    days: int
    rows: int


def prune(
    home: Home,
    settings: Settings,
    *,
    keep: str,
    tables: bool = False,
    dry_run: bool = False,
    today: date | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Pruned]:
    """Remove the records of whole UTC days that are older than `keep` (90d), and with `tables` what tables say of them.

    A day, week or month of a table that has a pruned day is sealed: it stays as it is and is never built again. With
    `tables` those go that were pruned as a whole.

    Raises:
        UsageError: `keep` is no number of days.
        StorageError: the disk refuses; the next run goes on.
    """
    with disk_errors.guarded(home.path):
        return _prune(home, settings, keep, tables=tables, dry_run=dry_run, today=today, say=say)


def _prune(
    home: Home,
    settings: Settings,
    keep: str,
    *,
    tables: bool,
    dry_run: bool,
    today: date | None,
    say: Callable[[str], None] | None,
) -> list[Pruned]:
    before = _first_kept(keep, today or datetime.now(UTC).date())
    now = commits.current(home)
    found = [_of_lake(now, table, before) for table in lake_schema.RECORD_TABLES]
    found += _of_tables(home, settings, max(before, now.pruned)) if tables else []
    if not dry_run:
        with home.lock("lake"):
            commits.prepare(home)
            commits.prune(home, before)
        vacuum(home)
        if tables:
            build_run.run(home, settings, forget=True, say=say)
    return [pruned for pruned in found if pruned.days]


def _first_kept(keep: str, today: date) -> str:
    hours = duration.hours(keep)
    if hours is None or hours % 24:
        raise UsageError(f"keep takes a number of days like 90d; not {keep}")
    try:
        return str(today - timedelta(hours=hours))
    except OverflowError:
        raise UsageError(f"keep {keep} is before the beginning of time") from None


def _of_lake(now: commits.Snapshot, table: str, before: str) -> Pruned:
    files = [file for file in now.of(table) if file.day < before]
    return Pruned(f"lake.{table}", len({file.day for file in files}), sum(file.rows for file in files))


def _of_tables(home: Home, settings: Settings, pruned: str) -> list[Pruned]:
    states = publish.current(home).tables
    periods = [table for table in catalog_tables.tables().values() if table.partition in duration.PERIODS]
    return [_of_table(states.get(table.name, manifest.TableState()), table, settings, pruned) for table in periods]


def _of_table(state: manifest.TableState, table: Table, settings: Settings, pruned: str) -> Pruned:
    gone = [
        made
        for value, made in state.partitions.items()
        if value != EMPTY and is_gone(value, table.partition, pruned, settings.timezone)
    ]
    return Pruned(table.name, len(gone), sum(int(made["rows"]) for made in gone))
