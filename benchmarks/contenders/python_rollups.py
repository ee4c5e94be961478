"""A plain Python loop: six rollups over Parquet of events, every record looked at once."""

from __future__ import annotations

import sys
from collections import defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.dataset
import pyarrow.parquet as pq

if TYPE_CHECKING:
    from datetime import datetime

source, target = map(Path, sys.argv[1:])
FIGURES = ("duration_ms", "input_tokens", "output_tokens", "total_tokens", "cost_usd")
OWNERS = ("session_id", "user_id", "project")
COLUMNS = ["timestamp", "type", *OWNERS, "agent_id", "tool_name", "job_id", "success", *FIGURES]


@dataclass
class Group:
    """What is added up of the events of one key."""

    events: int = 0
    errors: int = 0
    questions: int = 0
    successes: int = 0
    failures: int = 0
    input_tokens: int = 0
    output_tokens: int = 0
    total_tokens: int = 0
    cost_usd: float | None = None
    durations: list[float] = field(default_factory=list)
    sessions: set[str] = field(default_factory=set)
    users: set[str] = field(default_factory=set)
    first_at: datetime | None = None
    last_at: datetime | None = None


def add(group: Group, record: dict[str, Any], *, counts: bool, people: bool = False) -> None:
    """Add one event to a group."""
    group.events += 1
    group.errors += record["type"] == "error_occurred"
    group.questions += record["type"] == "question"
    group.successes += record["success"] is True
    group.failures += record["success"] is False
    if people:
        if record["session_id"] is not None:
            group.sessions.add(record["session_id"])
        if record["user_id"] is not None:
            group.users.add(record["user_id"])
    if counts:
        if record["duration_ms"] is not None:
            group.durations.append(record["duration_ms"])
        group.input_tokens += record["input_tokens"] or 0
        group.output_tokens += record["output_tokens"] or 0
        group.total_tokens += record["total_tokens"] or 0
        if record["cost_usd"] is not None:
            group.cost_usd = (group.cost_usd or 0.0) + record["cost_usd"]


def percentile(ordered: list[float], q: float) -> float:
    """Between the two nearest ranks."""
    place = (len(ordered) - 1) * q
    low = int(place)
    high = min(low + 1, len(ordered) - 1)
    return ordered[low] + (ordered[high] - ordered[low]) * (place - low)


def durations(group: Group) -> dict[str, Any]:
    """How long the events took."""
    ordered, many = sorted(group.durations), len(group.durations)
    total = sum(ordered) if many else None
    return {
        "count_duration_ms": many,
        "total_duration_ms": total,
        "avg_duration_ms": total / many if total is not None else None,
        "min_duration_ms": ordered[0] if many else None,
        "max_duration_ms": ordered[-1] if many else None,
        **{f"p{q}_duration_ms": percentile(ordered, q / 100) if many else None for q in (50, 95, 99)},
    }


def outcomes(group: Group, *, rate: bool = True) -> dict[str, Any]:
    """How the events ended."""
    known = group.successes + group.failures
    found: dict[str, Any] = {"successes": group.successes, "failures": group.failures, "unknown": group.events - known}
    return found | ({"success_rate": group.successes / known if known else None} if rate else {})


def activity(group: Group) -> dict[str, Any]:
    """How much happened."""
    sessions = len(group.sessions)
    return {
        "events": group.events,
        "errors": group.errors,
        "sessions": sessions,
        "users": len(group.users),
        **outcomes(group),
        **durations(group),
        **{name: getattr(group, name) for name in FIGURES[1:4]},
        "tokens_per_session": group.total_tokens / sessions if sessions else None,
        "cost_usd": group.cost_usd,
    }


def of_type(group: Group) -> dict[str, Any]:
    """What happened, by type."""
    sums = {"total_tokens": group.total_tokens, "cost_usd": group.cost_usd}
    return {"events": group.events, **outcomes(group, rate=False), **durations(group), **sums}


def uses(group: Group) -> dict[str, Any]:
    """How often a tool or an agent was used."""
    return {"uses": group.events, **outcomes(group), **durations(group)}


def session(group: Group) -> dict[str, Any]:
    """What a session did."""
    names = ("first_at", "last_at", "events", "errors", "failures", "questions", "total_tokens", "cost_usd")
    total = sum(group.durations) if group.durations else None
    return {name: getattr(group, name) for name in names} | {"total_duration_ms": total}


KEYS = {
    "activity_daily": ("day",),
    "activity_hourly": ("hour",),
    "agents_daily": ("day", "agent_id"),
    "event_types_daily": ("day", "type"),
    "session_activity_daily": ("day", *OWNERS),
    "tools_daily": ("day", "tool_name"),
}
ROWS = {
    "activity_daily": activity,
    "activity_hourly": activity,
    "agents_daily": uses,
    "event_types_daily": of_type,
    "session_activity_daily": session,
    "tools_daily": uses,
}
KINDS = {"agent_execution": "agents_daily", "tool_use": "tools_daily"}
tables: dict[str, defaultdict[tuple[Any, ...], Group]] = {name: defaultdict(Group) for name in KEYS}


def count(record: dict[str, Any]) -> None:
    """Add one event to each of its groups."""
    at: datetime = record["timestamp"]
    record["day"], record["hour"] = at.date(), at.replace(minute=0, second=0, microsecond=0)
    once = record["type"] != "document_updated" and (record["type"] != "step" or record["job_id"] is not None)
    for name in ("activity_daily", "activity_hourly"):
        add(tables[name][key(name, record)], record, counts=once, people=True)
    add(tables["event_types_daily"][key("event_types_daily", record)], record, counts=True)
    if kind := KINDS.get(record["type"]):
        add(tables[kind][key(kind, record)], record, counts=True)
    if any(record[name] is not None for name in OWNERS):
        group = tables["session_activity_daily"][key("session_activity_daily", record)]
        add(group, record, counts=once)
        group.first_at = at if group.first_at is None else min(group.first_at, at)
        group.last_at = at if group.last_at is None else max(group.last_at, at)


def key(name: str, record: dict[str, Any]) -> tuple[Any, ...]:
    """What a table groups a record by."""
    return tuple(record[column] for column in KEYS[name])


for batch in pyarrow.dataset.dataset(source, format="parquet", exclude_invalid_files=True).to_batches(columns=COLUMNS):
    for record in batch.to_pylist():
        count(record)
for name, groups in tables.items():
    rows = [dict(zip(KEYS[name], values, strict=True)) | ROWS[name](group) for values, group in groups.items()]
    pq.write_table(pa.Table.from_pylist(rows), target / f"{name}.parquet")
