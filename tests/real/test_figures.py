"""Figures of activity, llm and metrics over the real sets, against those that Polars makes of their files."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import polars as pl
import pytest

from tests.real import frames
from tests.real.figures import OUTLIER, SHARES, TOKENS, assert_same, errors, percentiles, stats, sum_of
from tests.real.files import NEED_DATA
from tidemill.build.checks import definitions
from tidemill.build.outcome import Result

if TYPE_CHECKING:
    from tidemill import Tidemill

pytestmark = NEED_DATA

PERIODS: Final = {
    "activity_hourly": ("hour", pl.col("at").dt.truncate("1h")),
    "activity_daily": ("day", pl.col("at").dt.date()),
    "activity_weekly": ("week_start", pl.col("at").dt.date().dt.truncate("1w")),
    "activity_monthly": ("month_start", pl.col("at").dt.date().dt.month_start()),
}


@pytest.mark.parametrize("table", PERIODS)
def test_activity_is_that_of_all_sets_in_every_period(mill: Tidemill, events: pl.DataFrame, table: str) -> None:
    """Events, errors, users, outcomes, durations, tokens and cost of each hour, day, week and month; no sessions."""
    name, period = PERIODS[table]
    succeeded = pl.col("success")
    expected = events.group_by(period.alias(name)).agg(
        pl.len().alias("events"),
        errors(),
        pl.lit(0).alias("sessions"),  # no set has any
        pl.col("user").drop_nulls().n_unique().alias("users"),
        succeeded.sum().alias("successes"),
        (~succeeded).sum().alias("failures"),
        succeeded.is_null().sum().alias("unknown"),
        succeeded.mean().alias("success_rate"),
        *stats("duration_ms"),
        *(pl.col(column).sum() for column in TOKENS),
        pl.lit(None, pl.Float64).alias("tokens_per_session"),
        sum_of("cost_usd"),
    )
    published = mill.table(table).collect()
    assert published.columns == expected.columns
    assert_same(published, expected, name)


def test_one_call_costs_more_than_all_others_of_all_days(mill: Tidemill, events: pl.DataFrame) -> None:
    """The call of $9,990.01 is in its day's cost and in its user's, and in no other."""
    dear = events.filter(pl.col("cost_usd") > 9_990).row(0, named=True)
    costs = dict(mill.table("activity_daily").select("day", "cost_usd").drop_nulls().collect().iter_rows())
    beside = events.filter(pl.col("at").dt.date() == dear["at"].date(), pl.col("at") != dear["at"])["cost_usd"].sum()
    assert dear["at"] == OUTLIER
    assert costs.pop(OUTLIER.date()) == pytest.approx(dear["cost_usd"] + beside)
    assert sum(costs.values()) == pytest.approx(
        events.filter(pl.col("at").dt.date() != OUTLIER.date())["cost_usd"].sum()
    )
    assert sum(costs.values()) < dear["cost_usd"] / 50
    users = mill.table("users").filter(pl.col("cost_usd") > 9_990).select("user_id").collect()
    assert users["user_id"].to_list() == [dear["user"]]


def test_errors_of_the_assistant_stand_on_their_days(mill: Tidemill, events: pl.DataFrame) -> None:
    """An exception has a type and no category, and belongs to no job."""
    found = events.filter(pl.col("type") == "error_occurred")
    expected = found.group_by(day=pl.col("at").dt.date()).agg(
        pl.lit(None, pl.String).alias("category"),
        pl.lit("message_send_exception").alias("error_type"),
        errors(),
        pl.lit(0).alias("job_errors"),
    )
    assert_same(mill.table("errors_daily").collect(), expected, "day")


def test_users_have_what_their_events_say(mill: Tidemill, events: pl.DataFrame) -> None:
    """Each user's events, errors, tokens and cost, from the first event to the last; events of nobody have no row."""
    expected = (
        events.drop_nulls("user")
        .group_by(user_id="user")
        .agg(
            pl.lit(0).alias("sessions"),
            pl.len().alias("events"),
            errors(),
            pl.col("total_tokens").sum(),
            sum_of("cost_usd"),
            pl.col("at").min().alias("first_at"),
            pl.col("at").max().alias("last_at"),
        )
    )
    assert_same(mill.table("users").collect(), expected, "user_id")


def test_models_have_their_figures_hour_by_hour(mill: Tidemill, events: pl.DataFrame) -> None:
    """Requests, failures, tokens, cost, times and speed of each assistant, model and provider of three sets."""
    generated = pl.col("duration_ms") > pl.col("ttft_ms")
    seconds = (pl.col("duration_ms") - pl.col("ttft_ms")).filter(generated).sum() / 1000
    key = (
        pl.col("at").dt.truncate("1h").alias("hour"),
        pl.col("assistant").alias("assistant_id"),
        "model",
        "provider",
    )
    expected = (
        events.filter(pl.col("type") == "llm_request")
        .group_by(key)
        .agg(
            pl.len().alias("requests"),
            (~pl.col("success")).sum().alias("failures"),
            pl.lit(0).alias("cached_requests"),
            *(pl.col(column).sum() for column in TOKENS),
            sum_of("cost_usd"),
            sum_of("cost_usd").alias("estimated_cost_usd"),  # no model has a price
            pl.col("cost_usd").is_null().sum().alias("unpriced_requests"),
            *stats("ttft_ms"),
            *stats("duration_ms"),
            pl.when(seconds > 0)
            .then(pl.col("output_tokens").filter(generated).sum() / seconds)
            .alias("output_tokens_per_second"),
        )
    )
    published = mill.table("llm_hourly").collect()
    assert published.columns == expected.columns
    assert_same(published, expected, "hour", "assistant_id", "model", "provider")


def test_percentiles_of_buckets_are_within_one_percent(mill: Tidemill, events: pl.DataFrame) -> None:
    """Of each step of continuous integration and each model, over all days: as many events, and near the exact ones."""
    name = pl.when(pl.col("type") == "llm_request").then("model").otherwise("name").alias("name")
    timed = events.drop_nulls("duration_ms").group_by("type", name, "category")
    exact = timed.agg(pl.len().alias("events"), *percentiles("duration_ms"))
    estimated = mill.sql(
        """SELECT
            type,
            name,
            category,
            sum(events)::BIGINT AS events,
            histogram_percentile(bucket, events, 0.5) AS p50,
            histogram_percentile(bucket, events, 0.95) AS p95,
            histogram_percentile(bucket, events, 0.99) AS p99
        FROM latency_histogram
        GROUP BY ALL"""
    ).pl()
    assert_same(estimated, exact.select("type", "name", "category", "events"), "type", "name", "category")
    both = estimated.join(exact, on=["type", "name", "category"], nulls_equal=True)
    for share in SHARES:
        estimate, figure = pl.col(share), pl.col(f"{share}_duration_ms")
        assert both.filter((estimate - figure).abs() > figure * 0.01 * (1 + 1e-9)).is_empty(), share


def test_series_have_their_figures_day_by_day(mill: Tidemill) -> None:
    """Samples, sum, spread and percentiles of each benchmark on each machine and day, and the first and last value."""
    labels = ("vm_id", "vm_lifespan", "vm_region", "vm_sku")
    key = ("day", "name", "unit", *labels)
    value, at = pl.col("value"), pl.col("at")
    expected = (
        frames.samples()
        .group_by(at.dt.date().alias("day"), *key[1:])
        .agg(
            pl.len().alias("samples"),
            value.sum().alias("total_value"),
            value.mean().alias("avg_value"),
            value.min().alias("min_value"),
            value.max().alias("max_value"),
            *percentiles("value"),
            pl.lit(None, pl.Float64).alias("increase"),  # a gauge has none
            value.filter(at == at.min()).alias("first"),
            value.filter(at == at.max()).alias("last"),
        )
    )
    labelled = pl.col("labels").str.json_decode(pl.Struct(dict.fromkeys(labels, pl.String)))
    published = mill.table("metric_daily").with_columns(labelled).unnest("labels").collect()
    assert_same(published, expected.drop("first", "last"), *key)
    ends = published.join(expected, on=key)
    assert ends["first_value"].is_in(ends["first"]).all()  # of samples at one instant any may be first
    assert ends["last_value"].is_in(ends["last"]).all()


def test_what_no_set_records_has_tables_without_rows(mill: Tidemill) -> None:
    """Sessions, tools, agents and functions are in no set: their tables are there, with every column, and empty."""
    for table in ("sessions", "tools", "agents", "functions", "function_calls_notable"):
        published = mill.table(table).collect()
        columns = list(mill.describe(table).entry.columns)
        assert (published.height, published.columns) == (0, columns), table


def test_every_check_holds_over_all_that_is_published(mill: Tidemill) -> None:
    """Each one that is shipped is run over every partition, and finds not one row."""
    outcomes = mill.check(deep=True)
    assert {outcome.check for outcome in outcomes} == definitions.shipped().keys()
    assert [(str(outcome), outcome.result) for outcome in outcomes if outcome.result is not Result.OK] == []
