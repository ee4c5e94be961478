"""C. One more hour of records on short and on long histories: ours, our own full build, and incremental models."""

from __future__ import annotations

import shutil
import statistics
import time
from collections import defaultdict
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks import answers, homes, incremental, report, rollups, selects
from benchmarks.environments import tidemill
from benchmarks.measure import Contender
from benchmarks.report import Reach
from tidemill.catalog import tables as catalog_tables

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.measure import Timed
    from benchmarks.plan import Plan

    Kinds = Mapping[int, Mapping[str, list[float]]]

TITLE: Final = "C. One more hour"
SAME: Final = 1.5
THIRD: Final = 1 / 3
TWICE: Final = 2.0
FULL_TIMES: Final = 8
MIDDLE: Final = 30
PERIOD_DAYS: Final = {"activity_weekly": 6, "activity_monthly": 28}
"""How many days of records the open week and the open month have at the end of the simulated period."""


def run(plan: Plan) -> list[str]:
    """Measure, and say it as lines of RESULTS.md."""
    kinds: dict[int, dict[str, list[float]]] = {days: defaultdict(list) for days in plan.days}
    contenders = [contender for days in plan.days for contender in _ours(plan, days, kinds[days])]
    found = plan.compete(contenders)
    raw = _raw_rows(plan)
    six = {days: incremental.compete(plan, days) for days in plan.days}
    return [
        f"## {TITLE} on lakes of {plan.day_events:,} events a day",
        "",
        *report.steps(found, ("ingest", "build")),
        *_by_partitions(kinds),
        "Seconds of the tables that are cut so, added up, as the build itself accounts them (`builds`).",
        "",
        *report.reaches([*_reaches(found, plan.days), *_of_kinds(kinds, raw)]),
        *(line for days, timed in six.items() for line in incremental.lines(days, timed)),
        report.footer([*found, *six[plan.days[0]]], plan.rounds),
    ]


def name(days: int) -> str:
    """What one more hour on so many days is called."""
    return f"one more hour on {days} days"


def full_name(days: int) -> str:
    """What the same hour is called, when everything is then built."""
    return f"the same, then everything built, on {days} days"


def hour(plan: Plan, days: int) -> Contender:
    """Load the hour and build what is stale."""
    home, aside = homes.history(plan.shared, plan.day_events, days)
    late = str(home / "late")
    steps = [tidemill(home, "ingest", late), tidemill(home, "build", "--as-of", "latest")]
    return Contender(name(days), steps, clear=partial(homes.bring_back, aside, home))


def _ours(plan: Plan, days: int, kinds: dict[str, list[float]]) -> list[Contender]:
    found = hour(plan, days)
    home, kept = homes.history(plan.shared, plan.day_events, days)[0], plan.folder / f"hour-{days}"

    def keep_tables() -> None:
        homes.clear(kept)
        shutil.copytree(home / "tables" / "current", kept)

    def same() -> None:
        rollups.same(home, list(catalog_tables.tables()), lambda table: answers.parquet(kept / table / "*.parquet"))

    def account() -> None:
        for kind, seconds in _seconds(home).items():
            kinds[kind].append(seconds)

    everything = [found.steps[0], [*found.steps[1], "--full"]]
    return [
        Contender(found.name, found.steps, clear=found.clear, check=keep_tables, after=account),
        Contender(full_name(days), everything, clear=found.clear, check=same),
    ]


def _seconds(home: Path) -> dict[str, float]:
    """Seconds of the newest build, by how tables are cut into partitions."""
    tables = homes.seconds(home)
    return {
        kind: sum(tables.get(table.name, 0) for table in catalog_tables.tables().values() if table.partition == kind)
        for kind in catalog_tables.PARTITIONS
    }


def _raw_rows(plan: Plan) -> float:
    """The median seconds of the selects of the open week and month over their raw rows, in one warm session."""
    home, _ = homes.history(plan.shared, plan.day_events, plan.days[-1])
    took = []
    with answers.session() as connection:
        connection.execute(f"{selects.macros(list(PERIOD_DAYS))}CREATE SCHEMA lake")
        for _ in range(plan.rounds + 1):
            started = time.perf_counter()
            for table, days in PERIOD_DAYS.items():
                rows = f"FROM {selects.files(home, 'events', hive=True)} WHERE day >= DATE '{homes.first_day(days)}'"
                connection.execute(f"CREATE OR REPLACE VIEW events AS {rows}")
                connection.execute(catalog_tables.table(table).select).fetchall()
            took.append(time.perf_counter() - started)
    return statistics.median(took[1:])


def _by_partitions(kinds: Kinds) -> list[str]:
    days = list(kinds)
    rows = [f"| partitions | {' | '.join(f'{n} days: s' for n in days)} | longest / shortest |"]
    rows.append("|---" * (len(days) + 2) + "|")
    for kind in kinds[days[0]]:
        medians = [statistics.median(kinds[n][kind]) for n in days]
        cells = " | ".join(f"{median:.2f}" for median in medians)
        rows.append(f"| {kind} | {cells} | {_ratio(medians[-1], medians[0]):.2f} |")
    return [*rows, ""]


def _reaches(found: Sequence[Timed], days: Sequence[int]) -> list[Reach]:
    walls = {timed.contender.name: timed.wall for timed in found}
    middle = MIDDLE if MIDDLE in days else days[0]
    longer = _ratio(walls[name(days[-1])], walls[name(middle)])
    full = _ratio(walls[full_name(middle)], walls[name(middle)])
    return [
        Reach(f"at most 2 times from {middle} to {days[-1]} days", f"{longer:.2f} times", met=longer <= TWICE),
        Reach(
            f"{FULL_TIMES} times as fast as a full build at {middle} days", f"{full:.2f} times", met=full >= FULL_TIMES
        ),
    ]


def _of_kinds(kinds: Kinds, raw: float) -> list[Reach]:
    shortest, longest = min(kinds), max(kinds)
    days = _ratio(statistics.median(kinds[longest]["day"]), statistics.median(kinds[shortest]["day"]))
    periods = sum(statistics.median(kinds[longest][kind]) for kind in ("week", "month"))
    share = _ratio(periods, raw)
    return [
        Reach(
            f"day and hour tables within {SAME:g} times at {shortest} and {longest} days",
            f"{days:.2f} times",
            met=days <= SAME,
        ),
        Reach(
            "the open week and month at a third of what their raw rows cost",
            f"{share:.2f} of {raw:.2f} s",
            met=share <= THIRD,
        ),
    ]


def _ratio(one: float, other: float) -> float:
    return one / other if other else float("nan")
