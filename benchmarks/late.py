"""D. Late data: a thousand records spread over thirty old days."""

from __future__ import annotations

import shutil
from datetime import date, timedelta
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks import answers, data, homes, one_more_hour, report, rollups
from benchmarks.environments import tidemill
from benchmarks.measure import Contender, measure
from benchmarks.report import Reach
from tidemill.catalog import tables as catalog_tables
from tidemill.engine import calendar

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.plan import Plan

TITLE: Final = "D. Late data"
RECORDS: Final = 1_000
OLD_DAYS: Final = 30
TIMES: Final = 3


def run(plan: Plan) -> list[str]:
    """Measure on the longest lake, and say it as lines of RESULTS.md."""
    length = plan.days[-1]
    days = old_days(length)
    path = plan.folder / "late.jsonl"
    answers.execute(data.late(path, RECORDS, days))
    home, aside = homes.history(plan.shared, plan.day_events, length)
    late = f"{RECORDS:,} records of {len(days)} old days"
    steps = [tidemill(home, "ingest", str(path)), tidemill(home, "build", "--as-of", "latest")]

    def same() -> None:
        kept = plan.folder / "late-tables"
        homes.clear(kept)
        shutil.copytree(home / "tables" / "current", kept)
        measure(tidemill(home, "build", "--as-of", "latest", "--full"))
        rollups.same(home, list(catalog_tables.tables()), lambda table: answers.parquet(kept / table / "*.parquet"))

    ours = Contender(late, steps, clear=partial(homes.bring_back, aside, home), check=same)
    found = plan.compete([ours, one_more_hour.hour(plan, length)])
    ratio = found[0].wall / found[1].wall
    return [
        f"## {TITLE} on a lake of {length} days of {plan.day_events:,} events",
        "",
        f"The days are {days[0]} to {days[-1]}.",
        "",
        *report.steps(found, ("ingest", "build")),
        *report.reaches([Reach(f"under {TIMES} times C", f"{ratio:.2f} times", met=ratio < TIMES)]),
        report.footer(found, plan.rounds),
    ]


def old_days(length: int) -> Sequence[str]:
    """Thirty days from the middle of so many, or as many as there are before the last."""
    count = min(OLD_DAYS, length - 1)
    first = date.fromisoformat(homes.first_day(length)) + timedelta(days=(length - count) // 2)
    return calendar.span(first, first + timedelta(days=count - 1))
