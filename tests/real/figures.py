"""Figures of the dictionary as Polars makes them, and their comparison with what is published."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Final

import polars as pl
from polars.testing import assert_frame_equal

OUTLIER: Final = datetime(2025, 5, 7, 15, 29, 32, tzinfo=UTC)
"""When aider says that a call cost $9,990.01."""
SHARES: Final = {"p50": 0.5, "p95": 0.95, "p99": 0.99}
TOKENS: Final = ("input_tokens", "output_tokens", "total_tokens")


def stats(column: str) -> list[pl.Expr]:
    """Count, sum, mean, spread and percentiles, as the dictionary has them."""
    value = pl.col(column)
    return [
        value.count().alias(f"count_{column}"),
        sum_of(column).alias(f"total_{column}"),
        value.mean().alias(f"avg_{column}"),
        value.min().alias(f"min_{column}"),
        value.max().alias(f"max_{column}"),
        *percentiles(column),
    ]


def percentiles(column: str) -> list[pl.Expr]:
    """The exact ones, by linear interpolation."""
    return [pl.col(column).quantile(share, "linear").alias(f"{name}_{column}") for name, share in SHARES.items()]


def sum_of(column: str) -> pl.Expr:
    """The sum, none of nothing: that of Polars is 0."""
    return pl.when(pl.col(column).count() > 0).then(pl.col(column).sum()).alias(column)


def errors() -> pl.Expr:
    """How many events are errors."""
    return (pl.col("type") == "error_occurred").sum().alias("errors")


def assert_same(published: pl.DataFrame, expected: pl.DataFrame, *key: str) -> None:
    """The same keys with the same figures, in all columns that are expected."""
    counts = pl.selectors.integer().cast(pl.Int64)
    assert_frame_equal(
        published.select(expected.columns).with_columns(counts).sort(key),
        expected.with_columns(counts).sort(key),
        rel_tol=1e-9,
        abs_tol=1e-12,
    )
