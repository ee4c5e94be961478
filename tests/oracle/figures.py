"""Sums, rates, percentiles and the latency histogram."""

from __future__ import annotations

import math
from collections import Counter
from decimal import ROUND_HALF_UP, Decimal, localcontext
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.oracle.world import Row

GAMMA = 1.01 / 0.99
QUANTILES = {"p50": 0.5, "p95": 0.95, "p99": 0.99}


def known(rows: Iterable[Row], column: str) -> list[Any]:
    """The values of a column that are not null, in the rows' order."""
    return [row[column] for row in rows if row[column] is not None]


def exact_sum(values: Iterable[float]) -> float | None:
    """The sum as DECIMAL(38,12); None of nothing."""
    with localcontext() as context:
        context.prec = 60
        rounded = [Decimal(value).quantize(Decimal("1e-12"), ROUND_HALF_UP) for value in values]
        return float(sum(rounded, Decimal(0))) if rounded else None


def ordered_sum(values: Iterable[float]) -> float | None:
    """The sum of doubles, added from the first to the last; None of nothing."""
    total = None
    for value in values:
        total = value if total is None else total + value
    return total


def ratio(part: float | None, whole: float | None) -> float | None:
    """A rate, share or average; None when there is nothing to divide, or to divide by."""
    return None if part is None or not whole else part / whole


def percentile(values: Sequence[float], quantile: float) -> float | None:
    """Linear interpolation between the two nearest ranks."""
    if not values:
        return None
    ordered = sorted(values)
    rank = (len(ordered) - 1) * quantile
    low, high = ordered[math.floor(rank)], ordered[math.ceil(rank)]
    share = rank - math.floor(rank)
    return low if low == high else low * (1 - share) + high * share


def pct(name: str, values: Sequence[float]) -> Row:
    """p50, p95 and p99 of the values."""
    return {f"{title}_{name}": percentile(values, quantile) for title, quantile in QUANTILES.items()}


def basics(name: str, values: Sequence[float]) -> Row:
    """Count, total, average, least and greatest."""
    total = exact_sum(values)
    return {
        f"count_{name}": len(values),
        f"total_{name}": total,
        f"avg_{name}": ratio(total, len(values)),
        f"min_{name}": min(values, default=None),
        f"max_{name}": max(values, default=None),
    }


def stats(name: str, values: Sequence[float]) -> Row:
    """Count, total, average, least, greatest, p50, p95 and p99."""
    return basics(name, values) | pct(name, values)


def outcomes(rows: Sequence[Row]) -> Row:
    """Successes, failures and unknown."""
    told = Counter(row["success"] for row in rows)
    return {"successes": told[True], "failures": told[False], "unknown": told[None]}


def success_rate(rows: Sequence[Row]) -> Row:
    """Outcomes and the rate of successes among those that are known."""
    told = outcomes(rows)
    return told | {"success_rate": ratio(told["successes"], told["successes"] + told["failures"])}


def bucket(value: float) -> int | None:
    """The histogram's bucket of a value; None for 0."""
    return math.ceil(math.log(value) / math.log(GAMMA)) if value > 0 else None


def estimate(number: int | None) -> float:
    """What stands for the values of a bucket: off by at most 1 %."""
    return 0.0 if number is None else 2 * GAMMA**number / (GAMMA + 1)


def estimated_pct(name: str, milliseconds: Sequence[float], unit: float = 1) -> Row:
    """p50, p95 and p99 of what the histogram knows of the values, in that many milliseconds."""
    return pct(name, [estimate(bucket(value)) / unit for value in milliseconds])
