"""Contenders as processes of their own: each checked first, then timed in turn, and what is compared are medians."""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

LAUNCH: Final = Path(__file__).with_name("launch.py")
SAID: Final = 300
"""As much of what a failed command said last is told."""


class ContenderError(Exception):
    """A contender cannot be run, or does not give our answer."""


@dataclass(frozen=True)
class Measured:
    """Seconds on the clock and of processor time, and peak memory in GiB, as the operating system accounts them."""

    wall: float
    processor: float = 0.0
    memory: float = 0.0


@dataclass(frozen=True)
class Contender:
    """Something that does the work: commands that run one after another, and what is not timed around them.

    `clear` puts things back as they were before each run; `check` raises ContenderError when the answer is not ours;
    `after` looks at what each timed run left.
    `note` says what it does otherwise by design; `missing` why it cannot be run here.
    """

    name: str
    steps: Sequence[Sequence[str]]
    clear: Callable[[], None] = lambda: None
    check: Callable[[], None] = lambda: None
    after: Callable[[], None] = lambda: None
    environment: Mapping[str, str] = field(default_factory=dict)
    version: str = ""
    note: str = ""
    missing: str = ""


@dataclass(frozen=True)
class Timed:
    """What a contender took: each of its steps in each round; or why there is nothing."""

    contender: Contender
    rounds: Sequence[Sequence[Measured]] = ()
    missing: str = ""

    @property
    def walls(self) -> list[float]:
        """Seconds of each round, all steps together."""
        return [sum(step.wall for step in steps) for steps in self.rounds]

    @property
    def wall(self) -> float:
        """The median of the rounds' seconds."""
        return statistics.median(self.walls) if self.rounds else float("nan")

    @property
    def memory(self) -> float:
        """The median of the rounds' peaks, in GiB."""
        return statistics.median(max(step.memory for step in steps) for steps in self.rounds)

    def step(self, number: int) -> float:
        """The median of one step's seconds."""
        return statistics.median(steps[number].wall for steps in self.rounds)


def measure(command: Sequence[str], environment: Mapping[str, str] | None = None) -> Measured:
    """Run a command to its end.

    Raises:
        ContenderError: it failed; the message ends with what it said last.
    """
    launch = [sys.executable, "-I", str(LAUNCH), *command]
    own = {**os.environ, **(environment or {})}
    own.pop("PYTHONDONTWRITEBYTECODE", None)  # compiled once, as what a user has installed is
    done = subprocess.run(launch, env=own, capture_output=True, check=False)
    said = done.stderr.decode(errors="replace").strip()
    if not done.stdout:
        raise ContenderError(said.splitlines()[-1] if said else f"{command[0]} cannot be started")
    found = json.loads(done.stdout)
    code = found.pop("code")
    if code:
        how = f"ended by signal {-code}" if code < 0 else f"exit code {code}"
        raise ContenderError(" ".join(f"{Path(command[0]).name} {how}: {said[-SAID:]}".split()))
    return Measured(**found)


def run(contender: Contender) -> list[Measured]:
    """Put things back and run each step."""
    contender.clear()
    return [measure(step, contender.environment) for step in contender.steps]


def side_by_side(contenders: Sequence[Contender], rounds: int, say: Callable[[str], None]) -> list[Timed]:
    """Check every contender's answer, then time those that gave ours, taking turns.

    The first contender is ours: what it cannot do is an error, and nothing is compared.

    Raises:
        ContenderError: the first contender failed.
    """
    missing = {contender.name: _checked(contender, say) for contender in contenders}
    if missing[contenders[0].name]:
        raise ContenderError(f"{contenders[0].name}: {missing[contenders[0].name]}")
    found: dict[str, list[list[Measured]]] = {contender.name: [] for contender in contenders}
    for number in range(rounds):
        for contender in contenders:
            if not missing[contender.name]:
                found[contender.name].append(run(contender))
                contender.after()
                say(f"{contender.name}, round {number + 1}: {sum(s.wall for s in found[contender.name][-1]):.2f} s")
    return [Timed(contender, found[contender.name], missing[contender.name]) for contender in contenders]


def _checked(contender: Contender, say: Callable[[str], None]) -> str:
    """Why a contender is not timed; empty when it gave our answer."""
    missing = contender.missing
    if not missing:
        try:
            run(contender)
            contender.check()
        except ContenderError as error:
            missing = str(error)
    if missing:
        say(f"{contender.name} is not timed: {missing}")
    return missing
