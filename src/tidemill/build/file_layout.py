"""Which periods of a table lie in one file: those of a month, and apart from them the newest few.

So the file that grows with every hour stays small, however long the history is, and a year is not 365 files.
"""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

NEWEST: Final = 2
"""How many periods, at the end, lie in a file of their own: the open one, and one more for late records."""


def layout(periods: Iterable[str]) -> dict[str, str]:
    """Of each period the first one of its file; it follows from the periods alone, not from how they came about."""
    ordered = sorted(periods)
    open_ = ordered[-NEWEST:]
    found: dict[str, str] = {}
    for _, those in groupby(ordered, key=lambda period: (period[:7], "") if period not in open_ else ("", "open")):
        first, *rest = those
        found |= dict.fromkeys((first, *rest), first)
    return found
