"""What a process of the long run does: faults in a place of its own, with a history of its own."""

from __future__ import annotations

import os
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Final

from tests.faults.kills import Case
from tests.faults.refusals import refuse
from tests.faults.scenario import STEPS, Place, prepare

if TYPE_CHECKING:
    from pathlib import Path

KILL, MOMENT = "kill", "kill at a moment"
BUILT_EVERY: Final = 10
"""After so many kills of a step one is followed by a build."""


@dataclass(frozen=True)
class Task:
    """What is to be done to which step: at its n-th change, or after so many seconds."""

    step: str
    how: str
    number: int = 0
    seconds: float = 0.0


@dataclass(frozen=True)
class Outcome:
    """What was done where, what readers saw, and what was wrong."""

    task: Task
    where: str
    wrong: list[str]
    seen: dict[str, int] = field(default_factory=dict)


@cache
def _case(folder: Path, step: str) -> Case:
    return Case(_place(folder), next(one for one in STEPS if one.name == step))


@cache
def _place(folder: Path) -> Place:
    """This process's own place, with its own history."""
    place = Place(folder / str(os.getpid()))
    place.folder.mkdir(parents=True)
    prepare(place)
    return place


def changes(folder: Path, step: str) -> list[tuple[str, str]]:
    """The changes that a step makes."""
    return _case(folder, step).changes


def work(folder: Path, task: Task) -> Outcome:
    """Do one task in this process's place."""
    case = _case(folder, task.step)
    case.seen.clear()
    if task.how == KILL:
        place, wrong = case.kill_at(task.number, build=task.number % BUILT_EVERY == 0)
    elif task.how == MOMENT:
        lived, wrong = case.kill_after(task.seconds)
        place = "at a moment" if lived else "too late"
    else:
        place, wrong = refuse(case, task.how, task.number)
    return Outcome(task, place, wrong, dict(case.seen))
