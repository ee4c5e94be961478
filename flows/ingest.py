"""Loading alone: one source of a home, some, or all."""

from __future__ import annotations

from functools import partial

from prefect import flow

from flows import killed, page, tasks, turns
from flows.failures import explained
from flows.tasks import Outcome


@flow(
    name="ingest",
    flow_run_name=partial(page.named, "ingest"),
    task_runner=tasks.RUNNER,
    persist_result=False,
)
@explained
def ingest(home: str = "data", sources: list[str] | None = None) -> Outcome:
    """Load what is new in the sources of a home.

    Args:
        home: The folder with tidemill.toml, the lake and the tables; from the checkout, if it is relative.
        sources: Which sources of tidemill.toml to load; all, if none is named.

    Returns:
        How many records were accepted, duplicates and quarantined.
    """
    killed.mark()
    place, config = tasks.opened(home)
    with turns.turn(place, "ingest"):
        reports = tasks.load(home, tasks.chosen(config, sources))
        page.show("ingest", place, reports=reports)
    return tasks.outcome(reports)


if __name__ == "__main__":
    ingest()
