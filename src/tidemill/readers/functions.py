"""Tracked functions: how often they are called, how that ends, how long it takes."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Literal

from typing_extensions import TypedDict

from tidemill.readers.snapshot import spelt

if TYPE_CHECKING:
    from tidemill.readers.snapshot import Published


class DurationCounts(TypedDict):
    """Calls of at most `short_max` seconds, of at most `medium_max`, and longer ones."""

    fast: int
    medium: int
    slow: int


class Call(TypedDict):
    """One call: when it began, how many seconds it took, whether it succeeded (null: it does not say)."""

    function: str | None
    category: str | None
    started_at: str | None
    duration_seconds: float
    success: bool | None


class Functions(TypedDict):
    """Calls in all; times in seconds, the rate in percent of the calls that say how they ended; null of none."""

    total_calls: int
    total_success: int
    success_rate: float | None
    total_time: float | None
    avg_duration: float | None
    slowest: Call | None
    fastest: Call | None
    duration_counts: DurationCounts
    function_count: int
    event_count: int


_TOTALS = """
SELECT
    CAST(coalesce(sum(calls), 0) AS BIGINT) AS calls,
    CAST(coalesce(sum(successes), 0) AS BIGINT) AS successes,
    CAST(coalesce(sum(failures), 0) AS BIGINT) AS failures,
    CAST(coalesce(sum(count_duration_seconds), 0) AS BIGINT) AS timed,
    CAST(sum(CAST(total_duration_seconds AS DECIMAL(38, 12))) AS DOUBLE) AS seconds,
    CAST(coalesce(sum(fast), 0) AS BIGINT) AS fast,
    CAST(coalesce(sum(medium), 0) AS BIGINT) AS medium,
    CAST(coalesce(sum(slow), 0) AS BIGINT) AS slow,
    count(DISTINCT function) AS functions
FROM functions
WHERE $function IS NULL OR function = $function
"""
_EXTREMES = """
SELECT function, category, slowest_at, slowest_seconds, slowest_success, fastest_at, fastest_seconds, fastest_success
FROM functions
WHERE count_duration_seconds > 0 AND ($function IS NULL OR function = $function)
QUALIFY
    row_number() OVER (ORDER BY slowest_seconds DESC, slowest_at, function, category) = 1
    OR row_number() OVER (ORDER BY fastest_seconds, fastest_at, function, category) = 1
ORDER BY slowest_seconds DESC, slowest_at, function, category
"""


def functions(published: Published, *, function: str | None = None) -> Functions:
    """How the calls of one function or of all went, from the table `functions`.

    success_rate = successes / (successes + failures), of a hundred; event_count is how many calls the figures are of.
    """
    (found,) = published.rows(_TOTALS, "functions", function=function)
    extremes = published.rows(_EXTREMES, "functions", function=function)
    ended = found["successes"] + found["failures"]
    return {
        "total_calls": found["calls"],
        "total_success": found["successes"],
        "success_rate": found["successes"] / ended * 100 if ended else None,
        "total_time": found["seconds"],
        "avg_duration": found["seconds"] / found["timed"] if found["timed"] else None,
        "slowest": _call(extremes[0], "slowest") if extremes else None,
        "fastest": _call(min(extremes, key=_fastest), "fastest") if extremes else None,
        "duration_counts": {"fast": found["fast"], "medium": found["medium"], "slow": found["slow"]},
        "function_count": found["functions"],
        "event_count": found["calls"],
    }


def _fastest(row: dict[str, Any]) -> tuple[Any, ...]:
    names = (part for name in ("function", "category") for part in (row[name] is None, row[name] or ""))
    return row["fastest_seconds"], row["fastest_at"], *names


def _call(row: dict[str, Any], which: Literal["slowest", "fastest"]) -> Call:
    return {
        "function": row["function"],
        "category": row["category"],
        "started_at": spelt(row[f"{which}_at"]),
        "duration_seconds": row[f"{which}_seconds"],
        "success": row[f"{which}_success"],
    }
