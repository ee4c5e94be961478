"""Sessions, users, tools, agents and projects over time."""

from __future__ import annotations

from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.oracle import clock
from tests.oracle.figures import (
    basics,
    bucket,
    estimated_pct,
    exact_sum,
    known,
    outcomes,
    ratio,
    stats,
    success_rate,
)
from tests.oracle.world import by, first_known, grouped

if TYPE_CHECKING:
    from collections.abc import Callable
    from datetime import date, datetime

    from tests.oracle.world import Row, World

NAMED_BY = {"tool_use": "tool_name", "agent_execution": "agent_id", "llm_request": "model"}
IN_HISTOGRAM = {*NAMED_BY, "function_call", "command_executed", "step", "performance", "hook_triggered"}


def wholes(events: list[Row]) -> list[Row]:
    """The events that are no part or size of something else."""
    return [
        event
        for event in events
        if event["type"] != "document_updated" and not (event["type"] == "step" and event["job_id"] is None)
    ]


def count(events: list[Row], *types: str) -> int:
    """How many are of those types."""
    return sum(event["type"] in types for event in events)


def _activity(title: str, bucket_of: Callable[[World, datetime], date]) -> Callable[[World], list[Row]]:
    def table(world: World) -> list[Row]:
        periods = grouped(world.events, lambda event: bucket_of(world, event["timestamp"]))
        return [{title: period} | _period(events) for period, events in periods.items()]

    return table


def _period(events: list[Row]) -> Row:
    whole = wholes(events)
    sessions = len(set(known(events, "session_id")))
    tokens = sum(known(whole, "total_tokens"))
    return {
        "events": len(events),
        "errors": count(events, "error_occurred"),
        "sessions": sessions,
        "users": len(set(known(events, "user_id"))),
        **success_rate(events),
        **stats("duration_ms", known(whole, "duration_ms")),
        "input_tokens": sum(known(whole, "input_tokens")),
        "output_tokens": sum(known(whole, "output_tokens")),
        "total_tokens": tokens,
        "tokens_per_session": ratio(tokens, sessions),
        "cost_usd": exact_sum(known(whole, "cost_usd")),
    }


activity_hourly = _activity("hour", clock.hour)
activity_daily = _activity("day", clock.day)
activity_weekly = _activity("week_start", clock.week)
activity_monthly = _activity("month_start", clock.month)


def daily(world: World, events: list[Row], *columns: str) -> dict[tuple[Any, ...], list[Row]]:
    """Events by local day and those columns."""
    return grouped(events, lambda event: (world.day(event["timestamp"]), *by(*columns)(event)))


def event_types_daily(world: World) -> list[Row]:
    """What happened each day, by type; nothing is left out."""
    return [
        {
            "day": day,
            "type": kind,
            "events": len(events),
            **outcomes(events),
            **stats("duration_ms", known(events, "duration_ms")),
            "total_tokens": sum(known(events, "total_tokens")),
            "cost_usd": exact_sum(known(events, "cost_usd")),
        }
        for (day, kind), events in daily(world, world.events, "type").items()
    ]


def _uses_daily(kind: str, column: str) -> Callable[[World], list[Row]]:
    def table(world: World) -> list[Row]:
        return [
            {"day": day, column: name, "uses": len(events), **success_rate(events)}
            | stats("duration_ms", known(events, "duration_ms"))
            for (day, name), events in daily(world, world.of_type(kind), column).items()
        ]

    return table


def _uses(kind: str, column: str) -> Callable[[World], list[Row]]:
    def table(world: World) -> list[Row]:
        return [
            {column: name, "uses": len(events), **success_rate(events)}
            | basics("duration_ms", known(events, "duration_ms"))
            | estimated_pct("duration_ms", known(events, "duration_ms"))
            for (name,), events in grouped(world.of_type(kind), by(column)).items()
        ]

    return table


tools_daily, agents_daily = _uses_daily("tool_use", "tool_name"), _uses_daily("agent_execution", "agent_id")
tools, agents = _uses("tool_use", "tool_name"), _uses("agent_execution", "agent_id")


def errors_daily(world: World) -> list[Row]:
    """Errors by category and type."""
    groups = daily(world, world.of_type("error_occurred"), "category", "error_type")
    return [
        {"day": day, "category": category, "error_type": kind, "errors": len(errors)}
        | {"job_errors": len(known(errors, "job_id"))}
        for (day, category, kind), errors in groups.items()
    ]


def _spent(events: list[Row]) -> Row:
    whole = wholes(events)
    return {
        "total_duration_ms": exact_sum(known(whole, "duration_ms")),
        "total_tokens": sum(known(whole, "total_tokens")),
        "cost_usd": exact_sum(known(whole, "cost_usd")),
    }


def _span(events: list[Row], first: str, last: str) -> Row:
    return {first: events[0]["timestamp"], last: events[-1]["timestamp"]}


def _somebodys(events: list[Row]) -> list[Row]:
    """The events that name a session, a user or a project: what belongs to nobody has no row."""
    return [event for event in events if any(event[name] is not None for name in ("session_id", "user_id", "project"))]


def session_activity_daily(world: World) -> list[Row]:
    """What each session did, by what its events carry."""
    groups = daily(world, _somebodys(world.events), "session_id", "user_id", "project")
    return [
        {"day": day, "session_id": session, "user_id": user, "project": project}
        | _span(events, "first_at", "last_at")
        | {"events": len(events), "errors": count(events, "error_occurred")}
        | {"failures": outcomes(events)["failures"], "questions": count(events, "question")}
        | _spent(events)
        for (day, session, user, project), events in groups.items()
    ]


def session_tools_daily(world: World) -> list[Row]:
    """Which tools each session used, by what the events carry."""
    columns = ("session_id", "user_id", "project", "tool_name")
    return [
        dict(zip(("day", *columns), key, strict=True)) | {"uses": len(events)}
        for key, events in daily(world, _somebodys(world.of_type("tool_use")), *columns).items()
    ]


def of_sessions(world: World) -> dict[str, list[Row]]:
    """The events of each session."""
    return grouped([event for event in world.events if event["session_id"] is not None], lambda e: e["session_id"])


def sessions(world: World) -> list[Row]:
    """Each session, whose it is, and what it did."""
    return [
        {"session_id": session, "user_id": first_known(events, "user_id"), "project": first_known(events, "project")}
        | _span(events, "started_at", "ended_at")
        | {"duration_seconds": (events[-1]["timestamp"] - events[0]["timestamp"]).total_seconds()}
        | {"events": len(events), "errors": count(events, "error_occurred"), "questions": count(events, "question")}
        | _spent(events)
        for session, events in of_sessions(world).items()
    ]


def session_tools(world: World) -> list[Row]:
    """How often each session used each tool."""
    return _tools_of("session_id", of_sessions(world))


def _tools_of(column: str, owned: dict[str, list[Row]]) -> list[Row]:
    return [
        {column: owner, "tool_name": tool, "uses": uses}
        for owner, events in owned.items()
        for tool, uses in Counter(event["tool_name"] for event in events if event["type"] == "tool_use").items()
    ]


def owned(world: World, column: str) -> dict[str, list[Row]]:
    """Events by their session's user or project, or by their own where they have no session; nobody's are left out."""
    owner = {session: first_known(events, column) for session, events in of_sessions(world).items()}

    def belongs(event: Row) -> Any:
        return event[column] if event["session_id"] is None else owner[event["session_id"]]

    return {name: events for name, events in grouped(world.events, belongs).items() if name is not None}


def _owners(world: World, column: str) -> list[Row]:
    user = {session: first_known(events, "user_id") for session, events in of_sessions(world).items()}
    found = []
    for name, events in owned(world, column).items():
        within = set(known(events, "session_id"))
        people = {user[session] for session in within} | {e["user_id"] for e in events if e["session_id"] is None}
        found.append(
            {column: name, "sessions": len(within)}
            | ({"users": len(people - {None})} if column == "project" else {})
            | {"events": len(events), "errors": count(events, "error_occurred")}
            | _spent(events)
            | _span(events, "first_at", "last_at")
        )
    return found


def users(world: World) -> list[Row]:
    """What each user did."""
    return _owners(world, "user_id")


def projects(world: World) -> list[Row]:
    """What was done in each project, and by how many."""
    return _owners(world, "project")


def user_tools(world: World) -> list[Row]:
    """How often each user used each tool."""
    return _tools_of("user_id", owned(world, "user_id"))


def project_tools(world: World) -> list[Row]:
    """How often each tool was used in each project."""
    return _tools_of("project", owned(world, "project"))


def latency_histogram(world: World) -> list[Row]:
    """How many events of each kind lasted about how long."""
    timed = [e for e in world.events if e["type"] in IN_HISTOGRAM and e["duration_ms"] is not None]
    columns = ("day", "type", "name", "category", "bucket")
    counts = Counter(
        (
            world.day(event["timestamp"]),
            event["type"],
            event[NAMED_BY.get(event["type"], "name")],
            event["category"],
            bucket(event["duration_ms"]),
        )
        for event in timed
    )
    return [dict(zip(columns, key, strict=True)) | {"events": events} for key, events in counts.items()]
