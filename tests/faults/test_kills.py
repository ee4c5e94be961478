"""A sample of what `make faults` does at every change of the file system."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.faults.calls import CALLS
from tests.faults.sample import spread
from tests.faults.scenario import STEPS

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.faults.kills import Case

SHARES: Final = {
    "first ingest": 6,
    "first build": 6,
    "ingest": 6,
    "build": 7,
    "retry": 6,
    "compact": 9,
    "whole build": 2,
    "prune": 5,
}
"""How many kills of each step."""
BUILT: Final = 4
"""After so many kills of a step the tables are built, too, and compared."""


@pytest.fixture(scope="module")
def sample(case: Callable[[str], Case]) -> dict[str, list[int]]:
    """Which changes of each step it is killed at."""
    return spread({name: case(name).changes for name in SHARES}, SHARES)


@pytest.mark.parametrize("step", SHARES)
def test_a_step_that_was_killed_and_is_done_again_has_lost_nothing(
    step: str, case: Callable[[str], Case], sample: dict[str, list[int]]
) -> None:
    """Whatever change it was killed at, readers see the state before or after it, and the same command ends well.

    Then the lake, the ledger and the tables are those of an undisturbed run, and nothing lies about.
    """
    found = {}
    for turn, number in enumerate(sample[step]):
        where, wrong = case(step).kill_at(number, build=turn % BUILT == 0)
        found[f"{number}: {where}"] = wrong
    assert {where: wrong for where, wrong in found.items() if wrong} == {}


@pytest.mark.parametrize("seconds", [0.35, 0.45, 0.55])
def test_it_may_be_killed_at_any_moment(seconds: float, case: Callable[[str], Case]) -> None:
    """Not only before a change of the file system."""
    _, wrong = case("ingest").kill_after(seconds)
    assert wrong == []


def test_the_sample_is_spread_over_all_steps_and_calls(
    case: Callable[[str], Case], sample: dict[str, list[int]]
) -> None:
    """Some 50 kills; each kind of change that any step makes is among them."""
    made = {step: [call for call, _ in case(step).changes] for step in SHARES}
    killed = {made[step][number - 1] for step, numbers in sample.items() for number in numbers}
    assert SHARES.keys() == {step.name for step in STEPS}
    assert 40 <= sum(map(len, sample.values())) <= 60
    assert killed == {call for calls in made.values() for call in calls}
    assert killed <= {call.name for call in CALLS.values()}
