"""How tracked code performs."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.oracle.activity import daily
from tests.oracle.figures import basics, estimated_pct, exact_sum, known, pct, success_rate
from tests.oracle.world import by, grouped

if TYPE_CHECKING:
    from tests.oracle.world import Row, World


def functions_daily(world: World) -> list[Row]:
    """Each function, day by day."""
    return [
        {"day": day, "function": name, "category": category}
        | _counts(calls)
        | basics("duration_seconds", _seconds(calls))
        | pct("duration_seconds", _seconds(calls))
        | _extremes(world, calls)
        for (day, name, category), calls in daily(world, _calls(world), "name", "category").items()
    ]


def functions(world: World) -> list[Row]:
    """Each function over all days; percentiles are the histogram's."""
    return [
        {"function": name, "category": category}
        | _counts(calls)
        | basics("duration_seconds", _seconds(calls))
        | estimated_pct("duration_seconds", known(calls, "duration_ms"), 1000)
        | _extremes(world, calls)
        for (name, category), calls in grouped(_calls(world), by("name", "category")).items()
    ]


def function_calls_notable(world: World) -> list[Row]:
    """The calls that did not succeed, or took long."""
    return [
        {"source": call["source"], "id": call["id"], "started_at": call["timestamp"]}
        | {"function": call["name"], "category": call["category"]}
        | {"ended_at": _ended(call), "duration_seconds": call["duration_seconds"]}
        | {column: call[column] for column in ("success", "error_type", "message")}
        for call in _calls(world)
        if call["success"] is not True or (call["duration_seconds"] or 0) > world.short_max
    ]


def _calls(world: World) -> list[Row]:
    """The function calls, each with its duration in seconds."""
    return [
        call | {"duration_seconds": None if call["duration_ms"] is None else call["duration_ms"] / 1000}
        for call in world.of_type("function_call")
    ]


def _ended(call: Row) -> Any:
    if call["duration_ms"] is None:
        return None
    return call["timestamp"] + timedelta(milliseconds=call["duration_ms"])


def _seconds(calls: list[Row]) -> list[float]:
    return known(calls, "duration_seconds")


def _counts(calls: list[Row]) -> Row:
    return {"calls": len(calls)} | success_rate(calls)


def _extremes(world: World, calls: list[Row]) -> Row:
    timed = [call for call in calls if call["duration_seconds"] is not None]
    fast = [call for call in timed if call["duration_seconds"] <= world.short_max]
    slow = [call for call in timed if call["duration_seconds"] > world.medium_max]
    good = [call for call in fast if call["success"] is True]
    overheads = [value / 1000 for value in known(calls, "overhead_ms")]
    return {
        "fast": len(fast),
        "medium": len(timed) - len(fast) - len(slow),
        "slow": len(slow),
        "fast_successes": len(good),
        "fast_success_seconds": exact_sum(_seconds(good)),
        "overhead_seconds": exact_sum(overheads),
        **_one("slowest", max(timed, key=lambda call: call["duration_seconds"], default=None)),
        **_one("fastest", min(timed, key=lambda call: call["duration_seconds"], default=None)),
    }


def _one(title: str, call: Row | None) -> Row:
    """A call's moment, seconds and success; max and min keep the first of equals, and calls are in time."""
    columns = {"at": "timestamp", "seconds": "duration_seconds", "success": "success"}
    return {f"{title}_{name}": call and call[column] for name, column in columns.items()}
