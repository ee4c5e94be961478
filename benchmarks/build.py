"""B. All period tables built from nothing, six rollups that every peer can make, and what every table takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

from benchmarks import homes, report, rollups, selects
from benchmarks.environments import tidemill
from benchmarks.measure import measure
from benchmarks.report import Reach

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from benchmarks.measure import Timed
    from benchmarks.plan import Plan

TITLE: Final = "B. All tables built from nothing"
DAYS: Final = 30
LOOP_TIMES: Final = 25
_SUMS: Final = (
    "SELECT table_name, count(*) AS partitions, sum(rows)::BIGINT AS rows FROM builds GROUP BY ALL ORDER BY ALL"
)


def run(plan: Plan) -> list[str]:
    """Measure, and say it as lines of RESULTS.md."""
    home = plan.folder / "home"
    loading = homes.loaded(home, plan.events, DAYS)
    tables = selects.period_tables()
    names = [table.name for table in tables]
    periods = plan.compete([rollups.ours(home, names), rollups.bare(plan.folder, home, tables)])
    six = plan.compete(rollups.contenders(plan.folder, home, homes.first_day(DAYS)))
    return [
        f"## {TITLE}: {plan.events:,} events, {plan.events // 10:,} jobs, {plan.events // 10:,} metrics, {DAYS} days",
        "",
        f"The records were loaded in {loading.wall:.1f} s (peak {loading.memory:.2f} GiB).",
        "",
        f"### The {len(tables)} tables of days, weeks and months",
        "",
        *report.table(periods, rollups.LIMIT, "events", plan.events),
        *report.reaches([_at_most_the_limit(periods)]),
        f"### Six of them: {', '.join(selects.ROLLUPS)}",
        "",
        *report.table(six, rollups.LIMIT, "events", plan.events),
        *report.reaches([_at_most_the_limit(six), *_ahead(six)]),
        *_every_table(home, plan.events),
        report.footer([*periods, *six], plan.rounds),
    ]


def _at_most_the_limit(found: Sequence[Timed]) -> Reach:
    times = found[0].wall / next(timed for timed in found if timed.contender.name == rollups.LIMIT).wall
    return Reach(f"at most 1.0 times {rollups.LIMIT}", f"{times:.2f} times", met=times <= 1)


def _ahead(found: Sequence[Timed]) -> list[Reach]:
    names = ("chDB", "Polars", rollups.DBT, rollups.SQLMESH, "pandas")
    return [*(report.ahead(found, name) for name in names), report.ahead(found, rollups.LOOP, LOOP_TIMES)]


def _every_table(home: Path, events: int) -> list[str]:
    """Every table's seconds from nothing and after one more hour, each measured once."""
    homes.clear(home / "tables")
    building = measure(tidemill(home, "build", "--as-of", "latest"))
    first, sums = homes.seconds(home), homes.rows(home, _SUMS)
    loading, more = homes.one_more_hour(home)
    again = homes.seconds(home)
    return [
        "### Every table, measured once",
        "",
        f"Built from nothing in {building.wall:.1f} s, {_rate(events, building.wall)}, peak {building.memory:.2f} GiB.",
        f"One more hour: loaded in {loading.wall:.1f} s, built in {more.wall:.1f} s (peak {more.memory:.2f} GiB).",
        "",
        "| table | partitions | rows | seconds | speed | seconds after one more hour |",
        "|---|---|---|---|---|---|",
        *(_row(table, first, again, events) for table in sums),
        "",
    ]


def _row(table: Mapping[str, Any], first: Mapping[str, float], again: Mapping[str, float], events: int) -> str:
    name = table["table_name"]
    later = f"{again[name]:.2f}" if name in again else ""
    cells = [name, str(table["partitions"]), f"{table['rows']:,}", f"{first[name]:.2f}", _rate(events, first[name])]
    return f"| {' | '.join([*cells, later])} |"


def _rate(events: int, seconds: float) -> str:
    return f"{events / seconds:,.0f} events/s" if seconds else ""
