"""Activity in any span of time, of any session, user, type, tool or agent: figures, what it was, and its course."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from typing_extensions import TypedDict

from tidemill.catalog import tables as catalog_tables
from tidemill.errors import UsageError
from tidemill.query.window import Asked
from tidemill.readers.snapshot import spelt

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidemill.query.window import Moment
    from tidemill.readers.snapshot import Published, Row

Grouping = Literal["hourly", "daily", "weekly", "monthly", "by_session", "by_user", "by_tool", "by_agent", "by_project"]

LIMIT: Final = 1_000
"""How many sessions, users, tools, agents or projects an answer names if nobody asks for more."""
PERIODS: Final = 10_000
"""How many hours, days, weeks or months an answer may have."""
_BEGINNING: Final = "1970-01-01T00:00:00Z"
_END: Final = "2199-12-31T23:59:59.999999Z"
_TABLES: Final = {
    "hourly": "activity_hourly",
    "daily": "activity_daily",
    "weekly": "activity_weekly",
    "monthly": "activity_monthly",
}
_NAMES: Final = {
    "by_session": "session_id",
    "by_user": "user_id",
    "by_tool": "tool_name",
    "by_agent": "agent_id",
    "by_project": "project",
}


class DurationStats(TypedDict):
    """Milliseconds of the events that are no part of another; null where none says."""

    total_ms: float | None
    avg_ms: float | None
    min_ms: float | None
    max_ms: float | None
    p50_ms: float | None
    p95_ms: float | None
    p99_ms: float | None


class TokenStats(TypedDict):
    """Tokens of the events that are no part of another, and how many that is for each session; null without one."""

    total: int
    avg_per_session: float | None


class SuccessMetrics(TypedDict):
    """Events that say how they ended; the rate is a fraction of those, null without one."""

    success_count: int
    failure_count: int
    success_rate: float | None


class Breakdowns(TypedDict):
    """How many events of each type, uses of each tool, runs of each agent, and errors of each type."""

    by_type: dict[str, int]
    tools: dict[str, int]
    agents: dict[str, int]
    errors: dict[str, int]


class Activity(TypedDict):
    """The events in a span of time that pass the filters, and their course by period, or by whom or what."""

    total_metrics: int
    total_sessions: int
    total_users: int
    total_errors: int
    duration_stats: DurationStats
    token_stats: TokenStats
    success_metrics: SuccessMetrics
    breakdowns: Breakdowns
    time_series: list[dict[str, Any]]


def activity(
    published: Published,
    grouping: Grouping,
    *,
    from_: Moment | None = None,
    to: Moment | None = None,
    where: Mapping[str, str] | None = None,
    limit: int | None = LIMIT,
) -> Activity:
    """The events in [from_, to) that carry what `where` says: session_id, user_id, type, tool_name, agent_id ….

    The course is rows of activity_hourly to activity_monthly, or a row for each session, user, tool, agent or project,
    those of most events first; users and projects have all events of their sessions. Of days that were pruned before
    the snapshot was published nothing is counted.

    Raises:
        UsageError: there is no such grouping or filter, the span is none, or has too many periods.
    """
    if grouping not in get_args(Grouping):
        raise UsageError.unknown("grouping", grouping, get_args(Grouping))
    asked = Asked(from_=from_ or _BEGINNING, to=to or _END)
    everything = from_ is None and to is None and not where and not published.manifest.pruned
    (found,) = published.over(catalog_tables.readers()["activity_figures"], asked, where)
    if grouping in _NAMES:
        series = _groups(published, asked, where, grouping, limit)
    else:
        series = _periods(published, None if everything else asked, where, grouping)
    return {
        "total_metrics": found["events"],
        "total_sessions": found["sessions"],
        "total_users": found["users"],
        "total_errors": found["errors"],
        "duration_stats": {
            "total_ms": found["total_duration_ms"],
            "avg_ms": found["avg_duration_ms"],
            "min_ms": found["min_duration_ms"],
            "max_ms": found["max_duration_ms"],
            "p50_ms": found["p50_duration_ms"],
            "p95_ms": found["p95_duration_ms"],
            "p99_ms": found["p99_duration_ms"],
        },
        "token_stats": {"total": found["total_tokens"], "avg_per_session": found["tokens_per_session"]},
        "success_metrics": {
            "success_count": found["successes"],
            "failure_count": found["failures"],
            "success_rate": _rate(found["successes"], found["failures"]),
        },
        "breakdowns": {
            "by_type": dict(found["types"] or {}),
            "tools": dict(found["tools"] or {}),
            "agents": dict(found["agents"] or {}),
            "errors": dict(found["error_types"] or {}),
        },
        "time_series": [{name: _plain(value) for name, value in row.items()} for row in series],
    }


def _periods(published: Published, asked: Asked | None, where: Mapping[str, str] | None, grouping: str) -> list[Row]:
    """The rows of a table over periods: as published, or over a span of the lake's records."""
    name = _TABLES[grouping]
    if asked is None:
        found = published.table(name, limit=PERIODS + 1)
    else:
        found = published.over(catalog_tables.table(name), asked, where, limit=PERIODS + 1)
    if len(found) > PERIODS:
        raise UsageError(f"that is more than {PERIODS:,} rows of {name}; ask for a shorter span, or longer periods")
    return found


def _groups(
    published: Published, asked: Asked, where: Mapping[str, str] | None, grouping: str, limit: int | None
) -> list[Row]:
    rows = published.over(
        catalog_tables.readers()["activity_groups"], asked, where, parameters={"grouping": grouping}, limit=limit
    )
    return [{_NAMES[grouping]: row.pop("name"), **row} for row in rows]


def _rate(successes: int, failures: int) -> float | None:
    return successes / (successes + failures) if successes + failures else None


def _plain(value: Any) -> Any:  # noqa: ANN401 - a value of any column
    """A value as JSON has it: instants and days in ISO 8601."""
    return spelt(value) if hasattr(value, "isoformat") else value
