"""E. Percentiles over whole days and any filter of latency_histogram, from raw rows, and by show."""

from __future__ import annotations

import json
import statistics
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks import homes, report
from benchmarks.environments import own
from benchmarks.measure import ContenderError, measure
from benchmarks.report import Reach

if TYPE_CHECKING:
    from collections.abc import Sequence

    from benchmarks.plan import Plan

TITLE: Final = "E. p50, p95 and p99 over whole days"
WEEK: Final = 7
YEAR: Final = 365
REPEATS: Final = 5
MOST_MS: Final = {WEEK: 20, YEAR: 60}
ERROR: Final = 0.01
"""The proven relative error of a bucket's estimate."""
ROUNDING: Final = 1e-9


@dataclass(frozen=True)
class Answer:
    """What one question took, in milliseconds, over every repeat of every round; its greatest error, if it has one."""

    what: str
    days: int
    way: str
    milliseconds: Sequence[float]
    error: float | None

    @property
    def median(self) -> float:
        """The median milliseconds."""
        return statistics.median(self.milliseconds)


def run(plan: Plan) -> list[str]:
    """Measure on the longest lake, and say it as lines of RESULTS.md."""
    longest = plan.days[-1]
    home, _ = homes.history(plan.shared, plan.day_events, longest)
    lengths = sorted({min(WEEK, longest), longest})
    target = plan.folder / "percentiles.json"
    rounds = []
    for _ in range(plan.rounds):
        measure(own().script("read_percentiles", home, ",".join(map(str, lengths)), REPEATS, target))
        rounds.append(json.loads(target.read_text(encoding="utf-8")))
    found = [answer for asked in zip(*rounds, strict=True) for answer in _answers(asked)]
    return [
        f"## {TITLE}: a lake of {longest} days of {plan.day_events:,} events",
        "",
        f"Inside one warm process, `Tidemill.sql` and `Tidemill.show`: each asked once, then {REPEATS} times, in",
        f"{plan.rounds} processes. The exact figures are `quantile_cont` over `lake.events`.",
        "",
        "| what | days | from | median ms | min-max ms | greatest relative error |",
        "|---|---|---|---|---|---|",
        *map(_row, found),
        "",
        *report.reaches([_reach(found, days) for days in lengths]),
        report.footer([], plan.rounds),
    ]


def _answers(asked: Sequence[dict[str, Any]]) -> list[Answer]:
    """The answers of one question, of all rounds.

    Raises:
        ContenderError: an estimate is further off than it may be.
    """
    first, found = asked[0], []
    for way in ("histogram", "exact", "show"):
        if way in first:
            took = [1000 * seconds for each in asked for seconds in each[way]["seconds"]]
            error = _error(first["histogram"]["values"], first["exact"]["values"]) if way == "histogram" else None
            found.append(Answer(first["what"], first["days"], way, took, error))
    return found


def _error(estimates: Sequence[float], exact: Sequence[float]) -> float:
    worst = max(abs(estimate - value) / value for estimate, value in zip(estimates, exact, strict=True))
    if worst > ERROR + ROUNDING:
        raise ContenderError(f"latency_histogram is off by {worst:.2%}: {estimates} where the rows say {exact}")
    return worst


def _row(answer: Answer) -> str:
    spread = f"{min(answer.milliseconds):.1f}-{max(answer.milliseconds):.1f}"
    way = {"histogram": "latency_histogram", "exact": "raw rows", "show": "raw rows, by `show`"}[answer.way]
    error = "exact" if answer.error is None else f"{answer.error:.2%}"
    return f"| {answer.what} | {answer.days} | {way} | {answer.median:.1f} | {spread} | {error} |"


def _reach(found: Sequence[Answer], days: int) -> Reach:
    slowest = max(answer.median for answer in found if answer.days == days and answer.way == "histogram")
    most = MOST_MS[WEEK if days <= WEEK else YEAR]
    return Reach(f"under {most} ms over {days} days, whatever the filter", f"{slowest:.1f} ms", met=slowest < most)
