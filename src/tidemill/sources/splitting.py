"""A large file of JSON lines in parts that can be staged at the same time: its days, and long ones in several."""

from __future__ import annotations

import re
from bisect import bisect
from typing import IO, TYPE_CHECKING, Final

from tidemill.sources.files import BUFFER

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

_DAY: Final = re.compile(rb'"timestamp"\s*:\s*"(\d{4}-\d\d-\d\d)')
FAR_ENOUGH: Final = 1 << 16
"""A line that says its day stands within so many bytes."""
SMALL_DAY: Final = 16 << 20
"""Days of fewer bytes are told apart when they are written."""
LONG_PART: Final = 256 << 20
"""A part that is no longer can be told apart in memory."""


def find(path: Path) -> list[tuple[int, int]]:
    """From where to where the lines of each day stand in a file of JSON lines, if it is in the order of time.

    Told by looking for the bytes at which a day begins: a file out of order has days in the wrong place, too. Long days
    are in parts. Empty when a line's day cannot be told, or when a day would be small.
    """
    size = path.stat().st_size
    found: list[tuple[int, int]] = []
    with path.open("rb") as file:
        last = _day_after(file, max(0, size - FAR_ENOUGH))
        start, day = 0, _day_after(file, 0)[1]
        while day and last[1] and day < last[1]:
            known: str = day
            end, day = _day_after(
                file, bisect(range(size), known, lo=start, key=lambda at: _day_after(file, at)[1] or last[1] or known)
            )
            found.append((start, end))
            start = end
        found.append((start, size))
        if not day or size / len(found) < SMALL_DAY:
            return []
        return [part for start, end in found for part in _shortened(file, start, end)]


def _shortened(file: IO[bytes], start: int, end: int) -> Iterator[tuple[int, int]]:
    """Some lines in parts of about the same size, none of them long."""
    size = -(-(end - start) // -(-(end - start) // LONG_PART))
    while end - start > size:
        file.seek(start + size)
        file.readline()
        cut = min(file.tell(), end)
        yield start, cut
        start = cut
    if start < end:
        yield start, end


def _day_after(file: IO[bytes], offset: int) -> tuple[int, str | None]:
    """Where the first line at or after an offset begins, and the day that it says."""
    begin = offset - 1 if offset else 0
    file.seek(begin)
    text = file.read(FAR_ENOUGH)
    start = text.find(b"\n") + 1 if offset else 0
    match = _DAY.search(text, start)
    return begin + start, match[1].decode() if match else None


def cut(path: Path, start: int, end: int, target: Path) -> int:
    """Copy some bytes of a file to one of their own; returns how many lines end in them."""
    lines = 0
    with path.open("rb", buffering=0) as file, target.open("wb", buffering=0) as copy:
        file.seek(start)
        while chunk := file.read(min(BUFFER, end - file.tell())):
            copy.write(chunk)
            lines += chunk.count(b"\n")
    return lines
