"""Measure works side by side with peers and write what was found to benchmarks/RESULTS.md.

Each work replaces only its own section; `make bench ARGS="--only ingest,build --scale 1,10"` chooses.
"""

from __future__ import annotations

import argparse
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks import (
    bad_lines,
    build,
    ingest,
    late,
    nothing_to_do,
    on_schedule,
    one_more_hour,
    percentiles,
    report,
    serve,
    small_files,
    wide,
)
from benchmarks.measure import ContenderError
from benchmarks.plan import MILLION, Plan, say

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    Work = Callable[[Plan], list[str]]

SCALED: Final[Mapping[str, Work]] = {
    "ingest": ingest.run,
    "build": build.run,
    "bad_lines": bad_lines.run,
    "wide": wide.run,
    "on_schedule": on_schedule.run,
    "serve": serve.run,
}
"""Works that are measured at each scale."""
HISTORIES: Final = {"one_more_hour", "late", "percentiles"}
"""Works on lakes of so many events a day."""
DAY_EVENTS: Final = 20_000
WORKS: Final[Mapping[str, Work]] = {
    "nothing_to_do": nothing_to_do.run,
    "ingest": SCALED["ingest"],
    "build": SCALED["build"],
    "one_more_hour": one_more_hour.run,
    "late": late.run,
    "percentiles": percentiles.run,
    "small_files": small_files.run,
    "bad_lines": SCALED["bad_lines"],
    "wide": SCALED["wide"],
    "on_schedule": SCALED["on_schedule"],
    "serve": SCALED["serve"],
}


def main(arguments: Sequence[str] | None = None) -> None:
    """Measure what is asked for; RESULTS.md is written after each work, so that an interrupted run loses one."""
    given = _parser().parse_args(arguments)
    failed = []
    with tempfile.TemporaryDirectory(dir=given.folder) as folder:
        plan = Plan(
            Path(folder),
            shared=Path(folder),
            rounds=given.rounds,
            day_events=given.day_events,
            days=given.days,
            files=given.files,
            without=given.without,
        )
        for name, scale in _chosen(given.only, given.scale):
            size = scale or (given.day_events if name in HISTORIES and given.day_events != DAY_EVENTS else 0)
            key = f"{name}:{size:.12g}" if size else name
            say(f"== {key}")
            try:
                with tempfile.TemporaryDirectory(dir=folder) as own:
                    lines = WORKS[name](replace(plan, folder=Path(own), events=round(scale * MILLION)))
            except ContenderError as error:
                failed.append(f"{key} was not measured: {error}")
                say(failed[-1])
                continue
            report.write({key: lines}, list(WORKS), given.output)
            say("\n".join(lines))
    if failed:
        raise SystemExit("\n".join(failed))


def _chosen(works: Sequence[str], scales: Sequence[float]) -> list[tuple[str, float]]:
    """Each work, with each scale or with none."""
    return [(name, scale) for name in works for scale in (scales if name in SCALED else [0.0])]


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="benchmarks", description=__doc__)
    parser.add_argument("--only", type=_works, default=list(WORKS), help=f"which works: {', '.join(WORKS)}; all")
    parser.add_argument(
        "--scale", type=_floats, default=[1.0, 10.0], help="millions of events of ingest, build, …; 1,10"
    )
    parser.add_argument("--rounds", type=int, default=5, help="interleaved runs of each contender; 5")
    parser.add_argument(
        "--day-events", type=int, default=DAY_EVENTS, help="events a day of one more hour, late, percentiles; 20000"
    )
    parser.add_argument("--days", type=_integers, default=(3, 30, 365), help="how long those lakes are; 3,30,365")
    parser.add_argument("--files", type=int, default=10_000, help="how many small files; 10000")
    parser.add_argument("--without", type=_names, default=frozenset(), help="contenders left out, by name; a|b")
    parser.add_argument("--folder", type=Path, help="where the data are made, and removed again")
    parser.add_argument("--output", type=Path, default=report.RESULTS, help="the file that is written")
    return parser


def _works(text: str) -> list[str]:
    names = text.split(",")
    for name in names:
        if name not in WORKS:
            raise argparse.ArgumentTypeError(f"there is no work {name}; there are {', '.join(WORKS)}")
    return names


def _floats(text: str) -> list[float]:
    return [float(part) for part in text.split(",")]


def _integers(text: str) -> tuple[int, ...]:
    return tuple(sorted(int(part) for part in text.split(",")))


def _names(text: str) -> frozenset[str]:
    return frozenset(text.split("|"))


if __name__ == "__main__":
    main()
