"""Building what is stale, over the lake as it was when the build began, and publishing it all at once."""

from __future__ import annotations

import shutil
import uuid
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tidemill.build import staleness
from tidemill.build import tables as build_tables
from tidemill.build import thresholds as build_thresholds
from tidemill.build.checks import definitions
from tidemill.build.checks import run as checks_run
from tidemill.build.file_layout import layout
from tidemill.catalog import tables as catalog_tables
from tidemill.engine import connection as engine_connection
from tidemill.engine import session
from tidemill.engine.clock import PERIODS
from tidemill.errors import BuildError
from tidemill.home import disk_errors, file_digest, format_version
from tidemill.lake import commits
from tidemill.maintenance import vacuum
from tidemill.query import window
from tidemill.snapshots import baseline, catalog_files, lineage, publish
from tidemill.snapshots.catalog_db import CATALOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from datetime import date, datetime
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.build.tables import Built
    from tidemill.catalog.tables import Table
    from tidemill.config.settings import Settings
    from tidemill.errors import TableError
    from tidemill.home.home import Home
    from tidemill.lake.commits import DataFile, Snapshot
    from tidemill.snapshots.publish import Manifest, TableState


@dataclass
class Build:
    """A build that is going on: what the lake holds, what is published, and what has been built so far.

    `fresh` are the tables that were looked at and are as the lake is now, `failed` those that could not be built,
    `waiting` those that read such a table: both stay as they were published. `thresholds` are as evaluated last, and
    `breached` are the new breaches that this found. Of the periods between two `days` all are stale.
    Of `trusted` files the content was seen to be what was written.
    """

    home: Home
    settings: Settings
    lake: Snapshot
    before: Manifest
    connection: DuckDBPyConnection
    folder: Path
    as_of: datetime
    asked: bool
    full: bool
    days: tuple[date, date] | None = None
    checks: str = ""
    forget: bool = False
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    records: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    states: dict[str, TableState] = field(default_factory=dict)
    built: list[Built] = field(default_factory=list)
    fresh: set[str] = field(default_factory=set)
    failed: dict[str, TableError] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    thresholds: dict[str, dict[str, Any]] = field(default_factory=dict)
    breached: Sequence[tuple[Any, ...]] = ()
    others: list[DuckDBPyConnection] = field(default_factory=list)
    trusted: set[str] = field(default_factory=set)

    def another(self, number: int) -> DuckDBPyConnection:
        """A further connection to the same database, made when it is first asked for."""
        while len(self.others) <= number:
            self.others.append(engine_connection.beside(self.connection, self.settings.timezone))
        return self.others[number]

    @property
    def changed(self) -> bool:
        """Whether there is something to publish: a table, what readers see of the lake, or other thresholds.

        The catalog of an older tidemill is published again, too, so that older versions of DuckDB can open it.
        """
        return (
            self.states != self.before.tables
            or publish.lake_digest(self.lake) != self.before.lake_digest
            or str(self.home.path) != self.before.home
            or self.before.format != format_version.FORMAT
            or catalog_files.is_outdated(self.before.folder / CATALOG)
            or build_thresholds.redefined(self)
            or self.rechecked
        )

    @property
    def rechecked(self) -> bool:
        """Whether a check is another than when the newest snapshot was published: it has not seen what is in there."""
        return bool(self.before.id) and self.checks != self.before.checks

    def known(self, table: str) -> Mapping[str, dict[str, Any]]:
        """The partitions of a table as they stand: published, or built by now."""
        return self.states[table].partitions if table in self.states else {}

    def inputs(self, table: Table) -> list[Table]:
        """The other tables that a table reads, as far as they are built."""
        return [catalog_tables.table(name) for name in sorted(table.reads & self.states.keys())]

    def of_lake(self, kind: str, days: Iterable[str] | None = None) -> list[DataFile]:
        """The lake's files of a kind of record, to be read; DamagedError if one is not what was written."""
        found = self.lake.of(kind, days)
        file_digest.examine([file.path for file in found], self.trusted)
        return found

    def kept(self, table: str, names: Iterable[str]) -> list[str]:
        """A table's files, to be read; DamagedError if one is not what was published."""
        found = [self.file(table, name) for name in names]
        published = (str(path) for path in found if path.is_relative_to(self.before.folder))
        file_digest.examine(published, self.trusted)
        return [str(path) for path in found]

    def file(self, table: str, name: str) -> Path:
        """A table's file: of the snapshot before, or of this build."""
        kept = self.before.folder / table / name
        return kept if kept.exists() else self.folder / name

    def files(self, table: Table, periods: Iterable[str] | None = None) -> list[str]:
        """A table's files, in order: all, or those of some periods; one where there is none, for its columns."""
        state = self.states[table.name]
        names = [name for _, name in sorted(state.files.items())]
        if periods is not None:
            holds = layout(state.partitions)
            names = [state.files[first] for first in sorted({holds[p] for p in periods if p in holds})] or names[:1]
        return self.kept(table.name, names)


@contextmanager
def begin(
    home: Home,
    settings: Settings,
    *,
    as_of: datetime | str | None = None,
    full: bool = False,
    days: tuple[date, date] | None = None,
) -> Iterator[Build]:
    """Start a build: it holds the tables alone, over the lake as it is now; `as_of` may be `latest`.

    With `days` every period that has a day from the first to the last of them is stale.

    Raises:
        UsageError: `as_of` is no time, the home cannot be written, or a threshold is none.
        LockTimeoutError: another build holds the tables.
        StorageError: the disk refuses, now or while the build goes on; nothing is published.
    """
    build_thresholds.check(home, settings)
    with disk_errors.guarded(home.path), home.lock("tables"):
        publish.mend(home, durable=settings.durable)
        folder = home.tables / f"{publish.UNFINISHED}{uuid.uuid4().hex}"
        home.make(folder)
        try:
            with _over(home, settings, folder, as_of=as_of, full=full) as build:
                build.days = days
                yield build
        finally:
            shutil.rmtree(folder, ignore_errors=True)


@contextmanager
def look(
    home: Home,
    settings: Settings,
    *,
    as_of: datetime | str | None = None,
    full: bool = False,
    lenient: bool = False,
) -> Iterator[Build]:
    """A build that is not to be built: it waits for no other build, and makes nothing where there is no home.

    A `lenient` one also looks at a lake that came back from an older copy, of which nothing may be built.
    """
    with _over(home, settings, None, as_of=as_of, full=full, lenient=lenient) as build:
        yield build


@contextmanager
def _over(
    home: Home,
    settings: Settings,
    folder: Path | None,
    *,
    as_of: datetime | str | None,
    full: bool,
    lenient: bool = False,
) -> Iterator[Build]:
    before = publish.current(home)
    now = commits.current(home)
    baseline.check(home, before, now)
    with session.connect(home, settings, timezone=settings.timezone, spill=folder) as connection:
        if not lenient:
            lineage.check(home, connection, before, now)
        yield Build(
            home=home,
            settings=settings,
            lake=now,
            before=before,
            connection=connection,
            folder=folder or home.tables,
            as_of=window.end(connection, now, as_of),
            asked=as_of is not None,
            full=full,
            records=staleness.records(home, connection, now, before),
            states=_standing(before),
            thresholds=dict(before.thresholds),
        )


def _standing(before: Manifest) -> dict[str, TableState]:
    """What is published of the tables that there still are; one whose files an older version laid out is new."""
    tables = catalog_tables.tables()
    return {
        name: state
        for name, state in before.tables.items()
        if name in tables
        and (tables[name].partition not in PERIODS or {*layout(state.partitions).values()} == state.files.keys())
    }


def run(
    home: Home,
    settings: Settings,
    *,
    names: Sequence[str] = (),
    as_of: datetime | str | None = None,
    full: bool = False,
    forget: bool = False,
    despite: Sequence[str] = (),
    progress: Callable[[str, int, int], None] | None = None,
    say: Callable[[str], None] | None = None,
) -> list[Built]:
    """Build what is stale of all tables, or of some and what they read, check it, and publish it all at once.

    `progress` is called with each table that is built, `say` with a line for each that fails, for what checks find
    and for each new breach of a threshold.

    Raises:
        BuildError: some tables could not be built; the others are published.
        CheckError: a check failed that is not in `despite`; nothing is published.
    """
    wanted = catalog_tables.with_inputs(names)
    approved = definitions.known(home, despite)
    with begin(home, settings, as_of=as_of, full=full) as build:
        build.forget = forget
        build_tables.each(build, wanted, progress, say)
        build.built.sort(key=lambda built: wanted.index(built.table))
        if progress:
            progress("publish", len(wanted), len(wanted))
        finish(build, despite=approved, say=say)
    vacuum.now_and_then(home)
    if build.failed:
        raise BuildError(build.built, list(build.failed.values()), build.waiting)
    return build.built


def finish(build: Build, *, despite: Sequence[str] = (), say: Callable[[str], None] | None = None) -> str | None:
    """Check what was built, evaluate the thresholds, and publish it, if anything changed; returns the snapshot's id.

    `say` is called with a line for what checks find that is no reason to stop, and for each new breach.

    Raises:
        CheckError: a check failed that is not in `despite`; nothing is published.
    """
    build.checks = definitions.definitions(build.home)
    if not build.changed:
        return None
    waived = checks_run.approve(build, despite=despite, say=say)
    breached = build_thresholds.evaluate(build)
    published = publish.publish(build, despite=waived)
    if say:
        for line in breached:
            say(line)
    return published
