"""Building alone: what is stale of all tables, or of some and what they read, and publishing it."""

from __future__ import annotations

from functools import partial

from prefect import flow

from flows import killed, page, tasks, turns
from flows.failures import explained
from flows.tasks import Outcome


@flow(name="build", flow_run_name=partial(page.named, "build"), persist_result=False)
@explained
def build(
    home: str = "data", tables: list[str] | None = None, as_of: str | None = None, *, full: bool = False
) -> Outcome:
    """Build what is stale of a home, and publish it.

    Args:
        home: The folder with tidemill.toml, the lake and the tables; from the checkout, if it is relative.
        tables: Which tables to build, with what they read; all, if none is named.
        as_of: When the windows end, such as 2026-11-22T10:00:00Z, or `latest`; the run's moment, if it is left out.
        full: Build everything, stale or not.

    Returns:
        How many partitions were built.
    """
    killed.mark()
    place, _ = tasks.opened(home)
    with turns.turn(place, "build"):
        rebuilt = tasks.rebuild_stale(home, tables, as_of=as_of, full=full)
        page.show("build", place, rebuilt=rebuilt)
    return tasks.outcome(rebuilt=rebuilt)


if __name__ == "__main__":
    build()
