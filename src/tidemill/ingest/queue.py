"""New loads on their way into the lake: staged beside it, some at the same time, then settled and committed."""

from __future__ import annotations

import shutil
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.engine import connection as engine_connection
from tidemill.engine import parallel, session
from tidemill.errors import TidemillError
from tidemill.home import staging_dir
from tidemill.ingest import failures as ingest_failures
from tidemill.ingest import pending_jobs
from tidemill.ingest.dedup import carriers, settle
from tidemill.ingest.sql import release, validation
from tidemill.ingest.staging import bundles, stage
from tidemill.ingest.staging import write as staging_write
from tidemill.lake import commits, relations
from tidemill.lake.retention import opening
from tidemill.records import JOB

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from duckdb import DuckDBPyConnection

    from tidemill.config.settings import Settings
    from tidemill.home.home import Home
    from tidemill.ingest.load import Load
    from tidemill.ingest.seen_files import Memory

ROWS_A_COMMIT: Final = 2_000_000
LOADS_A_COMMIT: Final = 5_000
FEWEST_BUNDLED: Final = 2
SIDE_BY_SIDE_BYTES: Final = 256 << 20
"""Files of so many bytes are gathered, to be staged some at a time; each counts as one of LEAST_BYTES at least."""
LEAST_BYTES: Final = 16 << 20


class OvertakenError(TidemillError):
    """Another retry took the same records out of the quarantine first; what is left of them may be fed again."""

    transient = True


@dataclass
class Report:
    """What an ingest did with one source: the ledger's rows of its loads, and what was no load.

    `again` counts the loads of files that were loaded before, in another format.
    """

    source: str
    loads: list[dict[str, object]] = field(default_factory=list)
    unchanged: int = 0
    again: int = 0
    empty: list[str] = field(default_factory=list)
    failures: list[TidemillError] = field(default_factory=list)

    def total(self, column: str) -> int:
        """The sum of one of the ledger's counts."""
        return sum(int(str(load[column])) for load in self.loads)


@dataclass
class Loader:
    """What loads into one home: its connections and the loads that are known are looked for when a first is new."""

    home: Home
    settings: Settings
    begun: set[str] = field(default_factory=set)
    ledger: frozenset[str] = frozenset()

    @cached_property
    def connection(self) -> DuckDBPyConnection:
        """A connection on which loads can be staged and settled."""
        return open_connection(self.home, self.settings)

    @cached_property
    def connections(self) -> list[DuckDBPyConnection]:
        """As many to the same database as loads are staged at the same time."""
        more = range(parallel.at_once(self.connection, parallel.AT_ONCE) - 1)
        return [self.connection, *(_prepared(engine_connection.beside(self.connection)) for _ in more)]

    @cached_property
    def done(self) -> set[str]:
        """The ids of the loads in the ledger."""
        with self.home.lock("lake"):
            commits.prepare(self.home)
            ledger = commits.snapshot(self.home).paths("loads")
        self.ledger = frozenset(ledger)
        return set(relations.rows_by_load(self.connection, ledger)) if ledger else set()


@dataclass
class Queue:
    """The new loads of one source in their order: first those that wait to be staged, then those that are."""

    loader: Loader
    memory: Memory
    report: Report
    waiting: list[Load] = field(default_factory=list)
    small_bytes: int = 0
    large_bytes: int = 0
    staged: list[Load] = field(default_factory=list)
    lenient: bool = False

    def take(self, load: Load) -> None:
        """Take one more load; what is full is staged and committed."""
        self.waiting.append(load)
        if bundles.fits(load):
            self.small_bytes += load.bytes
        else:
            self.large_bytes += max(load.bytes, LEAST_BYTES)
        if (
            self.small_bytes >= bundles.MOST_BUNDLED
            or self.large_bytes >= SIDE_BY_SIDE_BYTES
            or len(self.waiting) >= bundles.MOST_LOADS
            or load.large  # it keeps all processors busy by itself
        ):
            self._stage_waiting()

    def flush(self) -> None:
        """Stage and commit whatever is left."""
        self._stage_waiting()
        self._commit()

    def drop(self) -> None:
        """Remove what was staged and is not to be committed: it takes room on the disk."""
        _remove(self.staged)

    def _stage_waiting(self) -> None:
        """Stage small loads as one and others side by side, but for a large one, which is the last."""
        loads, self.waiting = self.waiting, []
        self.small_bytes = self.large_bytes = 0
        small = [load for load in loads if bundles.fits(load)]
        try:
            if len(small) >= FEWEST_BUNDLED:
                self._stage_together(small)
            found = self._stage_alone([load for load in loads if not (load.carrier or load.large)])
        except BaseException:
            _remove(loads)
            raise
        self._add([load for load in loads if not (load.large or load.load_id in found)])
        for load in loads[-1:] if loads and loads[-1].large else []:
            if error := self._try(self.loader.connection, load):
                found[load.load_id] = error
            else:
                self._add([load])
        for load in loads:
            if load.load_id in found:
                self.loader.begun.discard(load.load_id)
                self.report.failures.append(found[load.load_id])

    def _stage_together(self, loads: Sequence[Load]) -> None:
        """Stage loads as one; they have no carrier where only each by itself can say what is wrong with it."""
        connection, place = self.loader.connection, staging_dir.of(self.loader.home)
        try:
            with bundles.bundle(loads, place) as carrier:
                if carrier:
                    self._stage(connection, carrier)
        except Exception as error:  # noqa: BLE001 - what is of the home is raised again
            ingest_failures.of_staging(error, "a file", place)
            for load in loads:
                load.carrier = None

    def _stage_alone(self, loads: Sequence[Load]) -> dict[str, TidemillError]:
        """Stage loads each by itself, some at the same time; what is wrong with those that cannot be used.

        Those that lack memory then are tried once more, one by one.
        """
        found: dict[str, TidemillError] = {}
        if not loads:
            return found
        connection, *others = self.loader.connections[: len(loads)]
        needs: dict[int, Sequence[int]] = dict.fromkeys(range(len(loads)), ())
        tried = parallel.share(
            [connection, *others],
            needs,
            lambda own, number: self._try(own, loads[number], alone=not others),
            lambda own: own.interrupt(),
        )
        for load, first in zip(loads, tried.values(), strict=True):
            error = first
            if others and error and isinstance(error.__cause__, duckdb.OutOfMemoryException):
                error = self._try(connection, load)
            if error:
                found[load.load_id] = error
        return found

    def _try(self, connection: DuckDBPyConnection, load: Load, *, alone: bool = True) -> TidemillError | None:
        """Stage a load; what is wrong with it, if it cannot be used."""
        lines = load.fast and not load.large
        load.lenient = lines and self.lenient  # the files of a source are like each other
        try:
            self._stage(connection, load, alone=alone)
        except Exception as error:  # noqa: BLE001 - what is of the home is raised again
            return ingest_failures.of_staging(error, load.uri, load.folder)
        self.lenient = self.lenient or (lines and load.lenient)
        return None

    @staticmethod
    def _stage(connection: DuckDBPyConnection, load: Load, *, alone: bool = True) -> None:
        try:
            stage.stage(connection, load, alone=alone)
            stage.stage_head(connection, load, alone=alone)
        except BaseException:
            shutil.rmtree(load.folder, ignore_errors=True)
            raise

    def _add(self, loads: Sequence[Load]) -> None:
        if loads and self.staged and (loads[0].large or self.staged[-1].large or self._is_full()):
            self._commit()
        self.staged += loads

    def _is_full(self) -> bool:
        return sum(load.rows for load in self.staged) >= ROWS_A_COMMIT or len(self.staged) >= LOADS_A_COMMIT

    def _commit(self) -> None:
        batch, self.staged = self.staged, []  # from here on the commit clears up after them, or a journal names them
        if batch:
            loader = self.loader
            committed = commit(loader.home, loader.connection, batch, loader.ledger, loader.settings)
            self.report.loads += committed
            self.report.unchanged += len(batch) - len(committed)  # others loaded the same meanwhile
            self.memory.keep(batch)
            loader.done |= {load.load_id for load in batch}


def _remove(loads: Sequence[Load]) -> None:
    """Remove what was staged of some loads."""
    for load in carriers(loads):
        shutil.rmtree(load.folder, ignore_errors=True)


def open_connection(home: Home, settings: Settings) -> DuckDBPyConnection:
    """A connection on which loads can be staged and settled."""
    return _prepared(session.connect(home, settings, timezone=None, spill=staging_dir.of(home)))


def _prepared(connection: DuckDBPyConnection) -> DuckDBPyConnection:
    connection.execute(validation.MACROS)
    staging_write.tune(connection)
    return connection


def commit(
    home: Home, connection: DuckDBPyConnection, batch: Sequence[Load], known: Collection[str], settings: Settings
) -> list[dict[str, object]]:
    """Settle staged loads and append them to the lake as one commit; returns the ledger's new rows.

    None of the loads is in the files of the ledger that are `known`; those that others finished since are left out.
    Records of reporting days that were pruned are refused.

    Raises:
        OvertakenError: records that a retry feeds left the quarantine by a file of the lake that is not `known`.
    """
    if not batch:
        return []
    settled = staging_dir.of(home) / uuid.uuid4().hex
    with ExitStack() as staged:
        for folder in (settled, *(load.folder for load in carriers(batch))):
            staged.callback(shutil.rmtree, folder, ignore_errors=True)
        with home.lock("lake"):
            commits.prepare(home)
            now = commits.snapshot(home)
            since = [path for path in now.paths("loads") if path not in known]
            finished = relations.rows_by_load(connection, since) if since else {}
            fresh = [load for load in batch if load.load_id not in finished]
            if not fresh:
                return []
            if any(_overtaken(connection, load, now, known) for load in fresh):
                raise OvertakenError
            additions, ledger = settle(connection, now, fresh, settled, opening(now.pruned, settings.timezone))
            if additions:
                if fresh[0].kind != "retry" and any(addition.table == JOB.table for addition in additions):
                    pending_jobs.begin(home)
                ids = [str(row["load_id"]) for row in ledger]
                commits.commit(home, ids, additions, staged=staged, durable=settings.durable)
            return ledger


def _overtaken(connection: DuckDBPyConnection, load: Load, now: commits.Snapshot, known: Collection[str]) -> bool:
    if load.kind != "retry":
        return False
    return release.overtaken(connection, load, [path for path in now.paths("released") if path not in known])
