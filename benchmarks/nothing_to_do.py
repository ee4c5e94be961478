"""The command with nothing to do, and what it can do."""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

from benchmarks import report
from benchmarks.environments import tidemill
from benchmarks.homes import simulated
from benchmarks.measure import Contender, ContenderError
from benchmarks.report import Reach

if TYPE_CHECKING:
    from benchmarks.plan import Plan

TITLE: Final = "The command with nothing to do"
RUN: Final = "tidemill run, with nothing new"
HELP: Final = "tidemill --help"
PYTHON: Final = "python -c pass"
RUN_SECONDS: Final = 0.7
HELP_SECONDS: Final = 0.3
DAYS: Final = 30


def run(plan: Plan) -> list[str]:
    """Measure, and say it as lines of RESULTS.md."""
    home = plan.folder / "home"
    simulated(home, DAYS * plan.day_events, DAYS)
    (home / "tidemill.toml").write_text('[sources.files]\npath = ["raw", "late"]\n', encoding="utf-8")
    again = tidemill(home, "run")

    def nothing() -> None:
        done = subprocess.run(again, capture_output=True, check=True, text=True)
        if "everything is fresh" not in done.stderr:
            raise ContenderError(f"there was something to do: {done.stderr[-200:]}")

    nothing_new = Contender(RUN, [again], check=nothing)
    for _ in range(2):  # loads the last hour, then looks at the files of both folders once
        subprocess.run(again, capture_output=True, check=True)
    help_text = Contender(HELP, [[sys.executable, "-m", "tidemill", "--help"]])
    found = plan.compete([nothing_new, help_text, Contender(PYTHON, [[sys.executable, "-c", "pass"]])])
    return [
        f"## {TITLE}: {DAYS} days of {plan.day_events:,} events",
        "",
        *report.times(found),
        *report.reaches([_under(found[0].wall, RUN, RUN_SECONDS), _under(found[1].wall, HELP, HELP_SECONDS)]),
        report.footer(found, plan.rounds),
    ]


def _under(seconds: float, what: str, most: float) -> Reach:
    return Reach(f"{what}: under {most:g} s", f"{seconds:.2f} s", met=seconds < most)
