"""Polars: six rollups over Parquet of events, in one pass of lazy frames."""

from __future__ import annotations

import sys

import polars as pl

source, target = sys.argv[1:]
col = pl.col
events = pl.scan_parquet(source, hive_partitioning=False).with_columns(
    day=col("timestamp").dt.date(), hour=col("timestamp").dt.truncate("1h")
)
once = (col("type") != "document_updated") & ((col("type") != "step") | col("job_id").is_not_null())
figures = ["duration_ms", "input_tokens", "output_tokens", "total_tokens", "cost_usd"]
counted = events.with_columns(pl.when(once).then(col(name)).alias(name) for name in figures)


def known_sum(name: str) -> pl.Expr:
    """The sum of the known values; none where nothing is known."""
    return pl.when(col(name).count() > 0).then(col(name).sum())


def outcomes() -> list[pl.Expr]:
    """How the events ended."""
    success = col("success")
    return [
        success.sum().alias("successes"),
        (~success).sum().alias("failures"),
        success.null_count().alias("unknown"),
    ]


def rate() -> pl.Expr:
    """Successes of those that are known."""
    return col("success").mean().alias("success_rate")


def durations() -> list[pl.Expr]:
    """How long the events took."""
    x = col("duration_ms")
    return [
        x.count().alias("count_duration_ms"),
        known_sum("duration_ms").alias("total_duration_ms"),
        x.mean().alias("avg_duration_ms"),
        x.min().alias("min_duration_ms"),
        x.max().alias("max_duration_ms"),
        *(x.quantile(q / 100, "linear").alias(f"p{q}_duration_ms") for q in (50, 95, 99)),
    ]


def activity(key: str) -> pl.LazyFrame:
    """How much happened in each day or hour."""
    sessions, tokens = col("session_id").drop_nulls().n_unique(), col("total_tokens").sum()
    return counted.group_by(key).agg(
        pl.len().alias("events"),
        (col("type") == "error_occurred").sum().alias("errors"),
        sessions.alias("sessions"),
        col("user_id").drop_nulls().n_unique().alias("users"),
        *outcomes(),
        rate(),
        *durations(),
        *(col(name).sum() for name in figures[1:4]),
        pl.when(sessions > 0).then(tokens / sessions).alias("tokens_per_session"),
        known_sum("cost_usd").alias("cost_usd"),
    )


def uses(kind: str, key: str) -> pl.LazyFrame:
    """How often tools or agents were used."""
    used = events.filter(col("type") == kind)
    return used.group_by("day", key).agg(pl.len().alias("uses"), *outcomes(), rate(), *durations())


types = events.group_by("day", "type").agg(
    pl.len().alias("events"),
    *outcomes(),
    *durations(),
    col("total_tokens").sum(),
    known_sum("cost_usd").alias("cost_usd"),
)
owners = ["session_id", "user_id", "project"]
sessions = (
    counted.filter(pl.any_horizontal(col(owners).is_not_null()))
    .group_by("day", *owners)
    .agg(
        col("timestamp").min().alias("first_at"),
        col("timestamp").max().alias("last_at"),
        pl.len().alias("events"),
        (col("type") == "error_occurred").sum().alias("errors"),
        (~col("success")).sum().alias("failures"),
        (col("type") == "question").sum().alias("questions"),
        known_sum("duration_ms").alias("total_duration_ms"),
        col("total_tokens").sum(),
        known_sum("cost_usd").alias("cost_usd"),
    )
)
tables = {
    "activity_daily": activity("day"),
    "activity_hourly": activity("hour"),
    "agents_daily": uses("agent_execution", "agent_id"),
    "event_types_daily": types,
    "session_activity_daily": sessions,
    "tools_daily": uses("tool_use", "tool_name"),
}
sinks = [frame.sink_parquet(f"{target}/{name}.parquet", lazy=True) for name, frame in tables.items()]
pl.collect_all(sinks, engine="streaming")
