"""Tables over windows of the real sets, and filters, against what Polars finds in their files."""

from __future__ import annotations

from datetime import datetime, timedelta
from typing import TYPE_CHECKING, Final

import polars as pl
import pytest

from tests.real.figures import OUTLIER, TOKENS, assert_same, errors, sum_of
from tests.real.files import NEED_DATA

if TYPE_CHECKING:
    from tidemill import Tidemill

pytestmark = NEED_DATA

TICK: Final = timedelta(microseconds=1)
WEEK: Final = timedelta(days=7)


def between_its_own(events: pl.DataFrame, own: pl.Expr) -> tuple[pl.DataFrame, str, str]:
    """All events from the second instant of one's own on and before the last, and those two."""
    instants = events.filter(own)["at"].unique().sort()
    first, end = instants[1], instants[-1]
    return events.filter(pl.col("at") >= first, pl.col("at") < end), first.isoformat(), end.isoformat()


@pytest.mark.parametrize(
    ("end", "dear"),
    [
        (OUTLIER - TICK, 0),
        (OUTLIER, 1),
        (OUTLIER + WEEK - TICK, 1),
        (OUTLIER + WEEK, 0),
    ],
    ids=["ends before it", "ends with it", "begins before it", "begins with it"],
)
def test_a_window_has_its_last_instant_and_not_its_first(
    mill: Tidemill, events: pl.DataFrame, end: datetime, dear: int
) -> None:
    """A week of calls, to the microsecond at which the one of $9,990.01 comes into it and leaves it again."""
    is_call = pl.col("type") == "llm_request"
    expected = (
        events.filter(pl.col("at") > end - WEEK, pl.col("at") <= end)
        .drop_nulls("user")
        .group_by(user_id="user")
        .agg(
            pl.lit(168).alias("window_hours"),
            is_call.sum().alias("requests"),
            pl.col("total_tokens").filter(is_call).sum(),
            pl.col("cost_usd").filter(is_call).sum(),
            pl.col("at").max().alias("last_active"),
        )
        .filter(pl.col("requests") > 0)
    )
    assert expected.filter(pl.col("cost_usd") > 9_990).height == dear
    assert_same(mill.show("user_usage", since="7d", as_of=end), expected, "user_id")


def test_a_window_of_nobody_leaves_the_events_of_users_out(mill: Tidemill, events: pl.DataFrame) -> None:
    """Those of aider that carry no user, between whose instants three users worked."""
    nobody = pl.col("user").is_null()
    inside, first, end = between_its_own(events, nobody & (pl.col("source") == "aider"))
    assert inside["user"].drop_nulls().n_unique() == 3
    expected = (
        inside.filter(nobody)
        .group_by(day=pl.col("at").dt.date())
        .agg(pl.len().alias("events"), errors(), *(pl.col(column).sum() for column in TOKENS), sum_of("cost_usd"))
    )
    assert_same(mill.show("activity_daily", from_=first, to=end, where={"user_id": None}), expected, "day")


def test_a_window_of_one_assistant_has_its_requests(mill: Tidemill, events: pl.DataFrame) -> None:
    """Between two requests of the code service, in whose instants the seventh digit of a second is cut."""
    code = pl.col("assistant") == "azure/code"
    inside, first, end = between_its_own(events, code)
    expected = (
        inside.filter(code)
        .group_by(assistant_id="assistant")
        .agg(
            pl.lit("code").alias("name"),
            pl.len().alias("requests"),
            *(pl.col(column).sum() for column in TOKENS),
            pl.lit(None, pl.Float64).alias("cost_usd"),
            pl.len().alias("unpriced_requests"),
        )
    )
    published = mill.show("assistant_costs", from_=first, to=end, where={"assistant_id": "azure/code"})
    assert_same(published, expected, "assistant_id")
