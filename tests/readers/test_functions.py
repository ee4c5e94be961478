from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.homes import Record, event, opened
from tidemill.readers.functions import functions

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill.readers.snapshot import Published

MONDAY, TUESDAY = "2026-02-09T10:00:00Z", "2026-02-10T10:00:00Z"


def call(key: str, at: str, name: str | None, seconds: float | None, **fields: object) -> Record:
    """A call of a function."""
    took = None if seconds is None else seconds * 1000
    return event(key, at, type="function_call", name=name, duration_ms=took, **fields)


RECORDS: Final = (
    call("a", TUESDAY, "load", 1, success=True),
    call("b", MONDAY, "load", 2, success=True),  # 2 is still fast
    call("c", MONDAY, "load", 3, success=False),
    call("d", MONDAY, "sáve", 5, category="db"),  # 5 is still medium
    call("e", TUESDAY, "sáve", 6, category="db", success=True),
    call("f", TUESDAY, "sáve", 4, category="net", success=False),
    call("g", TUESDAY, None, None, success=True),
    event("h", MONDAY, type="step", name="load", duration_ms=9000),
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Two functions and a call that names none, over two days."""
    return opened(tmp_path_factory.mktemp("functions"), *RECORDS, tables=["functions"])


def one(function: str | None, category: str | None, at: str, seconds: float, *, success: bool | None) -> Any:
    """A call as it is answered."""
    return {
        "function": function,
        "category": category,
        "started_at": at,
        "duration_seconds": seconds,
        "success": success,
    }


def test_figures_are_of_all_calls(published: Published) -> None:
    """A call that does not say how it ended counts for no rate, one without a duration for no time."""
    assert functions(published) == {
        "total_calls": 7,
        "total_success": 4,
        "success_rate": pytest.approx(66.666666667),  # 4 of the 6 that say
        "total_time": 21.0,  # 1 + 2 + 3 + 5 + 6 + 4
        "avg_duration": 3.5,  # of six
        "slowest": one("sáve", "db", TUESDAY, 6.0, success=True),
        "fastest": one("load", None, TUESDAY, 1.0, success=True),
        "duration_counts": {"fast": 2, "medium": 3, "slow": 1},
        "function_count": 2,  # what names no function is none
        "event_count": 7,
    }


def test_one_function_is_of_all_its_categories(published: Published) -> None:
    """Its calls and no other's."""
    assert functions(published, function="sáve") == {
        "total_calls": 3,
        "total_success": 1,
        "success_rate": 50.0,
        "total_time": 15.0,
        "avg_duration": 5.0,
        "slowest": one("sáve", "db", TUESDAY, 6.0, success=True),
        "fastest": one("sáve", "net", TUESDAY, 4.0, success=False),
        "duration_counts": {"fast": 0, "medium": 2, "slow": 1},
        "function_count": 1,
        "event_count": 3,
    }


NONE: Final = {
    "total_calls": 0,
    "total_success": 0,
    "success_rate": None,
    "total_time": None,
    "avg_duration": None,
    "slowest": None,
    "fastest": None,
    "duration_counts": {"fast": 0, "medium": 0, "slow": 0},
    "function_count": 0,
    "event_count": 0,
}


@pytest.mark.parametrize("name", ["nobody's", "LOAD", "", "lo%"])
def test_an_unknown_function_was_never_called(published: Published, name: str) -> None:
    """Counts are 0, and the rest is null."""
    assert functions(published, function=name) == NONE


@pytest.mark.parametrize("name", [None, "load"])
def test_without_calls_counts_are_0(nothing: Published, name: str | None) -> None:
    """And the rest is null."""
    assert functions(nothing, function=name) == NONE


def test_calls_that_say_nothing_are_counted(tmp_path: Path) -> None:
    """Neither rate nor time of a call that tells neither how it ended nor how long it took."""
    published = opened(tmp_path, call("a", MONDAY, None, None), tables=["functions"])
    assert functions(published) == NONE | {"total_calls": 1, "event_count": 1}


def test_of_equally_long_calls_the_first_is_named(tmp_path: Path) -> None:
    """By time, then by the function's name; the same call may be the slowest and the fastest."""
    calls = [call("a", TUESDAY, "a", 2), call("b", MONDAY, "z", 2), call("c", MONDAY, "y", 2)]
    found = functions(opened(tmp_path, *calls, tables=["functions"]))
    assert found["slowest"] == found["fastest"] == one("y", None, MONDAY, 2.0, success=None)


def test_what_is_fast_is_a_setting(tmp_path: Path) -> None:
    """The limits are those with which the table was built."""
    settings = "[functions]\nshort_max = 0.5\nmedium_max = 1.5\n"
    found = functions(opened(tmp_path, *RECORDS[:3], tables=["functions"], settings=settings))
    assert found["duration_counts"] == {"fast": 0, "medium": 1, "slow": 2}
