"""Every table of the dictionary once more: plain Python over lists, which shares no code with the SQL.

Written from the meanings of records and tables alone. Slow, and meant to be: each table is worked out anew from the
records, never from another table.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.oracle import activity, functions, jobs, knowledge, llm, metrics, topics
from tests.oracle.world import World

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.oracle.world import Row

__all__ = ["TABLES", "Oracle", "World"]


@dataclass(frozen=True)
class Oracle:
    """A table: its key, how its rows are worked out, and whether the dictionary states their order."""

    key: tuple[str, ...]
    rows: Callable[[World], list[Row]]
    ordered: bool = False


def _window(rows: Callable[[World], list[Row]], *key: str, ordered: bool = False) -> Oracle:
    return Oracle(("window_hours", "as_of", *key), rows, ordered=ordered)


_SESSION = ("session_id", "user_id", "project")
_SERIES = ("name", "unit", "kind", "labels")

TABLES: Final = {
    "activity_hourly": Oracle(("hour",), activity.activity_hourly),
    "activity_daily": Oracle(("day",), activity.activity_daily),
    "activity_weekly": Oracle(("week_start",), activity.activity_weekly),
    "activity_monthly": Oracle(("month_start",), activity.activity_monthly),
    "event_types_daily": Oracle(("day", "type"), activity.event_types_daily),
    "tools_daily": Oracle(("day", "tool_name"), activity.tools_daily),
    "agents_daily": Oracle(("day", "agent_id"), activity.agents_daily),
    "errors_daily": Oracle(("day", "category", "error_type"), activity.errors_daily),
    "session_activity_daily": Oracle(("day", *_SESSION), activity.session_activity_daily),
    "session_tools_daily": Oracle(("day", *_SESSION, "tool_name"), activity.session_tools_daily),
    "sessions": Oracle(("session_id",), activity.sessions),
    "session_tools": Oracle(("session_id", "tool_name"), activity.session_tools),
    "users": Oracle(("user_id",), activity.users),
    "projects": Oracle(("project",), activity.projects),
    "user_tools": Oracle(("user_id", "tool_name"), activity.user_tools),
    "project_tools": Oracle(("project", "tool_name"), activity.project_tools),
    "tools": Oracle(("tool_name",), activity.tools),
    "agents": Oracle(("agent_id",), activity.agents),
    "latency_histogram": Oracle(("day", "type", "name", "category", "bucket"), activity.latency_histogram),
    "functions_daily": Oracle(("day", "function", "category"), functions.functions_daily),
    "functions": Oracle(("function", "category"), functions.functions),
    "function_calls_notable": Oracle(("source", "id", "started_at"), functions.function_calls_notable),
    "job_states": Oracle(("job_id",), jobs.job_states),
    "jobs_daily": Oracle(("day", "workflow_id", "user_id"), jobs.jobs_daily),
    "job_activity_daily": Oracle(("day", "job_id"), jobs.job_activity_daily),
    "job_totals": Oracle(("job_id",), jobs.job_totals),
    "job_summary": Oracle((), jobs.job_summary),
    "validations_daily": Oracle(("day", "rule"), jobs.validations_daily),
    "validation_rules": Oracle(("rule",), jobs.validation_rules),
    "errors_by_category": Oracle(("category",), jobs.errors_by_category),
    "slowest_steps_daily": Oracle(("day", "rank"), jobs.slowest_steps_daily),
    "slowest_steps": Oracle(("rank",), jobs.slowest_steps),
    "workflows_daily": Oracle(("day", "workflow_id"), jobs.workflows_daily),
    "workflows": Oracle(("workflow_id",), jobs.workflows),
    "user_jobs": Oracle(("user_id",), jobs.user_jobs),
    "llm_hourly": Oracle(("hour", "assistant_id", "model", "provider"), llm.llm_hourly),
    "llm_ttft": _window(llm.llm_ttft),
    "llm_steps": _window(llm.llm_steps, "step", ordered=True),
    "llm_cache": _window(llm.llm_cache),
    "assistant_costs": _window(llm.assistant_costs, "assistant_id"),
    "trending_topics": _window(topics.trending_topics, "assistant_id", "topic", ordered=True),
    "topic_diversity": _window(topics.topic_diversity),
    "session_distribution": _window(topics.session_distribution, "bucket", ordered=True),
    "document_utilization": _window(knowledge.document_utilization, "document_id"),
    "reranking": _window(llm.reranking),
    "connector_syncs": _window(knowledge.connector_syncs, "connector_id"),
    "user_usage": _window(llm.user_usage, "user_id"),
    "topics_daily": Oracle(("day", "assistant_id", "text"), topics.topics_daily),
    "topics": Oracle(("assistant_id", "topic"), topics.topics, ordered=True),
    "documents_daily": Oracle(("day", "document_id"), knowledge.documents_daily),
    "connectors_daily": Oracle(("day", "connector_id"), knowledge.connectors_daily),
    "documents": Oracle(("document_id",), knowledge.documents),
    "connectors": Oracle(("connector_id",), knowledge.connectors),
    "document_freshness": _window(knowledge.document_freshness, "category", ordered=True),
    "knowledge_base": Oracle((), knowledge.knowledge_base),
    "metric_hourly": Oracle(("hour", *_SERIES), metrics.metric_hourly),
    "metric_daily": Oracle(("day", *_SERIES), metrics.metric_daily),
}
"""Every table of the dictionary that is worked out from records."""
