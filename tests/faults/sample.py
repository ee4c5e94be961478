"""Which faults the ordinary tests take: few, and of every step and every kind of call some."""

from __future__ import annotations

from itertools import cycle
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    Changes = Sequence[tuple[str, str]]


def spread(made: Mapping[str, Changes], shares: Mapping[str, int]) -> dict[str, list[int]]:
    """Of each step as many of its changes as its share says: of each kind of call, then of the rarest so far."""
    taken: dict[str, int] = {}
    found: dict[str, list[int]] = {}
    for step, share in shares.items():
        numbers: dict[str, list[int]] = {}
        for number, (call, _) in enumerate(made[step], 1):
            numbers.setdefault(call, []).append(number)
        rarest = sorted(numbers, key=lambda call: (taken.get(call, 0), len(numbers[call]), call))
        chosen: list[int] = []
        for turn, call in zip(range(share), cycle(rarest), strict=False):
            those = numbers[call]
            chosen.append(those[turn * len(those) // share])
            taken[call] = taken.get(call, 0) + 1
        found[step] = sorted(set(chosen))
    return found
