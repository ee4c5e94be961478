"""chDB: six rollups over Parquet of events, each an INSERT of a select."""

from __future__ import annotations

import sys

from chdb.session import Session

source, target = sys.argv[1:]
EVENTS = f"file('{source}', 'Parquet')"
ONCE = "(type <> 'document_updated' AND (type <> 'step' OR job_id IS NOT NULL))"
FIGURES = ("duration_ms", "input_tokens", "output_tokens", "total_tokens", "cost_usd")
COUNTED = (
    "(SELECT timestamp, type, session_id, user_id, project, success, "
    + ", ".join(f"if({ONCE}, e.{name}, NULL) AS {name}" for name in FIGURES)
    + f" FROM {EVENTS} AS e)"
)
OUTCOMES = "countIf(success) AS successes, countIf(NOT success) AS failures, countIf(success IS NULL) AS unknown"
RATE = "countIf(success) / nullIf(count(success), 0) AS success_rate"
PERCENTILES = "quantilesExactInclusive(0.5, 0.95, 0.99)(duration_ms)"
DURATIONS = f"""
    count(duration_ms) AS count_duration_ms, sum(duration_ms) AS total_duration_ms, avg(duration_ms) AS avg_duration_ms,
    min(duration_ms) AS min_duration_ms, max(duration_ms) AS max_duration_ms,
    if(count_duration_ms = 0, NULL, {PERCENTILES}[1]) AS p50_duration_ms,
    if(count_duration_ms = 0, NULL, {PERCENTILES}[2]) AS p95_duration_ms,
    if(count_duration_ms = 0, NULL, {PERCENTILES}[3]) AS p99_duration_ms
"""
TOKENS = ", ".join(f"toInt64(ifNull(sum(e.{name}), 0)) AS {name}" for name in FIGURES[1:4])
DAY = "toDate32(e.timestamp) AS day"
HOUR = "toDateTime64(toStartOfHour(e.timestamp), 6, 'UTC') AS hour"
ERRORS = "count() AS events, countIf(type = 'error_occurred') AS errors"


def activity(key: str) -> str:
    """How much happened in each day or hour."""
    return f"""
        SELECT {key}, {ERRORS}, uniqExact(session_id) AS sessions, uniqExact(user_id) AS users, {OUTCOMES}, {RATE},
            {DURATIONS}, {TOKENS}, total_tokens / nullIf(sessions, 0) AS tokens_per_session, sum(e.cost_usd) AS cost_usd
        FROM {COUNTED} AS e GROUP BY {key.rpartition(" ")[2]}
    """


def uses(kind: str, key: str) -> str:
    """How often tools or agents were used."""
    return f"""
        SELECT {DAY}, {key}, count() AS uses, {OUTCOMES}, {RATE}, {DURATIONS}
        FROM {EVENTS} AS e WHERE type = '{kind}' GROUP BY day, {key}
    """


TABLES = {
    "activity_daily": activity(DAY),
    "activity_hourly": activity(HOUR),
    "agents_daily": uses("agent_execution", "agent_id"),
    "event_types_daily": f"""
        SELECT {DAY}, type, count() AS events, {OUTCOMES}, {DURATIONS},
            toInt64(ifNull(sum(e.total_tokens), 0)) AS total_tokens, sum(e.cost_usd) AS cost_usd
        FROM {EVENTS} AS e GROUP BY day, type
    """,
    "session_activity_daily": f"""
        SELECT {DAY}, session_id, user_id, project, min(timestamp) AS first_at, max(timestamp) AS last_at, {ERRORS},
            countIf(NOT success) AS failures, countIf(type = 'question') AS questions,
            sum(duration_ms) AS total_duration_ms, toInt64(ifNull(sum(e.total_tokens), 0)) AS total_tokens,
            sum(e.cost_usd) AS cost_usd
        FROM {COUNTED} AS e WHERE session_id IS NOT NULL OR user_id IS NOT NULL OR project IS NOT NULL
        GROUP BY day, session_id, user_id, project
    """,
    "tools_daily": uses("tool_use", "tool_name"),
}
session = Session()
for name, select in TABLES.items():
    session.query(f"INSERT INTO FUNCTION file('{target}/{name}.parquet', 'Parquet') {select}")
