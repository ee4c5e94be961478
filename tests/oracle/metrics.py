"""Any number over time."""

from __future__ import annotations

from itertools import pairwise
from typing import TYPE_CHECKING

from tests.oracle import clock
from tests.oracle.figures import ordered_sum, pct, ratio
from tests.oracle.world import by, grouped

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date, datetime

    from tests.oracle.world import Row, World

SERIES = ("name", "unit", "kind", "labels")


def _metric(title: str, bucket_of: Callable[[World, datetime], date]) -> Callable[[World], list[Row]]:
    def table(world: World) -> list[Row]:
        groups = grouped(_risen(world), lambda row: (bucket_of(world, row["timestamp"]), *by(*SERIES)(row)))
        return [dict(zip((title, *SERIES), key, strict=True)) | _figures(rows) for key, rows in groups.items()]

    return table


def _risen(world: World) -> list[Row]:
    """The samples in time, each with how far its counter rose since the day's sample before."""
    days = grouped(world.metrics, lambda row: (world.day(row["timestamp"]), *by(*SERIES)(row)))
    risen: list[Row] = []
    for samples in days.values():
        risen.append(samples[0] | {"rise": None})
        for before, after in pairwise(samples):
            fell = after["value"] < before["value"]
            rise = after["value"] if fell else after["value"] - before["value"]
            risen.append(after | {"rise": rise if after["kind"] == "counter" else None})
    return risen


def _figures(rows: list[Row]) -> Row:
    values = [row["value"] for row in rows]
    total = ordered_sum(values)
    return {
        "samples": len(values),
        "total_value": total,
        "avg_value": ratio(total, len(values)),
        "min_value": min(values),
        "max_value": max(values),
        **pct("value", values),
        "first_value": values[0],
        "last_value": values[-1],
        "increase": ordered_sum([row["rise"] for row in rows if row["rise"] is not None]),
    }


metric_hourly = _metric("hour", clock.hour)
metric_daily = _metric("day", clock.day)
