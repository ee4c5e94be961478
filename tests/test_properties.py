"""The tables are made of the records alone, not of the files that they came in."""

from __future__ import annotations

import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Lake
from tidemill import Tidemill
from tidemill.catalog import tables as catalog_tables

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from hypothesis.strategies import SearchStrategy

    from tests.conftest import Row

AS_OF = "2026-03-31T00:00:00Z"
BIRTH = datetime(2026, 3, 28, 22, tzinfo=UTC)
FEW = 3


def one_of(*words: str) -> SearchStrategy[str]:
    """One of some words."""
    return st.sampled_from(words)


def record(what: str, fields: dict[str, Any], /, **optional: SearchStrategy[Any]) -> SearchStrategy[Row]:
    """A record with those fields, and some of the optional ones."""
    return st.fixed_dictionaries({"record": st.just(what), **fields}, optional=optional)


MOMENTS = st.builds(
    lambda minutes, micros: (BIRTH + timedelta(minutes=minutes, microseconds=micros)).isoformat(),
    st.one_of(st.sampled_from([0, 59, 60, 119, 120, 1560]), st.integers(0, 60 * 40)),
    st.sampled_from([0, 0, 999_999, 123_456]),
)
AMOUNTS = st.one_of(st.sampled_from([0, 0.1, 0.2, 0.3, 1e-9, 12345.678, 1e9]), st.floats(0, 1e6, allow_nan=False))
COUNTS = st.integers(0, 10_000)
SESSIONS, USERS, JOBS = one_of("s1", "s2", "s3"), one_of("u1", "u2"), one_of("j1", "j2", "j3")

EVENTS = record(
    "event",
    {
        "timestamp": MOMENTS,
        "type": one_of(
            "llm_request", "function_call", "tool_use", "step", "error_occurred", "question", "session_start", "hook"
        ),
    },
    session_id=SESSIONS, user_id=USERS, job_id=JOBS, name=one_of("a", "b", "é"), tool_name=one_of("grep", "cat"),
    project=one_of("p", "q"), model=one_of("m", "n"), status=one_of("ok", "skipped"), success=st.booleans(),
    category=one_of("transient", "permanent"), text=one_of("why?", ""), duration_ms=AMOUNTS, ttft_ms=AMOUNTS,
    overhead_ms=AMOUNTS, input_tokens=COUNTS, output_tokens=COUNTS, total_tokens=COUNTS, cost_usd=AMOUNTS,
    cached=st.booleans(), value=st.floats(-1e300, 1e300, allow_nan=False), extra=COUNTS,
)  # fmt: skip
METRICS = record(
    "metric",
    {"timestamp": MOMENTS, "name": one_of("cpu", "mem"), "value": st.floats(-1e300, 1e300, allow_nan=False)},
    kind=one_of("gauge", "counter", "delta"), unit=one_of("1", "By"),
    labels=st.dictionaries(one_of("a", "b"), one_of("x", "y"), max_size=2),
)  # fmt: skip
OBSERVATIONS = record(
    "job",
    {
        "job_id": JOBS,
        "status": one_of("queued", "pending", "Running", "paused", "success", "failed", "cancelled", "zombie"),
    },
    created_at=st.just(BIRTH.isoformat()), observed_at=MOMENTS, started_at=MOMENTS, completed_at=MOMENTS,
    deleted_at=MOMENTS,
    name=one_of("build", "test"), project=one_of("p", "q"), user_id=USERS, workflow_id=one_of("w1", "w2"),
    step_count=COUNTS, cost_usd=AMOUNTS, error_type=one_of("OOM", "Timeout"), extra=COUNTS,
)  # fmt: skip


@st.composite
def records(draw: st.DrawFn) -> list[Row]:
    """Events and metrics, each with an id of its own, and observations of jobs, each of which was once created."""
    happened = draw(st.lists(st.one_of(EVENTS, METRICS), min_size=5, max_size=40))
    observed = draw(st.lists(OBSERVATIONS, max_size=15))
    created = [
        {"record": "job", "job_id": job, "status": "pending", "created_at": BIRTH.isoformat()}
        for job in sorted({observation["job_id"] for observation in observed})
    ]
    return [one | {"id": str(number)} for number, one in enumerate(happened)] + observed + created


@st.composite
def splits(draw: st.DrawFn) -> tuple[list[Row], list[list[Row]]]:
    """Some records, and the same ones, some of them again, in any order over a few files."""
    whole = draw(records())
    again = draw(st.lists(st.sampled_from(whole), max_size=10))
    shuffled = draw(st.permutations(whole + again))
    cuts = sorted(draw(st.lists(st.integers(0, len(shuffled)), min_size=1, max_size=FEW)))
    parts = [shuffled[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
    return whole, parts


def home_of(folder: Path, files: Iterable[Sequence[Row]]) -> Lake:
    """A home into which files were ingested one by one, with its tables built; nothing is refused in the end."""
    home = Lake(Tidemill(folder / "home"), folder)
    home.settings('timezone = "Europe/Berlin"\nthreads = 1\n')
    for number, lines in enumerate(files):
        reports = home.mill.ingest(home.write(f"{number}.jsonl", *lines))
        assert [report.failures for report in reports] == [[]] * len(reports)
    home.assert_adds_up()
    assert home.refusals() == []
    home.mill.build(as_of=AS_OF)
    return home


def rows(home: Lake, table: str) -> list[str]:
    """A table's rows in order, as texts that are equal only if every double is so bit for bit."""
    return [repr(row) for row in home.mill.show(table).rows()]


def check_split(split: tuple[list[Row], list[list[Row]]]) -> None:
    """Split into files in any way and order, with duplicates, the same records give the same rows in the same order."""
    whole, parts = split
    with tempfile.TemporaryDirectory() as folder:
        one, other = home_of(Path(folder) / "one", [whole]), home_of(Path(folder) / "other", parts)
        for table in catalog_tables.tables():
            assert rows(one, table) == rows(other, table), table


@settings(max_examples=2, deadline=None)
@given(splits())
def test_any_split_of_the_same_records_gives_equal_tables(split: tuple[list[Row], list[list[Row]]]) -> None:
    """However records are split into files, the tables are the same."""
    check_split(split)


@pytest.mark.slow
@settings(max_examples=40, deadline=None)
@given(splits())
def test_many_splits_of_the_same_records_give_equal_tables(split: tuple[list[Row], list[list[Row]]]) -> None:
    """The same, for many."""
    check_split(split)
