"""The 100 longest steps: what stands at the end of the list, where more are to be ranked than it holds."""

from __future__ import annotations

import datetime as dt
from typing import TYPE_CHECKING, Final

from tests.sql.test_tables import Case, rows_of

if TYPE_CHECKING:
    from tests.sql.test_tables import Row

NOON: Final = dt.datetime(2026, 2, 10, 12, tzinfo=dt.UTC)
DAY: Final = dt.timedelta(days=1)


def step(key: str, at: dt.datetime, seconds: float) -> Row:
    """A step of a job, named by its id."""
    return {"id": key, "name": key, "timestamp": at, "type": "step", "job_id": "j1", "duration_ms": 1000 * seconds}


def ranked(table: str, steps: list[Row]) -> list[tuple[int, str]]:
    """The rank and the step of each row."""
    found = rows_of(Case(table, "steps", [], rows={"events": steps}))
    assert found == rows_of(Case(table, "steps", [], rows={"events": steps[::-1]}))
    return [(row["rank"], row["step"]) for row in found]


def test_a_day_keeps_its_100_longest_steps() -> None:
    """The 101st is not there, and each day has a hundred of its own."""
    steps = [step(f"{day}-{n:03}", NOON + day * DAY, 200 - n) for day in (0, 1) for n in range(101)]
    assert ranked("slowest_steps_daily", steps) == [(n + 1, f"{day}-{n:03}") for day in (0, 1) for n in range(100)]


def test_of_equally_long_steps_the_first_hundred_stay() -> None:
    """By time, and of one instant by id: the list ends in the middle of them, and yet is the same every time."""
    steps = [step(f"{n:03}", NOON + (n < 50) * DAY / 24, 7) for n in range(150)]
    by_time = [*range(50, 150), *range(50)]
    assert ranked("slowest_steps_daily", steps) == list(enumerate((f"{n:03}" for n in by_time[:100]), 1))
    assert ranked("slowest_steps", steps) == ranked("slowest_steps_daily", steps)


def test_the_100_longest_of_all_are_of_any_day() -> None:
    """They may all be of one day, and a day's share is no fixed one."""
    long = [step(f"long {n:03}", NOON, 1000 - n) for n in range(90)]
    short = [step(f"short {n:03}", NOON + DAY, 100 - n / 2) for n in range(100)]
    steps = short + long
    assert ranked("slowest_steps", steps) == list(enumerate([row["name"] for row in (*long, *short[:10])], 1))
