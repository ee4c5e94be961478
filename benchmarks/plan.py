"""What is measured in one run: how much of it, how often, and where it is made."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.measure import Timed, side_by_side

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.measure import Contender

MILLION: Final = 1_000_000


@dataclass(frozen=True)
class Plan:
    """How much, how often and where; `without` are contenders that this run leaves out.

    `folder` is one work's own, `shared` is where works find a home that another has made.
    """

    folder: Path
    shared: Path
    events: int = MILLION
    rounds: int = 5
    day_events: int = 20_000
    days: tuple[int, ...] = (3, 30, 365)
    files: int = 10_000
    without: frozenset[str] = frozenset()

    def compete(self, contenders: Sequence[Contender]) -> list[Timed]:
        """Check and time contenders in turn; the first is ours. Those left out of this run are told as such."""
        present = [contender for contender in contenders if contender.name not in self.without]
        found = side_by_side(present, self.rounds, say)
        left = [Timed(c, missing="left out of this run") for c in contenders if c.name in self.without]
        return [*found, *left]


def say(text: str) -> None:
    """Tell whoever waits how far it is."""
    print(text, file=sys.stderr, flush=True)
