"""Rebuilding the stale partitions of a table, and of all tables after those that they read, some at the same time."""

from __future__ import annotations

import time
from datetime import UTC, datetime
from functools import partial
from typing import TYPE_CHECKING, Any

import duckdb

from tidemill.build import partitions as build_partitions
from tidemill.build import scheduler, staleness
from tidemill.build.outcome import Built
from tidemill.catalog import tables as catalog_tables
from tidemill.engine import messages, parallel, relations
from tidemill.errors import TableError, UsageError
from tidemill.home import disk_errors
from tidemill.snapshots.manifest import TableState

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from tidemill.build.context import Build
    from tidemill.build.staleness import Mark
    from tidemill.catalog.tables import Table


def each(
    build: Build,
    wanted: Sequence[str],
    progress: Callable[[str, int, int], None] | None,
    say: Callable[[str], None] | None,
    through: Callable[[Build, str, Callable[[], None] | None], object] | None = None,
) -> None:
    """Build tables, some at the same time; those that then lack memory once more, each alone.

    A scheduler gives what a table is built `through`: it calls `build_table`, and may do it again.
    """
    together = parallel.at_once(build.connection, len(wanted)) > 1
    lacking: list[str] = []

    def one(own: Build, name: str, *, last: bool) -> None:
        report = partial(progress, name, len(build.fresh), len(wanted)) if progress else None
        try:
            (through or build_table)(own, name, report)
        except TableError as error:
            if not last and isinstance(error.__cause__, duckdb.OutOfMemoryException):
                lacking.append(name)
            elif say:
                say(str(error))

    needs = {name: catalog_tables.table(name).reads & {*wanted} for name in wanted}
    scheduler.each(build, needs, lambda own, name: one(own, name, last=not together))
    if lacking:
        again = {*lacking, *build.waiting}
        for name in lacking:
            del build.failed[name]
        build.waiting.clear()
        for name in wanted:
            if name in again:
                one(build, name, last=True)


def build_table(build: Build, name: str, begin: Callable[[], None] | None = None) -> Built | None:
    """Build the stale partitions of one table; None when none is, or when it waits for a table that failed.

    `begin` is called when there is something to build. After a failure the build may go on with other tables.

    Raises:
        TableError: its select, or what it reads, cannot be used; the message names table, file and line.
        StorageError: the disk refuses what is written; no other table will fare better.
    """
    table = catalog_tables.table(name)
    if table.reads & {*build.failed, *build.waiting}:
        build.waiting.append(name)
        return None
    try:
        built = _build_stale(build, table, begin)
    except duckdb.InterruptException:  # another table's end is the build's
        raise
    except (duckdb.Error, UsageError) as error:
        disk_errors.check(error, build.folder)
        why = messages.located(table.file, error) if isinstance(error, duckdb.Error) else str(error)
        build.failed[name] = TableError(f"table {name} cannot be built: {why}")
        raise build.failed[name] from error
    build.fresh.add(name)
    return built


def _build_stale(build: Build, table: Table, begin: Callable[[], None] | None) -> Built | None:
    started = time.monotonic()
    work = staleness.work(build, table)
    if not work:
        return None
    if begin:
        begin()
    name = table.name
    why = tuple(sorted({*work.why(build.known(name)).values()}))
    files = build.states[name].files if name in build.states else {}
    try:
        found, rows = _written(build, table, work, files)
    finally:
        relations.unbind(build.connection, {*table.reads, *catalog_tables.with_inputs([name])})
    seconds = time.monotonic() - started
    stays = {value: made for value, made in build.known(name).items() if value not in work.gone}
    share = seconds / max(1, len(work.stale))
    made = {value: _history(build, mark, rows[value], share) for value, mark in work.stale.items()}
    build.states[name] = TableState(stays | made, dict(found))
    built = Built(name, tuple(sorted((*work.stale, *work.gone))), sum(rows.values()), seconds, why)
    build.built.append(built)
    return built


def _written(
    build: Build, table: Table, work: staleness.Work, files: Mapping[str, str]
) -> tuple[Mapping[str, str], Mapping[str, int]]:
    """Write what there is to do of a table; if memory does not suffice, once more, sparing of it.

    What the first attempt left is of this build's own folder, and no name but the second's is published.
    """
    try:
        return build_partitions.write(build, table, work, files)
    except duckdb.OutOfMemoryException:
        return build_partitions.write(build, table, work, files, sparing=True)


def _history(build: Build, mark: Mark, rows: int, seconds: float) -> dict[str, Any]:
    """What is kept of how a partition came about."""
    return {
        "fingerprint": mark.fingerprint,
        "select": mark.select,
        "records": mark.records,
        "tables": mark.tables,
        "rows": rows,
        "seconds": seconds,
        "built_at": datetime.now(UTC).isoformat(),
        "run_id": build.run_id,
        **({"as_of": mark.as_of} if mark.as_of else {}),
    }
