"""What answers look like, for the OpenAPI description: of a small home, in their order of fields."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tidemill.readers.activity import Activity
    from tidemill.readers.assistant_types import (
        Advanced,
        AssistantCost,
        DocumentFreshness,
        TrendingTopic,
        TTFTPercentiles,
    )
    from tidemill.readers.functions import Functions
    from tidemill.readers.jobs import Costs, Durations, Errors, Stats, Validations
    from tidemill.readers.tables import Rows, Table

STATS: Final[Stats] = {
    "total_jobs": 4,
    "pending_jobs": 0,
    "queued_jobs": 0,
    "running_jobs": 1,
    "paused_jobs": 0,
    "completed_jobs": 2,
    "failed_jobs": 1,
    "cancelled_jobs": 0,
    "other_jobs": 0,
    "success_rate": 66.7,
    "total_spend": 4.55,
    "throughput_sheets_per_hour": 120.0,
}
COSTS: Final[Costs] = {
    "by_job": {"job-2": 2.0, "job-1": 1.5},
    "total_spend": 3.5,
    "avg_cost_per_job": 1.75,
    "jobs_with_cost": 2,
}
VALIDATIONS: Final[Validations] = {
    "by_rule_type": {"schema": 50.0, "unknown": 100.0},
    "overall_pass_rate": 66.7,
    "total_checks": 3,
    "total_passed": 2,
}
ERRORS: Final[Errors] = {"by_category": {"transient": 1, "rate_limit": 0, "permanent": 2}, "total_errors": 3}
DURATIONS: Final[Durations] = {
    "avg_sheet_duration_seconds": 30.0,
    "job_durations": {"job-1": 60.0},
    "slowest_sheets": [{"job_id": "job-1", "sheet_num": 2, "duration_seconds": 40.0}],
    "total_sheets_with_duration": 2,
}
TTFT: Final[TTFTPercentiles] = {"p50": 0.31, "p95": 1.2, "p99": 2.0, "period_hours": 24}
TRENDING: Final[list[TrendingTopic]] = [
    {
        "assistant_id": "a1",
        "topic": "How do I reset my password?",
        "canonical_text": "how do i reset my password",
        "frequency": 12,
        "variation_count": 3,
        "last_asked": "2026-02-10T18:00:00Z",
    }
]
ASSISTANT_COSTS: Final[list[AssistantCost]] = [
    {
        "assistant_id": "a1",
        "assistant_name": "Support",
        "total_tokens": 1500,
        "input_tokens": 1000,
        "output_tokens": 500,
        "estimated_cost_usd": 0.025,
        "unpriced_requests": 0,
    }
]
FRESHNESS: Final[list[DocumentFreshness]] = [
    {"freshness_category": "Fresh (<30d)", "doc_count": 3, "percentage": 75.0},
    {"freshness_category": "Aging (30-90d)", "doc_count": 1, "percentage": 25.0},
    {"freshness_category": "Stale (>90d)", "doc_count": 0, "percentage": 0.0},
]
ADVANCED: Final[Advanced] = {
    "ttft_percentiles": TTFT,
    "step_breakdown": [
        {
            "step_name": "retrieval",
            "avg_duration": 0.12,
            "step_count": 40,
            "avg_tokens": {"input": 10.0, "output": None},
        }
    ],
    "cache_metrics": {"hit_rate": 25.0, "total_requests": 4, "cache_hits": 1, "cache_misses": 3, "period_hours": 24},
    "trending_topics": TRENDING,
    "topic_diversity": {"diversity_score": 0.64, "total_topics": 3, "dominant_topic_share": 40.0},
    "assistant_costs": ASSISTANT_COSTS,
    "document_freshness": FRESHNESS,
    "session_distribution": [{"session_type": "Single Question", "session_count": 2, "percentage": 100.0}],
    "document_utilization": [
        {
            "document_id": "d1",
            "file_name": "handbook.pdf",
            "connector_name": "Drive",
            "retrieval_count": 11,
            "last_retrieved": "2026-02-10T18:00:00Z",
            "status": "hot",
        }
    ],
    "reranking_impact": {"avg_score_improvement": 0.1, "reranking_enabled_count": 2, "avg_position_change": None},
    "connector_sync_rates": [
        {
            "connector_id": "c1",
            "connector_name": "Drive",
            "success_rate": 66.67,
            "total_syncs": 3,
            "successful_syncs": 2,
            "failed_syncs": 1,
            "avg_sync_duration": 4.5,
        }
    ],
    "user_stats": [
        {
            "user_id": "u1",
            "email": None,
            "full_name": "Ann",
            "total_tokens": 1500,
            "interaction_count": 4,
            "cost_usd": 0.02,
            "last_active": "2026-02-10T18:00:00Z",
        }
    ],
    "errors": {},
    "as_of": "2026-02-10T18:00:00Z",
    "generated_at": "2026-02-10T18:00:03Z",
}
ACTIVITY: Final[Activity] = {
    "total_metrics": 4,
    "total_sessions": 2,
    "total_users": 1,
    "total_errors": 1,
    "duration_stats": {
        "total_ms": 600.0,
        "avg_ms": 200.0,
        "min_ms": 100.0,
        "max_ms": 300.0,
        "p50_ms": 200.0,
        "p95_ms": 290.0,
        "p99_ms": 298.0,
    },
    "token_stats": {"total": 1500, "avg_per_session": 750.0},
    "success_metrics": {"success_count": 2, "failure_count": 1, "success_rate": 0.6666666666666666},
    "breakdowns": {
        "by_type": {"tool_use": 3, "error_occurred": 1},
        "tools": {"bash": 2, "read": 1},
        "agents": {},
        "errors": {"Timeout": 1},
    },
    "time_series": [{"day": "2026-02-10", "events": 4, "errors": 1, "sessions": 2, "users": 1}],
}
FUNCTIONS: Final[Functions] = {
    "total_calls": 3,
    "total_success": 2,
    "success_rate": 66.66666666666666,
    "total_time": 9.0,
    "avg_duration": 3.0,
    "slowest": {
        "function": "load_orders",
        "category": "io",
        "started_at": "2026-02-10T18:00:00Z",
        "duration_seconds": 6.0,
        "success": False,
    },
    "fastest": {
        "function": "parse",
        "category": None,
        "started_at": "2026-02-10T18:00:00Z",
        "duration_seconds": 1.0,
        "success": True,
    },
    "duration_counts": {"fast": 2, "medium": 0, "slow": 1},
    "function_count": 2,
    "event_count": 3,
}
TABLES: Final[list[Table]] = [
    {
        "name": "activity_daily",
        "family": "activity",
        "description": "How much happened on each day, how it ended, how long it took, what it cost.",
        "key": ["day"],
        "rows": 30,
        "built_at": "2026-02-10T18:00:00Z",
        "columns": [{"name": "day", "type": "DATE", "description": "the local date"}],
    }
]
ROWS: Final[Rows] = {
    "table": "activity_daily",
    "snapshot": "20260210T180000000000-0a1b2c3d",
    "total_rows": 30,
    "rows": [{"day": "2026-02-10", "events": 4}],
    "next_cursor": "WyIyMDI2MDIxMFQiLCAxLCAiMGExYiJd",
}
