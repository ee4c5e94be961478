"""What the flows are made of: each task calls one function of the package and does nothing else.

What failed for a reason that may pass is tried again; nothing else is. Sources, and tables that do not need each other,
are worked on at the same time, within a limit.
"""

from __future__ import annotations

import contextvars
import logging
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, TypeAlias

from prefect import get_run_logger, task
from prefect.artifacts import create_progress_artifact, update_progress_artifact
from prefect.cache_policies import NO_CACHE
from prefect.client.schemas.objects import State
from prefect.states import Failed
from prefect.task_runners import ThreadPoolTaskRunner
from prefect.tasks import exponential_backoff
from prefect.utilities.annotations import quote

from flows import page
from tidemill.build import outcome as build_outcome
from tidemill.build import plan, staleness
from tidemill.build import run as build_run
from tidemill.build import tables as build_tables
from tidemill.build.checks import run as checks_run
from tidemill.build.context import Build
from tidemill.build.errors import CheckError
from tidemill.build.outcome import Built
from tidemill.catalog import tables as catalog_tables
from tidemill.config import memory, settings
from tidemill.errors import TableError, TidemillError, UsageError
from tidemill.home.home import Home
from tidemill.ingest import run as ingest_run
from tidemill.ingest.queue import Report
from tidemill.maintenance import compact, prune, vacuum, verify
from tidemill.maintenance.compact import Compacted
from tidemill.maintenance.prune import Pruned
from tidemill.sources import selection

if TYPE_CHECKING:
    from collections.abc import Sequence
    from datetime import date

    from prefect.client.schemas.objects import TaskRun
    from prefect.futures import PrefectFuture
    from prefect.task_runners import TaskRunner
    from prefect.tasks import Task

    from tidemill.config.settings import Settings

AT_ONCE = 2
"""Sources that are loaded at the same time: more would share the same processors and memory."""
RUNNER: TaskRunner[Any] = ThreadPoolTaskRunner(max_workers=AT_ONCE)
RETRIES = 4
FIRST_DELAY_SECONDS = 2.0
JITTER = 0.5
LONGEST_SECONDS = 6 * 3_600.0
"""A task that takes longer has been forgotten by whatever it waits for."""
Outcome: TypeAlias = dict[str, int] | State[Any]
"""What a flow returns: its counts, or that it failed, in a state that says what was done all the same."""
LONG_FILES = 20
"""A load of more files shows how far it is."""


_IN_A_THREAD = "running in a worker thread"


def _is_news(record: logging.LogRecord) -> bool:
    """Whether a line is more than Prefect's reminder, for each task in a thread, that queries end before it times out.

    A timeout is there for what waits for ever; DuckDB's queries end.
    """
    return _IN_A_THREAD not in str(record.msg)


logging.getLogger("prefect.task_runs").addFilter(_is_news)


def may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failure is one that trying again may mend."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, TidemillError) and error.transient


CAREFUL: dict[str, Any] = {
    "retries": RETRIES,
    "retry_delay_seconds": exponential_backoff(FIRST_DELAY_SECONDS),
    "retry_jitter_factor": JITTER,
    "retry_condition_fn": may_pass,
    "timeout_seconds": LONGEST_SECONDS,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}


def opened(home: str) -> tuple[Home, Settings]:
    """A home and its settings.

    Raises:
        UsageError: there is none, or its settings cannot be used.
    """
    place = Home.at(home)
    if not place.path.is_dir():
        raise UsageError(
            f"{place.path} is no folder; say where the home is by the parameter home, or make one: "
            f"tidemill --home {place.path} init"
        )
    return place, settings.load(place.path)


@task(task_run_name="ingest {source}", **CAREFUL)
def ingest_source(home: str, source: str, sharing: int = 1) -> Any:  # noqa: ANN401 - reports, or a state with them
    """Load what is new in one source, beside others; a file that cannot be used fails it, and the rest is loaded."""
    place, config = opened(home)
    share = memory.limit(config.memory_limit) // sharing >> 20
    config = config.model_copy(update={"memory_limit": f"{share}MiB"})
    reports = ingest_run.ingest(place, config, selection.sources(config, [source]), progress=_Progress(place))
    failures = [str(failure) for report in reports for failure in report.failures]
    return Failed(message="; ".join(failures), data=reports) if failures else reports


@dataclass
class _Progress:
    """Shows how far a load of many files is, in whole percents."""

    home: Home
    shown: Any = None
    percent: int = 0

    def __call__(self, source: str, done: int, files: int) -> None:
        percent = 100 * done // files if files > LONG_FILES else self.percent
        if percent == self.percent:
            return
        self.percent = percent
        if self.shown is None:
            key, what = page.key(self.home.path.name, "loading", source), f"{source}: {files:,} files"
            self.shown = create_progress_artifact(float(percent), key=key, description=what)
        else:
            update_progress_artifact(self.shown, float(percent))


def chosen(config: Settings, sources: Sequence[str] | None) -> list[str]:
    """The names of the sources that are asked for; all, if none is.

    Raises:
        UsageError: there is no such source.
    """
    for name in sources or ():
        if name not in config.sources:
            raise UsageError.unknown("source", name, config.sources)
    return [*(sources or config.sources)]


def load(home: str, sources: Sequence[str]) -> list[Report]:
    """Load what is new in some sources, some at the same time; within a flow.

    A source that cannot be loaded at all has a report with what is wrong with it.
    """
    sharing = max(1, min(AT_ONCE, len(sources)))
    begun = {source: ingest_source.submit(home, source, sharing) for source in sources}
    return [report for source, future in begun.items() for report in _reports(future, source)]


def _reports(future: PrefectFuture[Any], source: str) -> list[Report]:
    found = future.result(raise_on_failure=False)
    if isinstance(found, TidemillError):
        return [Report(source, failures=[found])]
    if isinstance(found, BaseException):
        raise found
    return list(found)


def _unseen(argument: Any) -> Any:  # noqa: ANN401 - whatever a task takes
    """An argument that Prefect does not look into."""
    return quote(argument)


@task(task_run_name="build {table}", **CAREFUL)
def build_table(work: Build, table: str) -> Built | None:
    """Build the stale partitions of one table."""
    return build_tables.build_table(work, table)


@task(task_run_name="publish", **CAREFUL)
def publish(work: Build, say: Callable[[str], None]) -> str | None:
    """Check what was built, and make all tables visible at once."""
    return build_run.finish(work, say=say)


@dataclass
class Rebuilt:
    """What a build did: what was built and why, what could not be, what was said of it, and the new snapshot."""

    built: list[Built] = field(default_factory=list)
    failed: list[TableError] = field(default_factory=list)
    waiting: list[str] = field(default_factory=list)
    said: list[str] = field(default_factory=list)
    breached: Sequence[tuple[Any, ...]] = ()
    refused: Sequence[build_outcome.Outcome] = ()
    snapshot: str | None = None

    @property
    def failures(self) -> list[str]:
        """Why it is not all as it was asked for, a line each."""
        return [*map(str, self.failed), *map(str, self.refused)]


def rebuild_stale(
    home: str,
    tables: Sequence[str] | None,
    *,
    as_of: str | None = None,
    full: bool = False,
    days: tuple[date, date] | None = None,
) -> Rebuilt:
    """Build what is stale of some tables and what they read, and publish it; within a flow.

    Tables that do not need each other are built at the same time. One that is fresh is no task: looking at it takes
    less time than telling Prefect so.
    """
    place, config = opened(home)
    names = catalog_tables.with_inputs(tables or [])
    made, logger = Rebuilt(), get_run_logger()

    def say(line: str) -> None:
        made.said.append(line)
        logger.warning(line)

    with build_run.begin(place, config, as_of=as_of, full=full, days=days) as work:
        context = contextvars.copy_context()  # a task knows its flow by it, in any thread

        def through(own: Build, name: str, _begin: object) -> Built | None:
            table = catalog_tables.table(name)
            if table.reads & {*own.failed, *own.waiting} or not staleness.work(own, table):
                return build_tables.build_table(own, name)
            return context.copy().run(build_table, _unseen(own), name)

        build_tables.each(work, names, None, logger.warning, through)
        try:
            made.snapshot = publish(_unseen(work), say)
        except CheckError as error:
            if not error.outcomes:
                raise
            made.refused = error.outcomes
        made.built, made.waiting, made.breached = list(work.built), list(work.waiting), list(work.breached)
        made.failed = list(work.failed.values())
    vacuum.now_and_then(place)
    return made


@task(task_run_name="compact", **CAREFUL)
def compact_lake(home: str) -> list[Compacted]:
    """Merge the lake's small files, and remove what nobody needs any more."""
    return compact.compact(*opened(home))


@task(task_run_name="prune --keep {keep}", **CAREFUL)
def prune_lake(home: str, keep: str, *, tables: bool) -> list[Pruned]:
    """Remove the records of old days, and with `tables` what tables say of them."""
    place, config = opened(home)
    return prune.prune(place, config, keep=keep, tables=tables, say=get_run_logger().warning)


@task(task_run_name="check", **CAREFUL)
def check_all(home: str, *, deep: bool) -> list[build_outcome.Outcome]:
    """Run every check over all that is published, and look at every stored byte if it is to be `deep`."""
    place, config = opened(home)
    found = checks_run.of_files(verify.inspect(place, config)) if deep else []
    if any(outcome.forbids for outcome in found):  # what is built of damaged files needs no checks
        return found
    return [*found, *plan.check(place, config, deep=deep)]


def outcome(reports: Sequence[Report] = (), rebuilt: Rebuilt | None = None) -> Outcome:
    """What a flow returns: its counts, or that it failed and what was done all the same."""
    failing = {report.source for report in reports if report.failures}
    failures = [str(failure) for report in reports for failure in report.failures]
    made = rebuilt or Rebuilt()
    counts = {name: sum(report.total(name) for report in reports) for name in ("accepted", "duplicates", "quarantined")}
    counts["partitions"] = sum(len(table.partitions) for table in made.built)
    if not (failures or made.failures):
        return counts
    sources = len({report.source for report in reports})
    said = [f"{sources - len(failing)} of {sources} sources were loaded without a failure"] if failing else []
    if made.failures:
        said += ["nothing is published" if made.refused else f"{len(made.failed)} tables could not be built"]
    elif made.snapshot:
        said += [f"the tables are published as {made.snapshot}"]
    return Failed(message="; ".join([*said, *failures, *made.failures]))
