"""pandas: six rollups over Parquet of events, read once with the columns that are needed."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

import pandas as pd

source, target = map(Path, sys.argv[1:])
FIGURES = ["duration_ms", "input_tokens", "output_tokens", "total_tokens", "cost_usd"]
OWNERS = ["session_id", "user_id", "project"]
COLUMNS = ["timestamp", "type", *OWNERS, "agent_id", "tool_name", "job_id", "success", *FIGURES]
SUMS = FIGURES[1:4]

events = pd.read_parquet(source, columns=COLUMNS, partitioning=None, dtype_backend="pyarrow")
events["day"] = events["timestamp"].dt.date
events["hour"] = events["timestamp"].dt.floor("h")
events["succeeded"] = events["success"].fillna(value=False)
events["failed"] = (~events["success"]).fillna(value=False)
events["unknown"] = events["success"].isna()
events["error"] = events["type"] == "error_occurred"
events["question"] = events["type"] == "question"
once = (events["type"] != "document_updated") & ((events["type"] != "step") | events["job_id"].notna())
counted = events.copy()
counted[FIGURES] = counted[FIGURES].where(once)


def grouped(frame: pd.DataFrame, key: list[str]) -> Any:  # noqa: ANN401 - pandas says no better
    """The groups of a key, in which a missing value is one, too."""
    return frame.groupby(key, dropna=False, sort=False)


def outcomes(groups: Any) -> pd.DataFrame:  # noqa: ANN401
    """How many there are, and how they ended."""
    return groups.agg(
        events=("type", "size"), successes=("succeeded", "sum"), failures=("failed", "sum"), unknown=("unknown", "sum")
    )


def rate(found: pd.DataFrame) -> pd.Series:
    """Successes of those that are known; none of none."""
    known = found["successes"] + found["failures"]
    return found["successes"] / known.where(known > 0)


def durations(groups: Any) -> pd.DataFrame:  # noqa: ANN401
    """How long the events took."""
    x = groups["duration_ms"]
    found = pd.DataFrame(
        {
            "count_duration_ms": x.count(),
            "total_duration_ms": x.sum(min_count=1),
            "avg_duration_ms": x.mean(),
            "min_duration_ms": x.min(),
            "max_duration_ms": x.max(),
        }
    )
    percentiles = x.quantile([0.5, 0.95, 0.99]).unstack()
    for q, name in ((0.5, "p50"), (0.95, "p95"), (0.99, "p99")):
        found[f"{name}_duration_ms"] = percentiles[q]
    return found


def write(name: str, table: pd.DataFrame) -> None:
    """Write a table, its key as columns."""
    table.reset_index().to_parquet(target / f"{name}.parquet")


def activity(name: str, key: str) -> None:
    """How much happened in each day or hour."""
    groups = grouped(counted, [key])
    found = outcomes(groups).assign(
        errors=groups["error"].sum(), sessions=groups["session_id"].nunique(), users=groups["user_id"].nunique()
    )
    found["success_rate"] = rate(found)
    found = found.join(durations(groups)).join(groups[SUMS].sum())
    found["tokens_per_session"] = found["total_tokens"] / found["sessions"].where(found["sessions"] > 0)
    found["cost_usd"] = groups["cost_usd"].sum(min_count=1)
    write(name, found)


def uses(name: str, kind: str, key: str) -> None:
    """How often tools or agents were used."""
    groups = grouped(events[events["type"] == kind], ["day", key])
    found = outcomes(groups).rename(columns={"events": "uses"})
    found["success_rate"] = rate(found)
    write(name, found.join(durations(groups)))


activity("activity_daily", "day")
activity("activity_hourly", "hour")
uses("agents_daily", "agent_execution", "agent_id")
uses("tools_daily", "tool_use", "tool_name")
by_type = grouped(events, ["day", "type"])
types = outcomes(by_type).join(durations(by_type))
types["total_tokens"] = by_type["total_tokens"].sum()
types["cost_usd"] = by_type["cost_usd"].sum(min_count=1)
write("event_types_daily", types)
by_session = grouped(counted[counted[OWNERS].notna().any(axis=1)], ["day", *OWNERS])
sessions = by_session.agg(
    first_at=("timestamp", "min"),
    last_at=("timestamp", "max"),
    events=("type", "size"),
    errors=("error", "sum"),
    failures=("failed", "sum"),
    questions=("question", "sum"),
    total_tokens=("total_tokens", "sum"),
)
sessions["total_duration_ms"] = by_session["duration_ms"].sum(min_count=1)
sessions["cost_usd"] = by_session["cost_usd"].sum(min_count=1)
write("session_activity_daily", sessions)
