"""What the answers about assistants hold: each part of the dashboard, and all of them at once."""

from __future__ import annotations

from typing_extensions import TypedDict


class TTFTPercentiles(TypedDict):
    """Seconds until the first token."""

    p50: float
    p95: float
    p99: float
    period_hours: int


class AvgTokens(TypedDict):
    """The mean tokens of a step; null where they are not known."""

    input: float | None
    output: float | None


class StepBreakdown(TypedDict):
    """How long a step of answering takes, in seconds; null where that is not known."""

    step_name: str | None
    avg_duration: float | None
    step_count: int
    avg_tokens: AvgTokens | None


class CacheMetrics(TypedDict):
    """How many requests were answered from a cache; the rate in percent of all requests (2 digits)."""

    hit_rate: float
    total_requests: int
    cache_hits: int
    cache_misses: int
    period_hours: int


class TrendingTopic(TypedDict):
    """A question, however it was spelled, and how often it was asked."""

    assistant_id: str | None
    topic: str
    canonical_text: str
    frequency: int
    variation_count: int
    last_asked: str


class TopicDiversity(TypedDict):
    """1 - the sum of squared shares of the topics (3 digits); the share of the most frequent in percent (2)."""

    diversity_score: float
    total_topics: int
    dominant_topic_share: float


class AssistantCost(TypedDict):
    """Tokens and US dollars (4 digits); null where no request has a cost or a price, of which some may lack one."""

    assistant_id: str | None
    assistant_name: str | None
    total_tokens: int
    input_tokens: int
    output_tokens: int
    estimated_cost_usd: float | None
    unpriced_requests: int


class DocumentFreshness(TypedDict):
    """How many documents are of an age, and in percent of all (2 digits)."""

    freshness_category: str
    doc_count: int
    percentage: float


class SessionDistribution(TypedDict):
    """How many sessions had so many questions, and in percent of all (2 digits)."""

    session_type: str
    session_count: int
    percentage: float


class DocumentUtilization(TypedDict):
    """How many requests used a document: hot from 11, cold of none."""

    document_id: str
    file_name: str
    connector_name: str | None
    retrieval_count: int
    last_retrieved: str | None
    status: str


class RerankingImpact(TypedDict):
    """How much reranking improves the score (3 digits, null where that is not known); positions are not recorded."""

    avg_score_improvement: float | None
    reranking_enabled_count: int
    avg_position_change: float | None


class ConnectorSyncRate(TypedDict):
    """How a connector's synchronisations went: the rate in percent of all of them (2 digits), the mean in seconds."""

    connector_id: str
    connector_name: str | None
    success_rate: float
    total_syncs: int
    successful_syncs: int
    failed_syncs: int
    avg_sync_duration: float | None


class UserStat(TypedDict):
    """What a user's requests used; no e-mail address is recorded."""

    user_id: str
    email: str | None
    full_name: str
    total_tokens: int
    interaction_count: int
    cost_usd: float | None
    last_active: str | None


class Advanced(TypedDict):
    """Everything at once. A part that failed is null or empty, and `errors` says why."""

    ttft_percentiles: TTFTPercentiles | None
    step_breakdown: list[StepBreakdown]
    cache_metrics: CacheMetrics | None
    trending_topics: list[TrendingTopic]
    topic_diversity: TopicDiversity | None
    assistant_costs: list[AssistantCost]
    document_freshness: list[DocumentFreshness]
    session_distribution: list[SessionDistribution]
    document_utilization: list[DocumentUtilization]
    reranking_impact: RerankingImpact | None
    connector_sync_rates: list[ConnectorSyncRate]
    user_stats: list[UserStat]
    errors: dict[str, str]
    as_of: str | None
    generated_at: str
