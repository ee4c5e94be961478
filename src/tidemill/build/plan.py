"""What a build would do, how each table stands, what the checks find: looked at, without building or waiting."""

from __future__ import annotations

from dataclasses import dataclass, replace
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from tidemill.build import breaches as build_breaches
from tidemill.build import staleness
from tidemill.build.checks import run as checks_run
from tidemill.build.checks import scope
from tidemill.build.run import look
from tidemill.catalog import tables as catalog_tables
from tidemill.config import duration
from tidemill.engine import connection as engine_connection
from tidemill.errors import DamagedError
from tidemill.lake import commits, relations
from tidemill.lake import schema as lake_schema
from tidemill.lake.retention import REASON, is_sealed
from tidemill.query import window
from tidemill.snapshots import lineage, publish
from tidemill.snapshots import manifest as snapshots_manifest

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.build.context import Build
    from tidemill.build.outcome import Outcome
    from tidemill.config.settings import Settings
    from tidemill.home.home import Home


@dataclass(frozen=True)
class Step:
    """A partition that a build would build or drop, and why."""

    table: str
    partition: str
    why: str


@dataclass(frozen=True)
class TableStatus:
    """A table as it stands: partitions, how many of them are stale and why, rows, and when it was last built.

    `sealed` counts its partitions that have a pruned day, `breaches` its rows that are beyond a threshold.
    """

    table: str
    partitions: int
    stale: int
    why: str
    rows: int
    built_at: str
    sealed: int = 0
    breaches: int = 0


def plan(
    home: Home,
    settings: Settings,
    *,
    names: Sequence[str] = (),
    as_of: datetime | str | None = None,
    full: bool = False,
    lenient: bool = False,
) -> list[Step]:
    """Plan a build of all tables, or of some and their inputs, in build order; `lenient` as in `look`."""
    wanted = catalog_tables.with_inputs(names)
    with look(home, settings, as_of=as_of, full=full, lenient=lenient) as build:
        return [step for name in wanted for step in _steps(build, catalog_tables.table(name))]


def _steps(build: Build, table: catalog_tables.Table) -> list[Step]:
    """A table's steps; for the tables that read it, it then stands as if they had been done."""
    known = build.known(table.name)
    work = staleness.work(build, table)
    steps = [Step(table.name, value, why) for value, why in work.why(known).items()]
    stays = {value: made for value, made in known.items() if value not in work.gone}
    made = {value: {"fingerprint": mark.fingerprint} for value, mark in work.stale.items()}
    build.states[table.name] = snapshots_manifest.TableState(stays | made)
    return steps


def status(home: Home, settings: Settings, names: Sequence[str] = ()) -> list[TableStatus]:
    """What is fresh and what is stale, a row a table: of all, or of some and what they read."""
    manifest = publish.current(home)
    steps = plan(home, settings, names=names, lenient=True)
    breached = build_breaches.counted(manifest.breaches) if manifest.breaches else {}
    pruned = commits.pruned_before(home)
    return [
        replace(
            _status(
                name, manifest.tables.get(name, snapshots_manifest.TableState()), [s for s in steps if s.table == name]
            ),
            sealed=_sealed(name, manifest, pruned, settings.timezone),
            breaches=breached.get(name, 0),
        )
        for name in catalog_tables.with_inputs(names)
    ]


def _sealed(name: str, manifest: snapshots_manifest.Manifest, pruned: str, timezone: str) -> int:
    if name not in manifest.tables or catalog_tables.table(name).partition not in duration.PERIODS:
        return 0
    periods = manifest.tables[name].partitions.keys() - {staleness.EMPTY}
    return sum(is_sealed(period, pruned, timezone) for period in periods)


def setbacks(home: Home) -> list[str]:
    """Return why no build can go on with a lake that came back from an older copy, as a line."""
    before, now = publish.current(home), commits.current(home)
    with engine_connection.connect(timezone=None) as connection:
        faults = lineage.faults(home, connection, before, now)
    return [str(DamagedError(faults))] if faults else []


def later(home: Home) -> list[str]:
    """How many records came too late for sealed partitions, as a line; none if none did."""
    now = commits.current(home)
    held = relations.held(*(now.paths(table) for table in ("quarantine", "released", "loads"))) if now.pruned else None
    if held is None:
        return []
    with engine_connection.connect(timezone=None) as connection:
        count = relations.held_for(connection, held, REASON)
    what = "1 later record is" if count == 1 else f"{count:,} later records are"
    line = f"{what} missing from sealed partitions, and in lake.quarantine: of days that were pruned ({now.pruned})"
    return [line] if count else []


def _status(name: str, state: snapshots_manifest.TableState, steps: Sequence[Step]) -> TableStatus:
    partitions = state.partitions.values()
    return TableStatus(
        table=name,
        partitions=len(partitions),
        stale=len(steps),
        why=", ".join(sorted({step.why for step in steps})),
        rows=sum(int(partition["rows"]) for partition in partitions),
        built_at=max((str(partition["built_at"]) for partition in partitions), default=""),
    )


def check(home: Home, settings: Settings, *, deep: bool = False) -> list[Outcome]:
    """Every check over what is published: over what the newest build built of it, or over all of it."""
    with look(home, settings) as build:
        return checks_run.outcomes(scope.of_snapshot(build, deep=deep))


def emptiness(home: Home) -> list[str]:
    """What a reader must know of tables that say nothing: an empty lake, or windows that end long after it does."""
    days = {file.day for kind in lake_schema.RECORD_TABLES for file in commits.current(home).of(kind)}
    if not days:
        return [f"{home.lake} holds no records yet; load some with: tidemill ingest FILE"]
    if max(days) >= str(datetime.now(UTC).date() - timedelta(days=1)):
        return []
    return [f"windows end now, but the newest record is of {max(days)}; to end them there: --as-of {window.LATEST}"]
