"""Building what is stale, over the lake as it was when the build began, and publishing it all at once."""

from __future__ import annotations

import shutil
import uuid
from contextlib import contextmanager
from typing import TYPE_CHECKING

from tidemill.build import breaches, staleness
from tidemill.build import tables as build_tables
from tidemill.build import thresholds as build_thresholds
from tidemill.build.checks import definitions
from tidemill.build.checks import run as checks_run
from tidemill.build.context import Build
from tidemill.build.errors import BuildError
from tidemill.build.file_layout import layout
from tidemill.catalog import tables as catalog_tables
from tidemill.config.duration import PERIODS
from tidemill.engine import session
from tidemill.home import disk_errors, format_version
from tidemill.lake import commits
from tidemill.query import window
from tidemill.snapshots import baseline, catalog_files, lineage, manifest, publish
from tidemill.snapshots.catalog_db import CATALOG

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence
    from datetime import date, datetime
    from pathlib import Path

    from tidemill.build.outcome import Built
    from tidemill.config.settings import Settings
    from tidemill.home.home import Home
    from tidemill.snapshots.manifest import Manifest, TableState


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
    if not _has_changed(build):
        return None
    waived = checks_run.approve(build, deep=_has_other_checks(build), despite=despite, say=say)
    breached = build_thresholds.evaluate(build)
    published = publish.publish(_candidate(build, waived))
    if say:
        for line in breached:
            say(line)
    return published


def _candidate(build: Build, despite: Sequence[str]) -> publish.Candidate:
    """Return what a build made, with the failed checks that were waived noted at each of its partitions."""
    for state in build.states.values():
        for made in state.partitions.values():
            if made["run_id"] == build.run_id:
                made["despite"] = ", ".join(despite) or None
    folder = build.folder / "breaches"
    folder.mkdir()
    return publish.Candidate(
        home=build.home,
        settings=build.settings,
        lake=build.lake,
        connection=build.connection,
        folder=build.folder,
        states=build.states,
        records=build.records,
        thresholds=build.thresholds,
        checks=build.checks,
        breaches=folder,
        open_breaches=breaches.write(build.connection, folder),
        despite=despite,
        file=build.file,
    )


def _has_changed(build: Build) -> bool:
    """Return whether there is something to publish: a table, what readers see of the lake, or other thresholds.

    The catalog of an older tidemill is published again, too, so that older versions of DuckDB can open it.
    """
    return (
        build.states != build.before.tables
        or manifest.lake_digest(build.lake) != build.before.lake_digest
        or str(build.home.path) != build.before.home
        or build.before.format != format_version.FORMAT
        or catalog_files.is_outdated(build.before.folder / CATALOG)
        or build_thresholds.redefined(build)
        or _has_other_checks(build)
    )


def _has_other_checks(build: Build) -> bool:
    """Return whether a check is not the one of the newest publish: then it has not seen all tables."""
    return bool(build.before.id) and build.checks != build.before.checks
