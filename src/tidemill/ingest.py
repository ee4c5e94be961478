"""Source → records → lake: staging side by side with anything, settling and committing under the lake's lock."""

from __future__ import annotations

import shutil
import uuid
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import cached_property
from typing import TYPE_CHECKING, Final

from tidemill import formats, lake, session, storage, waiting, workplace
from tidemill.engines import bundle, checking, contract, relations, releasing, staging
from tidemill.engines.load import identity, of_portion
from tidemill.engines.settlement import carriers, settle
from tidemill.errors import SourceError, StorageError, TidemillError, UsageError
from tidemill.memory import Memory
from tidemill.records import JOB
from tidemill.sealed import opening
from tidemill.settings import Source, expanded
from tidemill.sources import files, finding

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.engines.load import Load
    from tidemill.formats import Format
    from tidemill.home import Home
    from tidemill.settings import Settings

ROWS_A_COMMIT: Final = 2_000_000
LOADS_A_COMMIT: Final = 2_000
FEWEST_BUNDLED: Final = 2


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


def ingest(
    home: Home,
    settings: Settings,
    found: Sequence[Source],
    *,
    reread: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Report]:
    """Ingest sources one after the other; a file that cannot be used is reported and the others go on.

    `progress` is called with (source, files done, files in all).

    Raises:
        StorageError: the disk refuses; what was committed before stays.
    """
    with storage.guarded(home.path), workplace.held(home):
        return _ingest(_Run(home, settings, reread=reread, progress=progress), found)


def _ingest(run: _Run, found: Sequence[Source]) -> list[Report]:
    home, settings = run.home, run.settings
    reports = [run.ingest(source) for source in found]
    if waiting.due(home) is not None or any(report.total("accepted") for report in reports):
        from tidemill.quarantine import retry_unknown_jobs

        reports += retry_unknown_jobs(home, settings)
    return reports


@dataclass
class _Run:
    """One ingest: the connection and the known loads are made when a first file has something new."""

    home: Home
    settings: Settings
    reread: bool
    progress: Callable[[str, int, int], None] | None
    begun: set[str] = field(default_factory=set)
    ledger: frozenset[str] = frozenset()

    @cached_property
    def connection(self) -> DuckDBPyConnection:
        return open_connection(self.home, self.settings)

    @cached_property
    def done(self) -> set[str]:
        with self.home.lock("lake"):
            lake.prepare(self.home)
            ledger = lake.snapshot(self.home).paths("loads")
        self.ledger = frozenset(ledger)
        return set(relations.rows_by_load(self.connection, ledger)) if ledger else set()

    def ingest(self, source: Source) -> Report:
        """Load what is new in the files of one source."""
        report = Report(source.name)
        try:
            form = formats.load(source.format, self.home.path)
        except UsageError as error:
            report.failures.append(error)
            return report
        paths = self._found(source, report)
        queue = _Queue(self, Memory(self.home, source.name), report)
        try:
            for number, path in enumerate(paths):
                self._say(source, number, paths)
                self._take(source, form, path, queue)
            queue.flush()
        except BaseException:
            queue.drop()
            raise
        self._say(source, len(paths), paths)
        return report

    def _take(self, source: Source, form: Format, path: Path, queue: _Queue) -> None:
        try:
            load = self._new(source, form, path, queue)
        except StorageError:
            raise
        except TidemillError as error:
            queue.report.failures.append(error)
        else:
            if load:
                queue.take(load)

    def _found(self, source: Source, report: Report) -> list[Path]:
        """The files of a source; a name of nothing is a failure beside the others."""
        found: dict[Path, None] = {}
        patterns = [expanded(path, self.home.path) for path in source.path]
        for pattern in patterns:
            try:
                found |= dict.fromkeys(finding.find([pattern]))
            except UsageError as error:
                report.failures.append(error)
        for path in list(finding.astray(patterns, found)):
            why = f"{path} is a link that leads out of its folder; name {path.resolve()}, or its folder, as a path too"
            report.failures.append(SourceError(why))
            del found[path]
        return list(found)

    def _say(self, source: Source, number: int, paths: Sequence[Path]) -> None:
        if self.progress:
            self.progress(source.name, number, len(paths))

    def _new(self, source: Source, form: Format, path: Path, queue: _Queue) -> Load | None:
        """A file's new portion as a load; None when there is nothing new in it."""
        last, report = queue.memory.of(path), queue.report
        signature = identity(source, "", form)
        if not self.reread and last and last.format == signature and files.unchanged(path, last):
            report.unchanged += 1
            return None
        portion = files.portion(path, signature, form.path_parts, last)
        if portion is None:
            if path.stat().st_size:
                report.unchanged += 1
            else:
                report.empty.append(str(path))
            return None
        load = of_portion(source, form, portion, workplace.of(self.home))
        if load.load_id in self.begun:
            report.unchanged += 1
            return None
        if not load.bytes or load.load_id in self.done:
            report.unchanged += 1
            queue.memory.keep([load])
            return None
        self.begun.add(load.load_id)
        report.again += bool(last and last.format != signature)
        return load


@dataclass
class _Queue:
    """The new loads of one source in their order: small ones until they are read together, then staged ones."""

    run: _Run
    memory: Memory
    report: Report
    small: list[Load] = field(default_factory=list)
    small_bytes: int = 0
    staged: list[Load] = field(default_factory=list)

    def take(self, load: Load) -> None:
        """Take one more load; what is full is staged and committed."""
        if not bundle.fits(load):
            self._stage_small()
            self._stage([load])
            return
        self.small.append(load)
        self.small_bytes += load.bytes
        if self.small_bytes >= bundle.MOST_BUNDLED or len(self.small) >= bundle.MOST_LOADS:
            self._stage_small()

    def flush(self) -> None:
        """Stage and commit whatever is left."""
        self._stage_small()
        self._commit()

    def drop(self) -> None:
        """Remove what was staged and is not to be committed: it takes room on the disk."""
        for load in carriers(self.staged):
            shutil.rmtree(load.folder, ignore_errors=True)

    def _stage_small(self) -> None:
        loads, self.small, self.small_bytes = self.small, [], 0
        if len(loads) < FEWEST_BUNDLED or not self._stage_together(loads):
            self._stage(loads)

    def _stage_together(self, loads: Sequence[Load]) -> bool:
        """Stage loads as one; False where only each by itself can say what is wrong with it."""
        with bundle.bundle(loads, workplace.of(self.run.home)) as carrier:
            if carrier is None:
                return False
            try:
                staging.stage(self.run.connection, carrier)
            except BaseException as error:
                shutil.rmtree(carrier.folder, ignore_errors=True)
                if not isinstance(error, TidemillError) or isinstance(error, StorageError):
                    raise
                for load in loads:
                    load.carrier = None
                return False
        self._add(loads)
        return True

    def _stage(self, loads: Sequence[Load]) -> None:
        """Stage loads one by one."""
        for load in loads:
            try:
                staging.stage(self.run.connection, load)
                staging.stage_head(self.run.connection, load)
            except BaseException as error:
                shutil.rmtree(load.folder, ignore_errors=True)
                if isinstance(error, StorageError) or not isinstance(error, TidemillError):
                    raise
                self.run.begun.discard(load.load_id)
                self.report.failures.append(error)
            else:
                self._add([load])

    def _add(self, loads: Sequence[Load]) -> None:
        if self.staged and (loads[0].large or self.staged[-1].large or self._is_full()):
            self._commit()
        self.staged += loads

    def _is_full(self) -> bool:
        return sum(load.rows for load in self.staged) >= ROWS_A_COMMIT or len(self.staged) >= LOADS_A_COMMIT

    def _commit(self) -> None:
        batch, self.staged = self.staged, []  # from here on the commit clears up after them, or a journal names them
        if batch:
            committed = commit(self.run.home, self.run.connection, batch, self.run.ledger, self.run.settings)
            self.report.loads += committed
            self.report.unchanged += len(batch) - len(committed)  # others loaded the same meanwhile
            self.memory.keep(batch)
            self.run.done |= self.run.begun - {load.load_id for load in self.small}


def open_connection(home: Home, settings: Settings) -> DuckDBPyConnection:
    """A connection on which loads can be staged and settled."""
    connection = session.connect(home, settings, timezone=None, spill=workplace.of(home))
    connection.execute(contract.MACROS)
    checking.tune(connection)
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
    settled = workplace.of(home) / uuid.uuid4().hex
    with ExitStack() as staged:
        for folder in (settled, *(load.folder for load in carriers(batch))):
            staged.callback(shutil.rmtree, folder, ignore_errors=True)
        with home.lock("lake"):
            lake.prepare(home)
            now = lake.snapshot(home)
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
                    waiting.begin(home)
                ids = [str(row["load_id"]) for row in ledger]
                lake.commit(home, ids, additions, staged=staged, durable=settings.durable)
            return ledger


def _overtaken(connection: DuckDBPyConnection, load: Load, now: lake.Snapshot, known: Collection[str]) -> bool:
    if load.kind != "retry":
        return False
    return releasing.overtaken(connection, load, [path for path in now.paths("released") if path not in known])
