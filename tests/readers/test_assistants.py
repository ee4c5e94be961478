from __future__ import annotations

from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.homes import Record, event, opened
from tidemill.errors import UsageError
from tidemill.readers import assistants

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill.readers.snapshot import Published

TABLES: Final = (
    *("llm_ttft", "llm_steps", "llm_cache", "topics", "trending_topics", "topic_diversity", "assistant_costs"),
    *("document_freshness", "session_distribution", "document_utilization", "reranking", "connector_syncs"),
    "user_usage",
)


def request(key: str, at: str, assistant_id: str | None = "a1", **fields: object) -> Record:
    """An answer of an assistant."""
    return event(key, at, type="llm_request", assistant_id=assistant_id, **fields)


def step(key: str, name: str, at: str = "2026-02-12T10:00:00Z", **fields: object) -> Record:
    """A part of a request to the first assistant."""
    return event(key, at, type="step", name=name, **({"request_id": "r", "assistant_id": "a1"} | fields))


def question(key: str, text: str, session_id: str, assistant_id: str | None = "a1", **fields: object) -> Record:
    """A question to an assistant, in a session."""
    asked = {"text": text, "session_id": session_id, "assistant_id": assistant_id}
    return event(key, "2026-02-12T09:00:00Z", **(asked | fields))


def document(key: str, at: str, document_id: str, **fields: object) -> Record:
    """A document that was added or changed."""
    return event(key, at, type="document_updated", document_id=document_id, **fields)


def retrieval(key: str, document_id: str, request_id: str | None = None, at: str = "2026-02-11T09:00:00Z") -> Record:
    """A request that used a document."""
    return event(key, at, type="document_retrieved", document_id=document_id, request_id=request_id)


def rerank(key: str, value: float | None, at: str = "2026-02-12T10:00:00Z", assistant_id: str = "a1") -> Record:
    """Results that were ordered anew."""
    return event(key, at, type="rerank", value=value, assistant_id=assistant_id)


def sync(key: str, status: str | None, **fields: object) -> Record:
    """A synchronisation of the first connector, two days ago."""
    found = {"type": "connector_sync", "connector_id": "c1", "name": "Drive", "status": status}
    return event(key, "2026-02-10T12:00:00Z", **(found | fields))


# Windows end at AS_OF, 2026-02-12T12:00Z.
RECORDS: Final = (
    request(
        "r1",
        "2026-02-12T11:00:00Z",
        ttft_ms=100,
        cached=True,
        input_tokens=10,
        output_tokens=20,
        cost_usd=0.5,
        user_id="u1",
        user_name="Änn",
        name="Helper",
    ),
    request("r2", "2026-02-12T10:00:00Z", ttft_ms=300, cached=False, input_tokens=30, output_tokens=40, user_id="u1"),
    request("r3", "2026-02-12T09:00:00Z", "a2", ttft_ms=500, cost_usd=0.12344, user_id="u2", name="Other"),
    request("r4", "2026-02-10T12:00:00Z", ttft_ms=900, cached=True, input_tokens=5, user_id="u1", user_name="Ann"),
    request("r5", "2026-02-12T08:00:00Z", None),
    request("r6", "2025-12-31T12:00:00Z", ttft_ms=1000, user_id="long ago"),  # 43 days before
    step("s1", "retrieval", duration_ms=1000, input_tokens=10),
    step("s2", "retrieval", duration_ms=3000, input_tokens=20, at="2026-02-08T10:00:00Z"),
    step("s3", "synthesis", assistant_id="a2"),
    step("s4", "afterwards", duration_ms=500, output_tokens=0),
    step("s5", "retrieval", duration_ms=9000, at="2026-02-05T12:00:00Z"),  # seven days before, to the instant
    step("s6", "retrieval", duration_ms=9000, job_id="j"),
    question("q1", "Where is it?", "s1", user_id="u1", timestamp="2026-02-12T11:30:00Z"),
    question("q2", "where is it", "s1"),
    question("q3", "where is it", "s1"),
    question("q4", "Café?", "s2", timestamp="2026-02-08T09:00:00Z"),
    *(question(f"q5 {number}", "cafe", "s3", "a2") for number in range(6)),
    question("q6", "WHERE IS IT", "s4", None, timestamp="2026-01-01T00:00:00Z"),
    document("d1", "2026-02-01T12:00:00Z", "d1", name="a.md", connector_id="c1"),  # 11 days before
    document("d2", "2025-12-20T12:00:00Z", "d2", connector_id="c9"),  # 54
    document("d3", "2025-10-01T12:00:00Z", "d3", name="c.md"),  # 134
    document("d4", "2026-02-01T12:00:00Z", "d4", status="deleted"),
    *(retrieval(f"t{number}", "d1", f"r{number}") for number in range(11)),
    retrieval("t again", "d1", "r0"),
    *(retrieval(key, "d5", key and "r1") for key in ("t11", "t12")),
    retrieval("t13", "d5", at="2026-02-11T10:00:00Z"),
    retrieval("t14", "d3", "r1", "2026-01-01T00:00:00Z"),  # 42 days before
    rerank("k1", 0.1),
    rerank("k2", 0.2004),
    rerank("k3", None),
    rerank("k4", 0.9, "2026-02-10T10:00:00Z"),
    rerank("k5", 0.5, assistant_id="a2"),
    event("c1", "2026-01-05T00:00:00Z", type="connector_updated", connector_id="c1", name="Drive"),
    event("c2", "2026-01-05T00:00:00Z", type="connector_updated", connector_id="c2"),
    sync("c3", "success", duration_ms=1500),
    sync("c4", "failure", duration_ms=2500),
    sync("c5", "partial"),
)
OF_ALL: Final = ("document_freshness", "document_utilization", "connector_sync_rates")
"""Parts whose events carry no assistant."""


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Two assistants, and requests that name none."""
    return opened(tmp_path_factory.mktemp("assistants"), *RECORDS, tables=TABLES)


def ttft(p50: float, p95: float, p99: float, hours: int) -> Any:
    """Percentiles as they are answered."""
    return pytest.approx({"p50": p50, "p95": p95, "p99": p99, "period_hours": hours})


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, ttft(0.3, 0.48, 0.496, 24)),  # of 100, 300, 500 ms: 300 + 0.9 * 200, 300 + 0.98 * 200
        ({"assistant_id": "a1"}, ttft(0.2, 0.29, 0.298, 24)),  # of 100, 300: 100 + 0.95 * 200, 100 + 0.99 * 200
        ({"hours": 48}, ttft(0.3, 0.48, 0.496, 48)),  # the 900 are 48 hours before, which is just outside
        ({"hours": 49}, ttft(0.4, 0.84, 0.888, 49)),  # of 100, 300, 500, 900: 500 + 0.85 * 400, 500 + 0.97 * 400
        ({"hours": 720}, ttft(0.4, 0.84, 0.888, 720)),
        ({"hours": 2000}, ttft(0.5, 0.98, 0.996, 2000)),  # and 1000: 900 + 0.8 * 100, 900 + 0.96 * 100
        ({"hours": 1}, ttft(0, 0, 0, 1)),  # the newest is an hour old to the instant
        ({"assistant_id": "nobody"}, ttft(0, 0, 0, 24)),
        ({"assistant_id": ""}, ttft(0, 0, 0, 24)),
    ],
    ids=str,
)
def test_ttft_is_seconds_over_any_window(published: Published, asked: dict[str, Any], expected: object) -> None:
    """Published windows, any other, and longer ones than are published; zeros when there is none."""
    assert assistants.ttft(published, **asked) == expected


def test_steps_stand_in_the_order_of_answering(published: Published) -> None:
    """Unknown ones after those of the vocabulary; what is not known is null, and an output of 0 is known."""
    assert assistants.step_breakdown(published, hours=168) == [
        {
            "step_name": "retrieval",
            "avg_duration": 2.0,
            "step_count": 2,
            "avg_tokens": {"input": 15.0, "output": None},
        },
        {"step_name": "synthesis", "avg_duration": None, "step_count": 1, "avg_tokens": None},
        {
            "step_name": "afterwards",
            "avg_duration": 0.5,
            "step_count": 1,
            "avg_tokens": {"input": None, "output": 0.0},
        },
    ]
    of_one = assistants.step_breakdown(published, hours=168, assistant_id="a2")
    assert [(row["step_name"], row["step_count"]) for row in of_one] == [("synthesis", 1)]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({"hours": 24}, (25.0, 4, 1, 3)),  # one of four; two do not say, and count as misses
        ({"hours": 24, "assistant_id": "a1"}, (50.0, 2, 1, 1)),
        ({"hours": 720, "assistant_id": "a1"}, (66.67, 3, 2, 1)),
        ({"hours": 2}, (100.0, 1, 1, 0)),
    ],
    ids=str,
)
def test_what_is_not_known_to_be_a_hit_is_a_miss(
    published: Published, asked: dict[str, Any], expected: tuple[float, int, int, int]
) -> None:
    """Misses are requests - hits."""
    names = ("hit_rate", "total_requests", "cache_hits", "cache_misses", "period_hours")
    assert assistants.cache_metrics(published, **asked) == dict(zip(names, (*expected, asked["hours"]), strict=True))


def topic(assistant_id: str | None, text: str, canonical: str, counts: tuple[int, int], last: str) -> Any:
    """A topic as it is answered."""
    return {
        "assistant_id": assistant_id,
        "topic": text,
        "canonical_text": canonical,
        "frequency": counts[0],
        "variation_count": counts[1],
        "last_asked": last,
    }


TOPICS: Final = [
    topic("a2", "cafe", "cafe", (6, 1), "2026-02-12T09:00:00Z"),
    topic("a1", "where is it", "where is it", (3, 2), "2026-02-12T11:30:00Z"),
    topic("a1", "Café?", "cafe", (1, 1), "2026-02-08T09:00:00Z"),
    topic(None, "WHERE IS IT", "where is it", (1, 1), "2026-01-01T00:00:00Z"),
]


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, TOPICS),
        ({"limit": 2}, TOPICS[:2]),
        ({"assistant_id": "a1"}, TOPICS[1:3]),
        ({"assistant_id": "a1", "limit": 1}, TOPICS[1:2]),
        ({"assistant_id": "nobody"}, []),
        ({"assistant_id": ""}, []),
        ({"assistant_id": "a'1"}, []),
        ({"days": 7}, TOPICS[:3]),
        ({"days": 60}, TOPICS),
        ({"days": 7, "assistant_id": "a1"}, TOPICS[1:3]),
        ({"days": 7, "limit": 1}, TOPICS[:1]),
        ({"days": 7, "assistant_id": "nobody"}, []),
    ],
    ids=str,
)
def test_topics_are_of_all_time_unless_days_are_given(
    published: Published, asked: dict[str, Any], expected: list[Any]
) -> None:
    """Each assistant's own, the most frequent first, then the one asked last; called by the most frequent text."""
    assert assistants.trending(published, **asked) == expected


@pytest.mark.parametrize(
    ("asked", "expected"),
    [
        ({}, (0.463, 2, 63.64)),  # where is it 4, cafe 7 of 11, of whichever assistant: 1 - (16 + 49) / 121
        ({"assistant_id": "a1"}, (0.375, 2, 75.0)),  # 3 and 1 of 4: 1 - (9 + 1) / 16
        ({"assistant_id": "a2"}, (0.0, 1, 100.0)),
        ({"days": 7}, (0.42, 2, 70.0)),  # 3 and 7 of 10: 1 - (9 + 49) / 100
        ({"days": 7, "assistant_id": "a1"}, (0.375, 2, 75.0)),
    ],
    ids=str,
)
def test_diversity_is_of_topics(
    published: Published, asked: dict[str, Any], expected: tuple[float, int, float]
) -> None:
    """1 - the sum of squared shares; one topic alone is no diversity."""
    names = ("diversity_score", "total_topics", "dominant_topic_share")
    assert assistants.topic_diversity(published, **asked) == dict(zip(names, expected, strict=True))


def test_costs_are_of_each_assistant(published: Published) -> None:
    """A request without cost or price counts as unpriced; a cost of which nothing is known is null, not 0."""
    first, other, nobody = assistants.assistant_costs(published)
    assert first == {
        "assistant_id": "a1",
        "assistant_name": "Helper",
        "total_tokens": 100,
        "input_tokens": 40,
        "output_tokens": 60,
        "estimated_cost_usd": 0.5,
        "unpriced_requests": 1,
    }
    assert (other["assistant_id"], other["estimated_cost_usd"], other["unpriced_requests"]) == ("a2", 0.1234, 0)
    assert (nobody["assistant_id"], nobody["estimated_cost_usd"], nobody["unpriced_requests"]) == (None, None, 1)
    assert assistants.assistant_costs(published, assistant_id="a1") == [first]
    assert [row["total_tokens"] for row in assistants.assistant_costs(published, hours=2)] == [30]
    assert assistants.assistant_costs(published, assistant_id="nobody") == []


def test_freshness_counts_every_document_that_is_not_deleted(published: Published) -> None:
    """One that is known from retrievals only is stale."""
    assert assistants.freshness(published) == [
        {"freshness_category": "Fresh (<30d)", "doc_count": 1, "percentage": 25.0},
        {"freshness_category": "Aging (30-90d)", "doc_count": 1, "percentage": 25.0},
        {"freshness_category": "Stale (>90d)", "doc_count": 2, "percentage": 50.0},
    ]


def test_sessions_are_distributed_by_their_questions(published: Published) -> None:
    """One, two to five, and more; always three rows where there is a session."""
    found = assistants.session_distribution(published, hours=168)
    assert found == [
        {"session_type": "Single Question", "session_count": 1, "percentage": 33.33},
        {"session_type": "Normal (2-5)", "session_count": 1, "percentage": 33.33},
        {"session_type": "Power User (5+)", "session_count": 1, "percentage": 33.33},
    ]
    of_one = assistants.session_distribution(published, hours=168, assistant_id="a1")
    assert [(row["session_count"], row["percentage"]) for row in of_one] == [(1, 50.0), (1, 50.0), (0, 0.0)]
    assert assistants.session_distribution(published, hours=168, assistant_id="nobody") == []


def test_utilization_has_every_document_the_most_used_first(published: Published) -> None:
    """A request counts once, however often it used it; a document and a connector without a name are called by id."""
    found = assistants.document_utilization(published)
    names = ("document_id", "file_name", "connector_name", "retrieval_count", "last_retrieved", "status")
    assert [tuple(row[name] for name in names) for row in found] == [  # type: ignore[literal-required]
        ("d1", "a.md", "Drive", 11, "2026-02-11T09:00:00Z", "hot"),
        ("d5", "d5", None, 2, "2026-02-11T10:00:00Z", "warm"),  # one request twice, and once none
        ("d2", "d2", "c9", 0, None, "cold"),
        ("d3", "c.md", None, 0, None, "cold"),  # used 42 days before
    ]
    assert assistants.document_utilization(published, limit=1) == found[:1]
    assert assistants.document_utilization(published, limit=None) == found


def test_reranking_is_the_mean_of_known_improvements(published: Published) -> None:
    """One without a value counts as one all the same."""
    assert assistants.reranking_impact(published, hours=24, assistant_id="a1") == {
        "avg_score_improvement": 0.15,  # (0.1 + 0.2004) / 2 = 0.1502
        "reranking_enabled_count": 3,
        "avg_position_change": None,
    }
    found = assistants.reranking_impact(published, hours=24)
    assert found is not None
    assert (found["avg_score_improvement"], found["reranking_enabled_count"]) == (0.267, 4)  # 0.8004 / 3


def test_a_rate_of_syncs_is_successful_of_all(published: Published) -> None:
    """Neither success nor failure is no success; a connector that never synchronised has a row."""
    assert assistants.connector_sync_rates(published, hours=168) == [
        {
            "connector_id": "c1",
            "connector_name": "Drive",
            "success_rate": 33.33,
            "total_syncs": 3,
            "successful_syncs": 1,
            "failed_syncs": 1,
            "avg_sync_duration": 2.0,  # (1.5 + 2.5) / 2; the third does not say
        },
        {
            "connector_id": "c2",
            "connector_name": None,
            "success_rate": 0.0,
            "total_syncs": 0,
            "successful_syncs": 0,
            "failed_syncs": 0,
            "avg_sync_duration": None,
        },
    ]


def test_users_are_those_with_requests_the_most_tokens_first(published: Published) -> None:
    """By the newest name that a request carries, else by id; last active by any event."""
    first, other = assistants.user_stats(published)
    assert first == {
        "user_id": "u1",
        "email": None,
        "full_name": "Änn",
        "total_tokens": 105,  # 30 + 70 + 5
        "interaction_count": 3,
        "cost_usd": 0.5,
        "last_active": "2026-02-12T11:30:00Z",
    }
    assert (other["user_id"], other["full_name"], other["total_tokens"]) == ("u2", "u2", 0)
    assert assistants.user_stats(published, assistant_id="a2") == [other]
    assert assistants.user_stats(published, limit=1) == [first]
    assert assistants.user_stats(published, limit=None) == [first, other]


PARTS: Final[dict[str, Any]] = {
    "ttft_percentiles": lambda of, published: assistants.ttft(published, **of),
    "step_breakdown": lambda of, published: assistants.step_breakdown(published, hours=168, **of),
    "cache_metrics": lambda of, published: assistants.cache_metrics(published, hours=24, **of),
    "trending_topics": lambda of, published: assistants.trending(published, **of),
    "topic_diversity": lambda of, published: assistants.topic_diversity(published, **of),
    "assistant_costs": lambda of, published: assistants.assistant_costs(published, **of),
    "document_freshness": lambda _, published: assistants.freshness(published),
    "session_distribution": lambda of, published: assistants.session_distribution(published, hours=168, **of),
    "document_utilization": lambda _, published: assistants.document_utilization(published),
    "reranking_impact": lambda of, published: assistants.reranking_impact(published, hours=24, **of),
    "connector_sync_rates": lambda _, published: assistants.connector_sync_rates(published, hours=168),
    "user_stats": lambda of, published: assistants.user_stats(published, **of),
}


@pytest.mark.parametrize("assistant_id", [None, "a1"])
def test_everything_at_once_is_each_part(published: Published, assistant_id: str | None) -> None:
    """Each over the window that it has by default, and of the assistant that is asked for."""
    found: dict[str, Any] = dict(assistants.advanced(published, assistant_id=assistant_id))
    made_at = datetime.fromisoformat(found.pop("generated_at"))
    assert made_at.tzinfo is not None
    assert found.pop("as_of") == "2026-02-12T12:00:00Z"
    assert found.pop("errors") == {}
    assert found == {name: part({"assistant_id": assistant_id}, published) for name, part in PARTS.items()}


@pytest.mark.parametrize(
    ("asked", "changed"),
    [
        ({"ttft_hours": 2}, ["ttft_percentiles"]),
        ({"step_days": 1}, ["step_breakdown", "session_distribution", "connector_sync_rates"]),
        ({"cache_hours": 72}, ["cache_metrics", "reranking_impact"]),
        ({"cost_hours": 2}, ["assistant_costs"]),
        ({"trending_limit": 1}, ["trending_topics"]),
        ({"trending_days": 1}, ["trending_topics", "topic_diversity"]),
        ({"limit": 1}, ["assistant_costs", "document_utilization", "connector_sync_rates", "user_stats"]),
    ],
    ids=str,
)
def test_each_window_is_of_its_parts(published: Published, asked: dict[str, Any], changed: list[str]) -> None:
    """And of no other."""
    whole, found = assistants.advanced(published), assistants.advanced(published, **asked)
    differing = {name for name in PARTS if found[name] != whole[name]}  # type: ignore[literal-required]
    assert differing == set(changed)
    assert found["errors"] == {}


def test_of_an_unknown_assistant_only_what_is_of_all_is_answered(published: Published) -> None:
    """It is no error: null and empty, beside documents and connectors."""
    found = assistants.advanced(published, assistant_id="nobody")
    assert {name for name in PARTS if found[name]} == set(OF_ALL)  # type: ignore[literal-required]
    assert found["errors"] == {}


def test_what_fails_is_named_and_the_rest_is_served(tmp_path: Path) -> None:
    """A part whose table is not built is null or empty; so is one whose window is none."""
    made = opened(tmp_path, *RECORDS, tables=["llm_ttft", "llm_cache"])
    found = assistants.advanced(made, cache_hours=0)
    assert found["ttft_percentiles"] == ttft(0.3, 0.48, 0.496, 24)
    assert found["errors"].keys() == PARTS.keys() - {"ttft_percentiles"}
    assert found["errors"]["user_stats"] == "user_usage is not built yet; run: tidemill build user_usage"
    assert found["errors"]["cache_metrics"].startswith("since takes a number of hours or days")
    empty = [found[name] for name in PARTS if name in found["errors"]]  # type: ignore[literal-required]
    assert [part for part in empty if part not in (None, [])] == []


def test_a_window_of_no_hours_is_refused(published: Published) -> None:
    """Alone it is an error of whoever asks."""
    with pytest.raises(UsageError, match="since takes a number of hours"):
        assistants.ttft(published, hours=-1)


def test_without_records_everything_is_null_or_empty(nothing: Published) -> None:
    """And nothing fails; windows that are not published and topics of some days neither."""
    questions: list[dict[str, Any]] = [{}, {"ttft_hours": 5, "trending_days": 3, "assistant_id": "a1"}]
    for asked in questions:
        found: dict[str, Any] = dict(assistants.advanced(nothing, **asked))
        assert {name: found[name] for name in PARTS} == {
            name: None if name in {"ttft_percentiles", "cache_metrics", "topic_diversity", "reranking_impact"} else []
            for name in PARTS
        }
        assert found["errors"] == {}
    assert assistants.ttft(nothing, hours=5) == {"p50": 0.0, "p95": 0.0, "p99": 0.0, "period_hours": 5}
