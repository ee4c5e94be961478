"""A reader in one warm process: percentiles from the histogram, from raw rows, and by show; seconds and figures."""

from __future__ import annotations

import json
import sys
import time
from datetime import datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tidemill import Tidemill

if TYPE_CHECKING:
    from collections.abc import Callable

HISTOGRAM = """
SELECT
    unnest([
        histogram_percentile(bucket, events, 0.5),
        histogram_percentile(bucket, events, 0.95),
        histogram_percentile(bucket, events, 0.99)
    ]) AS value
FROM (
    SELECT bucket, sum(events) AS events
    FROM latency_histogram
    WHERE day > DATE '{day}' - {days} AND day <= DATE '{day}'{filters}
    GROUP BY bucket
)
"""
EXACT = """
SELECT unnest(quantile_cont(duration_ms, [0.5, 0.95, 0.99])) AS value
FROM lake.events
WHERE timestamp >= TIMESTAMPTZ '{first}' AND timestamp < TIMESTAMPTZ '{end}'{filters}
"""
KINDS = "('function_call', 'tool_use', 'agent_execution', 'llm_request', 'command_executed', 'step', 'performance', \
'hook_triggered')"
FILTERS = {
    "everything": ("", f" AND type IN {KINDS}"),
    "one type": (" AND type = 'llm_request'", " AND type = 'llm_request'"),
    "one tool": (
        " AND type = 'tool_use' AND name = 'Read'",
        " AND type = 'tool_use' AND tool_name = 'Read'",
    ),
}

home, lengths, repeats, target = sys.argv[1:]
mill = Tidemill(home)
((newest,),) = mill.sql("SELECT max(day) FROM latency_histogram").fetchall()


def of_histogram(days: int, filters: str) -> list[float]:
    """From the buckets of whole days."""
    rows = mill.sql(HISTOGRAM.format(day=newest, days=days, filters=filters)).fetchall()
    return [value for (value,) in rows]


def of_rows(days: int, filters: str) -> list[float]:
    """From the raw rows of the same days."""
    end = datetime.combine(newest + timedelta(days=1), datetime.min.time())
    query = EXACT.format(first=f"{end - timedelta(days=days)}+00", end=f"{end}+00", filters=filters)
    return [value for (value,) in mill.sql(query).fetchall()]


def shown(days: int) -> list[float]:
    """Each day's, by show, from raw rows."""
    found = mill.show("event_types_daily", since=f"{days}d", as_of="latest", where={"type": "llm_request"})
    return [*found.select("p50_duration_ms", "p95_duration_ms", "p99_duration_ms").row(-1)]


def timed(ask: Callable[[], list[float]], times: int) -> dict[str, Any]:
    """How long it took each time, after it was asked once, and what it said."""
    values, took = ask(), []
    for _ in range(times):
        started = time.perf_counter()
        values = ask()
        took.append(time.perf_counter() - started)
    return {"values": values, "seconds": took}


answers = []
for days in map(int, lengths.split(",")):
    for name, (buckets, rows) in FILTERS.items():
        histogram = timed(lambda: of_histogram(days, buckets), int(repeats))  # noqa: B023 - it is called here
        exact = timed(lambda: of_rows(days, rows), int(repeats))  # noqa: B023
        answers.append({"days": days, "what": name, "histogram": histogram, "exact": exact})
    answers.append({"days": days, "what": "show, one type, by day", "show": timed(lambda: shown(days), int(repeats))})  # noqa: B023
Path(target).write_text(json.dumps(answers), encoding="utf-8")
