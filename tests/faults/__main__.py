"""`make faults`: kills every step of the history at each of its changes and at random times, and lets calls fail.

Prints how many by step and call, which states readers saw, and what was wrong; the exit code is 1 if anything was.
"""

from __future__ import annotations

import argparse
import os
import random
import shutil
import sys
import tempfile
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor, as_completed
from multiprocessing import get_context
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tests.faults.refusals import REFUSALS
from tests.faults.scenario import STEPS
from tests.faults.work import KILL, MOMENT, Outcome, Task, changes, work

if TYPE_CHECKING:
    from collections.abc import Iterable

LONGEST_SECONDS: Final = 1.5


def tasks(asked: argparse.Namespace, made: dict[str, list[tuple[str, str]]]) -> list[Task]:
    """What is to be done, in an order by chance, so that what was done by any time is spread over everything."""
    chance = random.Random(asked.seed)
    found = [Task(step, KILL, n) for step, those in made.items() for n in range(1, len(those) + 1, asked.every)]
    found += [
        Task(step, MOMENT, seconds=chance.uniform(0.2, LONGEST_SECONDS)) for step in made for _ in range(asked.moments)
    ]
    for how, refusal in REFUSALS.items():
        for step, those in made.items():
            numbers = [n for n, (call, _) in enumerate(those, 1) if call in refusal.calls]
            found += [Task(step, how, n) for n in numbers[:: asked.refuse_every]] if asked.refuse_every else []
    chance.shuffle(found)
    return found


def report(outcomes: Iterable[Outcome], seconds: float) -> int:
    """Say what was found; the exit code."""
    all_, seen = list(outcomes), Counter[str]()
    calls: dict[tuple[str, str], Counter[str]] = {}
    for one in all_:
        calls.setdefault((one.task.how, one.task.step), Counter())[
            one.where.split()[0] if one.where else "not hit"
        ] += 1
        seen.update(one.seen)
    for (how, step), counts in sorted(calls.items()):
        told = ", ".join(f"{call} {count}" for call, count in counts.most_common())
        print(f"{how}: {step}: {counts.total()} ({told})")
    wrong = [one for one in all_ if one.wrong]
    for one in wrong:
        print(f"WRONG {one.task} at {one.where}:", *one.wrong, sep="\n    ")
    kills = sum(one.task.how in {KILL, MOMENT} and one.where != "too late" for one in all_)
    print(
        f"{kills:,} kills and {sum(one.task.how in REFUSALS for one in all_):,} refusals in {seconds:,.0f} seconds; "
        f"readers saw the state before {seen['before']:,} times, the one after {seen['after']:,} times, "
        f"nothing before a first publish {seen['nothing']:,} times; differences: {len(wrong)}"
    )
    return int(bool(wrong))


def main() -> int:
    """Run what the arguments ask for."""
    parser = argparse.ArgumentParser(prog="make faults", description=__doc__)
    parser.add_argument("--only", nargs="+", choices=[step.name for step in STEPS], help="these steps")
    parser.add_argument("--every", type=int, default=1, metavar="N", help="kill at every N-th change (1)")
    parser.add_argument("--moments", type=int, default=25, metavar="N", help="kills of a step at random times (25)")
    parser.add_argument("--refuse-every", type=int, default=20, metavar="N", help="let every N-th fail (20; 0: none)")
    parser.add_argument("--jobs", type=int, default=os.cpu_count(), help="processes at a time (one a processor)")
    parser.add_argument("--seed", type=int, default=1, help="of the random times (1)")
    parser.add_argument("--limit", type=int, help="do so many of all these, by chance")
    asked = parser.parse_args()
    started = time.monotonic()
    steps = asked.only or [step.name for step in STEPS]
    outcomes: list[Outcome] = []
    folder = Path(tempfile.mkdtemp(prefix="tidemill-faults-"))
    try:
        with ProcessPoolExecutor(asked.jobs, mp_context=get_context("spawn")) as pool:
            made = {step: pool.submit(changes, folder, step).result() for step in steps}
            due = tasks(asked, made)[: asked.limit]
            print(f"{len(due):,} faults in {', '.join(steps)}", flush=True)
            try:
                for future in as_completed([pool.submit(work, folder, task) for task in due]):
                    outcomes.append(future.result())
                    if outcomes[-1].wrong:
                        print("WRONG", outcomes[-1], flush=True)
                    if len(outcomes) % 100 == 0:
                        print(f"{len(outcomes):,} done, {time.monotonic() - started:,.0f} seconds", flush=True)
            except KeyboardInterrupt:
                print("interrupted: what was done until now", flush=True)
                pool.shutdown(cancel_futures=True)
    finally:
        shutil.rmtree(folder, ignore_errors=True)
    return report(outcomes, time.monotonic() - started)


if __name__ == "__main__":
    sys.exit(main())
