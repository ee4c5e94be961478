"""Building again: the periods of a range of days, stale or not, or only what is stale of all history."""

from __future__ import annotations

from datetime import date
from functools import partial

from prefect import flow

from flows import killed, page, tasks, turns
from flows.failures import explained
from flows.tasks import Outcome
from tidemill.errors import UsageError


@flow(name="backfill", flow_run_name=partial(page.named, "backfill"), persist_result=False)
@explained
def backfill(
    home: str = "data",
    first_day: date | None = None,
    last_day: date | None = None,
    tables: list[str] | None = None,
) -> Outcome:
    """Build every period that has a day of a range once more, and what else is stale, and publish it.

    Args:
        home: The folder with tidemill.toml, the lake and the tables; from the checkout, if it is relative.
        first_day: The first reporting day that is built again, stale or not; without one only what is stale is built.
        last_day: The last of them; the first alone, if it is left out.
        tables: Which tables to build, with what they read; all, if none is named.

    Returns:
        How many partitions were built.
    """
    killed.mark()
    place, _ = tasks.opened(home)
    days = None
    if first_day or last_day:
        if first_day is None or (last_day and last_day < first_day):
            raise UsageError(f"first_day is {first_day} and last_day {last_day}; give a first day, and none before it")
        days = first_day, last_day or first_day
    with turns.turn(place, "backfill"):
        rebuilt = tasks.rebuild_stale(home, tables, days=days)
        page.show("backfill", place, rebuilt=rebuilt)
    return tasks.outcome(rebuilt=rebuilt)


if __name__ == "__main__":
    backfill()
