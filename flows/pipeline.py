"""The whole pipeline as a Prefect flow: ingest every source, build every stale table, publish, say what happened.

A task calls one function of the package. What failed for a reason that may pass is tried again; nothing else is.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from prefect import flow, get_run_logger, task
from prefect.artifacts import create_markdown_artifact
from prefect.cache_policies import NO_CACHE
from prefect.utilities.annotations import quote

from tidemill import build, catalog, ingest, rebuild, settings
from tidemill.build import Build
from tidemill.errors import TableError, TidemillError
from tidemill.home import Home
from tidemill.loading import Report
from tidemill.rebuild import Built
from tidemill.sources import asked

if TYPE_CHECKING:
    from collections.abc import Sequence

    from prefect.client.schemas.objects import State, TaskRun
    from prefect.tasks import Task

RETRY_DELAYS_SECONDS = [2.0, 10.0, 60.0]


def may_pass(_task: Task[..., Any], _run: TaskRun, state: State[Any]) -> bool:
    """Whether a failure is one that trying again may mend."""
    error = state.result(raise_on_failure=False)
    return isinstance(error, TidemillError) and error.transient


CAREFUL: dict[str, Any] = {
    "retries": len(RETRY_DELAYS_SECONDS),
    "retry_delay_seconds": RETRY_DELAYS_SECONDS,
    "retry_condition_fn": may_pass,
    "cache_policy": NO_CACHE,
    "persist_result": False,
}


@task(task_run_name="ingest {source}", **CAREFUL)
def ingest_source(home: str, source: str) -> list[Report]:
    """Load what is new in one source."""
    place = Home.at(home)
    config = settings.load(place)
    return ingest.ingest(place, config, asked.sources(config, [source]))


@task(task_run_name="build {table}", **CAREFUL)
def build_table(work: Build, table: str) -> Built | None:
    """Build the stale partitions of one table."""
    return rebuild.build_table(work, table)


@task(task_run_name="publish", **CAREFUL)
def publish(work: Build) -> str | None:
    """Make all tables visible at once; what checks and thresholds say is in the run's log."""
    return build.finish(work, say=get_run_logger().warning)


@flow(name="pipeline", flow_run_name="pipeline {home}", persist_result=False)
def pipeline(
    home: str = "data", tables: list[str] | None = None, as_of: str | None = None, *, full: bool = False
) -> dict[str, int]:
    """Ingest every source of a home, build what is stale, and publish it.

    Args:
        home: Where tidemill.toml, the lake and the tables are.
        tables: Which tables to build, with what they read; all, if none is named.
        as_of: When the windows end: a time, `latest`, or the run's moment.
        full: Build everything, stale or not.

    Returns:
        How many records were accepted, duplicates and quarantined, and how many partitions were built.
    """
    place = Home.at(home)
    config = settings.load(place)
    reports = [report for source in config.sources for report in ingest_source(home, source)]
    with build.begin(place, config, as_of=as_of, full=full) as work:
        handle: Any = quote(work)  # Prefect looks into no argument that is quoted
        for table in catalog.with_inputs(tables or []):
            state = build_table(handle, table, return_state=True)
            if table not in work.failed:  # the others go on after a table's own failure, and after no other
                state.result()
        snapshot = publish(handle)
        built, failed = list(work.built), list(work.failed.values())
    create_markdown_artifact(
        summary(reports, built, failed, snapshot), key="summary", description=f"The pipeline's run over {home}"
    )
    failures = [*(failure for report in reports for failure in report.failures), *failed]
    if failures:
        raise failures[0]
    counts = {name: sum(report.total(name) for report in reports) for name in ("accepted", "duplicates", "quarantined")}
    return counts | {"partitions": sum(len(table.partitions) for table in built)}


def summary(
    reports: Sequence[Report], built: Sequence[Built], failed: Sequence[TableError], snapshot: str | None
) -> str:
    """The run in Markdown: what was loaded and refused, what was built, what could not be read or built."""
    names = ("records_read", "expanded", "accepted", "duplicates", "quarantined", "ignored")
    lines = ["## Loaded", "", f"| source | {' | '.join(names)} |", "|---" * (len(names) + 1) + "|"]
    lines += [f"| {r.source} | {' | '.join(f'{r.total(name):,}' for name in names)} |" for r in reports]
    lines += ["", "## Built", "", "| table | partitions | rows | seconds |", "|---|---|---|---|"]
    lines += [f"| {b.table} | {len(b.partitions)} | {b.rows:,} | {b.seconds:.2f} |" for b in built]
    lines += ["", f"Published as `{snapshot}`." if snapshot else "Nothing was stale: the snapshot stays as it is."]
    lines += [f"\n**Not read:** {failure}" for report in reports for failure in report.failures]
    lines += [f"\n**Not built:** {failure}" for failure in failed]
    return "\n".join(lines)


if __name__ == "__main__":
    pipeline()
