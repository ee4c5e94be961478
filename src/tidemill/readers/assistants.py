"""Assistants as a dashboard asks for them: how fast, how often, what about, at what cost, and from which documents.

Windows end when the snapshot's windows end (`as_of`). One that the snapshot holds is read from it; any other, and one
of a single assistant, is made of the lake's records by the same select. A filter by assistant applies to every part
whose events carry one; documents and connectors are of all.
"""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final, cast

from tidemill.errors import TidemillError
from tidemill.readers.rounding import percent, rounded
from tidemill.readers.snapshot import spelt

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from tidemill.readers.assistant_types import (
        Advanced,
        AssistantCost,
        AvgTokens,
        CacheMetrics,
        ConnectorSyncRate,
        DocumentFreshness,
        DocumentUtilization,
        RerankingImpact,
        SessionDistribution,
        StepBreakdown,
        TopicDiversity,
        TrendingTopic,
        TTFTPercentiles,
        UserStat,
    )
    from tidemill.readers.snapshot import Published

LIMIT: Final = 100
"""How many documents, users, assistants or connectors a part names if nobody asks for more."""
TRENDING: Final = 10
DAY: Final = 24
WEEK_DAYS: Final = 7
MONTH_HOURS: Final = 30 * DAY
_FRESHNESS: Final = {"fresh": "Fresh (<30d)", "aging": "Aging (30-90d)", "stale": "Stale (>90d)"}
_SESSIONS: Final = {"single": "Single Question", "normal": "Normal (2-5)", "power": "Power User (5+)"}


def advanced(
    published: Published,
    *,
    assistant_id: str | None = None,
    ttft_hours: int = DAY,
    step_days: int = WEEK_DAYS,
    cache_hours: int = DAY,
    cost_hours: int = DAY,
    trending_limit: int = TRENDING,
    trending_days: int | None = None,
    limit: int | None = LIMIT,
) -> Advanced:
    """All parts of a dashboard, each over its own window; topics over all time, unless days are given.

    Documents' use and users are over 30 days. No list but that of topics is longer than `limit`.
    """
    hours, of = step_days * DAY, {"assistant_id": assistant_id}
    made: dict[str, tuple[Callable[[], object], object]] = {
        "ttft_percentiles": (lambda: _ttft(published, ttft_hours, assistant_id), None),
        "step_breakdown": (lambda: step_breakdown(published, hours=hours, **of), []),
        "cache_metrics": (lambda: cache_metrics(published, hours=cache_hours, **of), None),
        "trending_topics": (lambda: trending(published, limit=trending_limit, days=trending_days, **of), []),
        "topic_diversity": (lambda: topic_diversity(published, days=trending_days, **of), None),
        "assistant_costs": (lambda: assistant_costs(published, hours=cost_hours, **of)[:limit], []),
        "document_freshness": (lambda: freshness(published), []),
        "session_distribution": (lambda: session_distribution(published, hours=hours, **of), []),
        "document_utilization": (lambda: document_utilization(published, limit=limit), []),
        "reranking_impact": (lambda: reranking_impact(published, hours=cache_hours, **of), None),
        "connector_sync_rates": (lambda: connector_sync_rates(published, hours=hours)[:limit], []),
        "user_stats": (lambda: user_stats(published, limit=limit, **of), []),
    }
    parts, errors = _tried(made)
    return cast("Advanced", {**parts, "errors": errors, "as_of": published.as_of, "generated_at": _now()})


def _tried(made: Mapping[str, tuple[Callable[[], object], object]]) -> tuple[dict[str, object], dict[str, str]]:
    """Each part, or what stands there instead of one that fails; and why those failed."""
    parts: dict[str, object] = {}
    errors: dict[str, str] = {}
    for name, (make, instead) in made.items():
        try:
            parts[name] = make()
        except TidemillError as error:
            parts[name], errors[name] = instead, str(error)
    return parts, errors


def ttft(published: Published, *, hours: int = DAY, assistant_id: str | None = None) -> TTFTPercentiles:
    """Seconds until the first token, from `llm_ttft`; zeros when there is none."""
    found = _ttft(published, hours, assistant_id)
    return found or {"p50": 0.0, "p95": 0.0, "p99": 0.0, "period_hours": hours}


def _ttft(published: Published, hours: int, assistant_id: str | None) -> TTFTPercentiles | None:
    for row in published.window("llm_ttft", hours, _of(assistant_id)):
        if row["requests"]:
            p50, p95, p99 = (row[f"{name}_ttft_ms"] / 1000 for name in ("p50", "p95", "p99"))
            return {"p50": p50, "p95": p95, "p99": p99, "period_hours": hours}
    return None


def step_breakdown(published: Published, *, hours: int, assistant_id: str | None = None) -> list[StepBreakdown]:
    """How long each step of answering takes, from `llm_steps`."""
    return [
        {
            "step_name": row["step"],
            "avg_duration": None if row["avg_duration_ms"] is None else row["avg_duration_ms"] / 1000,
            "step_count": row["steps"],
            "avg_tokens": _tokens(row["avg_input_tokens"], row["avg_output_tokens"]),
        }
        for row in published.window("llm_steps", hours, _of(assistant_id))
    ]


def _tokens(read: float | None, written: float | None) -> AvgTokens | None:
    return None if read is None and written is None else {"input": read, "output": written}


def cache_metrics(published: Published, *, hours: int, assistant_id: str | None = None) -> CacheMetrics | None:
    """How many requests were answered from a cache, from `llm_cache`: what is not known to be a hit is a miss."""
    for row in published.window("llm_cache", hours, _of(assistant_id)):
        if row["requests"]:
            return {
                "hit_rate": percent(row["hits"], row["requests"], 2),
                "total_requests": row["requests"],
                "cache_hits": row["hits"],
                "cache_misses": row["requests"] - row["hits"],
                "period_hours": hours,
            }
    return None


_TOPICS = """
SELECT assistant_id, topic, canonical_text, frequency, variations, last_asked
FROM topics
WHERE $assistant_id IS NULL OR assistant_id = $assistant_id
ORDER BY frequency DESC, last_asked DESC, topic, assistant_id
LIMIT $limit
"""
_DIVERSITY = """
WITH merged_topics AS (
    SELECT canonical_text, CAST(sum(frequency) AS BIGINT) AS frequency
    FROM topics
    WHERE $assistant_id IS NULL OR assistant_id = $assistant_id
    GROUP BY ALL
)

SELECT
    count(*) AS topics,
    1 - sum(CAST(frequency AS HUGEINT) * frequency) / pow(sum(frequency), 2) AS diversity,
    max(frequency) / sum(frequency) AS dominant_share
FROM merged_topics
"""


def trending(
    published: Published, *, assistant_id: str | None = None, limit: int = TRENDING, days: int | None = None
) -> list[TrendingTopic]:
    """What is asked most, from `topics`, or over some days from `trending_topics`."""
    if days is None:
        found = published.rows(_TOPICS, "topics", assistant_id=assistant_id, limit=limit)
    else:
        found = _canonical(published, published.window("trending_topics", days * DAY, _of(assistant_id), limit=limit))
    return [
        {
            "assistant_id": row["assistant_id"],
            "topic": row["topic"],
            "canonical_text": row["canonical_text"],
            "frequency": row["frequency"],
            "variation_count": row["variations"],
            "last_asked": spelt(row["last_asked"]) or "",
        }
        for row in found
    ]


def _canonical(published: Published, rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    """Rows of topics with the canonical text of each."""
    texts = published.canonical([row["topic"] for row in rows])
    return [row | {"canonical_text": text} for row, text in zip(rows, texts, strict=True)]


def topic_diversity(
    published: Published, *, assistant_id: str | None = None, days: int | None = None
) -> TopicDiversity | None:
    """How different the questions are, from `topics`, or over some days from `topic_diversity`; None without any."""
    if days is None:
        (row,) = published.rows(_DIVERSITY, "topics", assistant_id=assistant_id)
    else:
        (row,) = published.window("topic_diversity", days * DAY, _of(assistant_id))
    if not row["topics"]:
        return None
    return {
        "diversity_score": round(row["diversity"], 3),
        "total_topics": row["topics"],
        "dominant_topic_share": round(row["dominant_share"] * 100, 2),
    }


def assistant_costs(published: Published, *, hours: int = DAY, assistant_id: str | None = None) -> list[AssistantCost]:
    """What each assistant used and cost, from `assistant_costs`."""
    return [
        {
            "assistant_id": row["assistant_id"],
            "assistant_name": row["name"],
            "total_tokens": row["total_tokens"],
            "input_tokens": row["input_tokens"],
            "output_tokens": row["output_tokens"],
            "estimated_cost_usd": _known(row["estimated_cost_usd"], 4),
            "unpriced_requests": row["unpriced_requests"],
        }
        for row in published.window("assistant_costs", hours, _of(assistant_id))
    ]


def freshness(published: Published) -> list[DocumentFreshness]:
    """How old the documents are, from `document_freshness`; empty without any."""
    rows = published.window("document_freshness", DAY)
    total = sum(row["documents"] for row in rows)
    return [
        {
            "freshness_category": _FRESHNESS[row["category"]],
            "doc_count": row["documents"],
            "percentage": percent(row["documents"], total, 2),
        }
        for row in rows
        if total
    ]


def session_distribution(
    published: Published, *, hours: int, assistant_id: str | None = None
) -> list[SessionDistribution]:
    """How many questions sessions have, from `session_distribution`; empty without any."""
    rows = published.window("session_distribution", hours, _of(assistant_id))
    total = sum(row["sessions"] for row in rows)
    return [
        {
            "session_type": _SESSIONS[row["bucket"]],
            "session_count": row["sessions"],
            "percentage": percent(row["sessions"], total, 2),
        }
        for row in rows
        if total
    ]


_UTILIZATION = """
SELECT
    documents.document_id,
    coalesce(documents.name, documents.document_id) AS file_name,
    coalesce(connectors.name, documents.connector_id) AS connector_name,
    documents.retrievals,
    documents.last_retrieved,
    documents.status
FROM document_utilization AS documents
LEFT JOIN connectors ON documents.connector_id = connectors.connector_id
WHERE documents.window_hours = $hours
ORDER BY documents.retrievals DESC, documents.document_id
LIMIT $limit
"""


def document_utilization(published: Published, *, limit: int | None = LIMIT) -> list[DocumentUtilization]:
    """How much each document was used within 30 days, the most used first, from `document_utilization`."""
    return [
        {
            "document_id": row["document_id"],
            "file_name": row["file_name"],
            "connector_name": row["connector_name"],
            "retrieval_count": row["retrievals"],
            "last_retrieved": spelt(row["last_retrieved"]),
            "status": row["status"],
        }
        for row in published.rows(_UTILIZATION, "document_utilization", "connectors", hours=MONTH_HOURS, limit=limit)
    ]


def reranking_impact(published: Published, *, hours: int, assistant_id: str | None = None) -> RerankingImpact | None:
    """How much reranking improves, from `reranking`; None without any."""
    for row in published.window("reranking", hours, _of(assistant_id)):
        if row["reranks"]:
            return {
                "avg_score_improvement": _known(row["avg_improvement"], 3),
                "reranking_enabled_count": row["reranks"],
                "avg_position_change": None,
            }
    return None


def connector_sync_rates(published: Published, *, hours: int) -> list[ConnectorSyncRate]:
    """How connectors synchronise, from `connector_syncs`: the rate is successful / all of them."""
    return [
        {
            "connector_id": row["connector_id"],
            "connector_name": row["name"],
            "success_rate": percent(row["successful"], row["syncs"], 2),
            "total_syncs": row["syncs"],
            "successful_syncs": row["successful"],
            "failed_syncs": row["failed"],
            "avg_sync_duration": _known(row["avg_duration_seconds"], 2),
        }
        for row in published.window("connector_syncs", hours)
    ]


def user_stats(published: Published, *, assistant_id: str | None = None, limit: int | None = LIMIT) -> list[UserStat]:
    """What users' requests used within 30 days, those of most tokens first, from `user_usage`."""
    rows = published.window(
        "user_usage", MONTH_HOURS, _of(assistant_id), order="total_tokens DESC, user_id", limit=limit
    )
    return [
        {
            "user_id": row["user_id"],
            "email": None,
            "full_name": row["user_name"] or row["user_id"],
            "total_tokens": row["total_tokens"],
            "interaction_count": row["requests"],
            "cost_usd": row["cost_usd"],
            "last_active": spelt(row["last_active"]),
        }
        for row in rows
    ]


def _of(assistant_id: str | None) -> Mapping[str, str]:
    return {} if assistant_id is None else {"assistant_id": assistant_id}


def _known(value: float | None, digits: int) -> float | None:
    return None if value is None else rounded(value, digits)


def _now() -> str:
    return spelt(datetime.now(UTC)) or ""
