"""Published rows against the oracle's: the same columns, rows and order; counts exactly, doubles to 1e-9."""

from __future__ import annotations

import math
from datetime import datetime, timedelta
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.oracle.world import Row

RELATIVE, ABSOLUTE = 1e-9, 1e-12
SHOWN = 5
COMPUTED_INSTANTS = {"ended_at"}
"""Instants that are a moment and a fraction of a millisecond: the last microsecond is left open."""


def differences(columns: Sequence[str], got: Sequence[Row], expected: Sequence[Row], key: Sequence[str]) -> list[str]:
    """What differs, a line each, at most a few; nothing when the rows are the same, in any order."""
    if expected and list(columns) != list(expected[0]):
        return [f"columns {list(columns)}, not {list(expected[0])}"]
    found, wanted = _by_key(got, key), _by_key(expected, key)
    lines = []
    if len(found) < len(got):
        lines.append(f"{len(got) - len(found)} rows repeat a key")
    lines += [f"no row {name}: {wanted[name]}" for name in wanted.keys() - found.keys()]
    lines += [f"a row too many {name}: {found[name]}" for name in found.keys() - wanted.keys()]
    lines += [
        f"{name} {column}: {found[name][column]!r}, not {wanted[name][column]!r}"
        for name in wanted.keys() & found.keys()
        for column in columns
        if not same(found[name][column], wanted[name][column], exact=column not in COMPUTED_INSTANTS)
    ]
    return lines[:SHOWN]


def _by_key(rows: Iterable[Row], key: Sequence[str]) -> dict[tuple[Any, ...], Row]:
    return {tuple(row[column] for column in key): row for row in rows}


def same(got: Any, expected: Any, *, exact: bool = True) -> bool:
    """Whether two values are of one type and equal; doubles nearly so."""
    if type(got) is not type(expected):
        return False
    if isinstance(got, float):
        return math.isclose(got, expected, rel_tol=RELATIVE, abs_tol=ABSOLUTE)
    if isinstance(got, datetime) and not exact:
        return bool(abs(got - expected) <= timedelta(microseconds=1))
    return bool(got == expected)


def disorder(got: Sequence[Row], sort: Sequence[str], key: Sequence[str]) -> list[str]:
    """The first row that is not where the header's sort puts it."""
    rows = list(got)
    for column, *direction in reversed([part.split() for part in sort]):
        known = [row for row in rows if row[column] is not None]
        known.sort(key=lambda row: row[column], reverse="DESC" in direction)
        rows = known + [row for row in rows if row[column] is None]
    return misplaced(got, rows, key)


def misplaced(got: Sequence[Row], expected: Sequence[Row], key: Sequence[str]) -> list[str]:
    """The first row whose key is not the one expected there."""
    pairs = zip_longest(_by_key(got, key), _by_key(expected, key))
    return [f"row {n} is {one}, not {other}" for n, (one, other) in enumerate(pairs) if one != other][:1]
