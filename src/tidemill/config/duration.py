"""Durations such as 36h and 7d, and the periods of tables."""

from __future__ import annotations

import re
from typing import Final

PERIODS: Final = ("day", "week", "month")
"""What reporting days add up to; each period is named by its first day."""


_SPAN: Final = re.compile(r"([1-9]\d{0,8})([hd])")


def hours(span: str) -> int | None:
    """Return the hours of a duration like 36h or 7d, and None for any other text."""
    found = _SPAN.fullmatch(span)
    return int(found[1]) * {"h": 1, "d": 24}[found[2]] if found else None
