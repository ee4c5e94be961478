from __future__ import annotations

from datetime import date, timedelta

from hypothesis import given
from hypothesis import strategies as st

from tidemill.build.file_layout import NEWEST, layout

DAYS = st.sets(st.dates(date(2025, 1, 1), date(2025, 12, 31)).map(str), min_size=1)


def test_a_month_is_a_file_but_for_its_newest_days() -> None:
    """Each file is named by its first period, so that their names stand in the order of time."""
    days = [str(date(2026, 1, 30) + timedelta(days=n)) for n in range(5)]
    assert layout(days) == {
        "2026-01-30": "2026-01-30",
        "2026-01-31": "2026-01-30",
        "2026-02-01": "2026-02-01",
        "2026-02-02": "2026-02-02",
        "2026-02-03": "2026-02-02",
    }


def test_few_periods_are_one_file() -> None:
    """Of whatever months they are."""
    assert layout(["2026-03-01", "2025-01-01"]) == {"2025-01-01": "2025-01-01", "2026-03-01": "2025-01-01"}
    assert layout(["empty"]) == {"empty": "empty"}
    assert layout([]) == {}


@given(DAYS)
def test_files_follow_one_another(days: set[str]) -> None:
    """No file begins before another ends, and no more than the newest few lie apart from their month."""
    found = layout(days)
    ordered = [found[day] for day in sorted(days)]
    assert ordered == sorted(ordered)
    assert all(first <= day for day, first in found.items())
    assert len(set(ordered)) <= len({day[:7] for day in days}) + 1


@given(DAYS)
def test_one_more_record_of_the_newest_day_moves_no_other_file(days: set[str]) -> None:
    """A new day moves at most the day that is the newest no longer into the file of its month."""
    before, after = layout(days), layout(days | {"2026-01-01"})
    moved = {day for day in days if before[day] != after[day]}
    assert len(moved - {*sorted(days)[-NEWEST:]}) == 0
