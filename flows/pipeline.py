"""The whole pipeline: ingest every source, build every stale table, publish, say what happened."""

from __future__ import annotations

from functools import partial

from prefect import flow

from flows import killed, page, tasks, turns
from flows.failures import explained
from flows.tasks import Outcome


@flow(
    name="pipeline",
    flow_run_name=partial(page.named, "pipeline"),
    task_runner=tasks.RUNNER,
    persist_result=False,
)
@explained
def pipeline(
    home: str = "data",
    sources: list[str] | None = None,
    tables: list[str] | None = None,
    as_of: str | None = None,
    *,
    full: bool = False,
) -> Outcome:
    """Ingest the sources of a home, build what is stale, and publish it.

    Args:
        home: The folder with tidemill.toml, the lake and the tables; from the checkout, if it is relative.
        sources: Which sources of tidemill.toml to load; all, if none is named.
        tables: Which tables to build, with what they read; all, if none is named.
        as_of: When the windows end, such as 2026-11-22T10:00:00Z, or `latest`; the run's moment, if it is left out.
        full: Build everything, stale or not.

    Returns:
        How many records were accepted, duplicates and quarantined, and how many partitions were built.
    """
    killed.mark()
    place, config = tasks.opened(home)
    with turns.turn(place, "pipeline"):
        reports = tasks.load(home, tasks.chosen(config, sources))
        rebuilt = tasks.rebuild_stale(home, tables, as_of=as_of, full=full)
        page.show("pipeline", place, reports=reports, rebuilt=rebuilt)
    return tasks.outcome(reports, rebuilt)


if __name__ == "__main__":
    pipeline()
