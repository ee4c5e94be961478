from __future__ import annotations

import math
import random
from typing import TYPE_CHECKING, Final

import pytest
from hypothesis import given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tidemill.engine import connection

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    Draw = Callable[[random.Random], float]

CONNECTION: Final = connection.connect(threads=1)
SHARES: Final = (0.0, 0.001, 0.25, 0.5, 0.9, 0.95, 0.99, 0.999, 1.0)
ERROR: Final = 0.01 * (1 + 1e-9)
"""At most 1 % of the value, and what doubles cannot tell apart at a bucket's edge."""
DISTRIBUTIONS: Final[dict[str, Draw]] = {
    "lognormal": lambda chance: chance.lognormvariate(5, 2),
    "uniform": lambda chance: chance.uniform(0, 1000),
    "Pareto": lambda chance: chance.paretovariate(1.1),
    "bimodal": lambda chance: chance.gauss(12, 1) if chance.random() < 0.5 else chance.gauss(60_000, 500),
    "bimodal with zeros": lambda chance: 0.0 if chance.random() < 0.5 else chance.expovariate(1 / 80),
}
DURATIONS: Final = st.one_of(st.just(0.0), st.floats(1e-9, 1e15), st.sampled_from([1.0, 100.0, 1.01 / 0.99]))


def exact(values: Sequence[float], share: float) -> float:
    """The percentile by linear interpolation, in plain Python."""
    ranked = sorted(values)
    place = (len(ranked) - 1) * share
    below, above = ranked[math.floor(place)], ranked[math.ceil(place)]
    return below + (above - below) * (place - math.floor(place))


def estimated(values: Sequence[float], shares: Sequence[float], *, days: int = 1) -> list[float]:
    """The percentiles of a histogram of the values, whose rows are kept apart by day and not added up."""
    asked = ", ".join(f"histogram_percentile(bucket, events, {share})" for share in shares)
    query = f"""
        WITH values AS (SELECT unnest($values::DOUBLE[]) AS ms, generate_subscripts($values::DOUBLE[], 1) AS line)
        SELECT {asked}
        FROM (SELECT line % {days} AS day, latency_bucket(ms) AS bucket, count(*) AS events FROM values GROUP BY ALL)
    """
    return list(CONNECTION.execute(query, {"values": list(values)}).fetchall()[0])


@pytest.mark.parametrize("rows", [1, 2, 3, 10, 101, 20_000])
@pytest.mark.parametrize("distribution", DISTRIBUTIONS)
def test_an_estimate_is_within_one_percent_of_the_exact_percentile(distribution: str, rows: int) -> None:
    """Of heavy tails, of two heaps far apart and the gap between them, of many values and of few."""
    chance = random.Random(f"{distribution} {rows}")
    values = [DISTRIBUTIONS[distribution](chance) for _ in range(rows)]
    for share, found in zip(SHARES, estimated(values, SHARES), strict=True):
        assert found == pytest.approx(exact(values, share), rel=ERROR, abs=0), share


@examples(deadline=None)
@given(values=st.lists(DURATIONS, min_size=1, max_size=40), share=st.floats(0, 1))
def test_an_estimate_of_any_durations_is_within_one_percent(values: list[float], share: float) -> None:
    """From a billionth of a millisecond to the longest that a record may have, zeros and edges of buckets included."""
    (found,) = estimated(values, [share])
    assert found == pytest.approx(exact(values, share), rel=ERROR, abs=1e-300)


def test_rows_of_several_days_give_what_their_sum_gives() -> None:
    """However many rows a bucket has, and in whatever order they come, the estimate is the same bit for bit."""
    chance = random.Random("days")
    values = [chance.lognormvariate(3, 1) for _ in range(5_000)]
    whole = estimated(values, SHARES)
    for days in (2, 30, 500):
        assert estimated(values, SHARES, days=days) == whole
        assert estimated(values[::-1], SHARES, days=days) == whole


def test_percentiles_never_fall() -> None:
    """Of a higher share the estimate is as high or higher."""
    chance = random.Random("order")
    values = [chance.paretovariate(0.5) for _ in range(500)]
    found = estimated(values, [n / 20 for n in range(21)])
    assert found == sorted(found)


def test_durations_of_zero_are_zero() -> None:
    """They have no bucket, and come before all others."""
    assert estimated([0.0, 0.0, 0.0], [0, 0.5, 1]) == [0, 0, 0]
    assert estimated([5.0, 0.0, 0.0], [0, 0.5]) == [0, 0]


def test_no_durations_have_no_percentile() -> None:
    """NULL, not 0."""
    assert estimated([], [0.5]) == [None]
