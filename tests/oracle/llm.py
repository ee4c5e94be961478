"""Latency and cost of an assistant."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tests.oracle import clock
from tests.oracle.clock import ended, within
from tests.oracle.figures import exact_sum, known, outcomes, pct, percentile, ratio, stats
from tests.oracle.prices import money
from tests.oracle.world import by, grouped, last_known

if TYPE_CHECKING:
    from tests.oracle.world import Row, World

STEPS = (
    "connection", "cache_lookup", "query_rewrite", "vectorization", "retrieval", "reranking", "synthesis",
    "persistence", "cache_update", "trending",
)  # fmt: skip
TOKENS = ("input_tokens", "output_tokens", "total_tokens")


def _tokens(events: list[Row]) -> Row:
    return {name: sum(known(events, name)) for name in TOKENS}


def _average(values: list[float]) -> float | None:
    return ratio(exact_sum(values), len(values))


def llm_hourly(world: World) -> list[Row]:
    """The requests of each hour."""
    groups = grouped(
        world.of_type("llm_request"),
        lambda event: (clock.hour(world, event["timestamp"]), *by("assistant_id", "model", "provider")(event)),
    )
    return [
        {"hour": hour, "assistant_id": assistant, "model": model, "provider": provider, "requests": len(requests)}
        | {"failures": outcomes(requests)["failures"]}
        | {"cached_requests": sum(request["cached"] is True for request in requests)}
        | _tokens(requests)
        | money(requests, world.prices)
        | stats("ttft_ms", known(requests, "ttft_ms"))
        | stats("duration_ms", known(requests, "duration_ms"))
        | {"output_tokens_per_second": _speed(requests)}
        for (hour, assistant, model, provider), requests in groups.items()
    ]


def _speed(requests: list[Row]) -> float | None:
    generated = [
        request
        for request in requests
        if None not in {request["duration_ms"], request["ttft_ms"], request["output_tokens"]}
        and request["duration_ms"] > request["ttft_ms"]
    ]
    milliseconds = exact_sum([request["duration_ms"] - request["ttft_ms"] for request in generated])
    return milliseconds and sum(known(generated, "output_tokens")) / (milliseconds / 1000)


def llm_ttft(world: World) -> list[Row]:
    """How long a request waits for its first token."""

    def table(_world: World, events: list[Row], _hours: int) -> list[Row]:
        waits = known(events, "ttft_ms")
        return [{"requests": len(waits)} | pct("ttft_ms", waits)]

    return ended(world, table, "llm_request")


def llm_steps(world: World) -> list[Row]:
    """The parts of requests, in the order in which they are taken."""

    def table(_world: World, events: list[Row], _hours: int) -> list[Row]:
        steps = grouped([event for event in events if event["job_id"] is None], lambda event: event["name"])
        return [{"step": name} | _step(steps[name]) for name in sorted(steps, key=_place)]

    return ended(world, table, "step")


def _place(name: str | None) -> tuple[int, bool, str]:
    return STEPS.index(name) if name in STEPS else len(STEPS), name is None, name or ""


def _step(steps: list[Row]) -> Row:
    durations = known(steps, "duration_ms")
    return {
        "steps": len(steps),
        "avg_duration_ms": _average(durations),
        "p95_duration_ms": percentile(durations, 0.95),
        "avg_input_tokens": _average(known(steps, "input_tokens")),
        "avg_output_tokens": _average(known(steps, "output_tokens")),
    }


def llm_cache(world: World) -> list[Row]:
    """How often an answer came from the cache."""

    def table(_world: World, events: list[Row], _hours: int) -> list[Row]:
        told = [event["cached"] for event in events]
        hits, misses = told.count(True), told.count(False)
        return [
            {"requests": len(told), "hits": hits, "misses": misses, "unknown": told.count(None)}
            | {"hit_rate": ratio(hits, hits + misses)}
        ]

    return ended(world, table, "llm_request")


def assistant_costs(world: World) -> list[Row]:
    """What each assistant used and cost."""

    def table(world: World, events: list[Row], _hours: int) -> list[Row]:
        return [
            {"assistant_id": assistant, "name": last_known(requests, "name"), "requests": len(requests)}
            | _tokens(requests)
            | money(requests, world.prices)
            for (assistant,), requests in grouped(events, by("assistant_id")).items()
        ]

    return ended(world, table, "llm_request")


def reranking(world: World) -> list[Row]:
    """How much reranking improves the score."""

    def table(_world: World, events: list[Row], _hours: int) -> list[Row]:
        values = known(events, "value")
        return [{"reranks": len(events), "avg_improvement": ratio(sum(values), len(values))}]

    return ended(world, table, "rerank")


def user_usage(world: World) -> list[Row]:
    """What each user asked of the models, and when the user was last seen."""

    def table(world: World, events: list[Row], hours: int) -> list[Row]:
        seen = grouped(within(world, hours), by("user_id"))
        return [
            {"user_id": user, "user_name": last_known(requests, "user_name"), "requests": len(requests)}
            | {"total_tokens": sum(known(requests, "total_tokens"))}
            | {"cost_usd": exact_sum(known(requests, "cost_usd"))}
            | {"last_active": seen[user,][-1]["timestamp"]}
            for (user,), requests in grouped(events, by("user_id")).items()
            if user is not None
        ]

    return ended(world, table, "llm_request")
