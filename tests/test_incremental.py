"""Incremental equals full: however a home came to its records, its tables are those of one that was built once."""

from __future__ import annotations

import tempfile
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import Lake
from tests.test_properties import AS_OF, FEW, home_of, records, rows
from tidemill import Tidemill
from tidemill.build import staleness
from tidemill.catalog import tables as catalog_tables
from tidemill.config.duration import PERIODS
from tidemill.lake import commits
from tidemill.lake.retention import is_sealed
from tidemill.maintenance import prune
from tidemill.snapshots import publish

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tests.conftest import Row

ZONE = "Europe/Berlin"
BERLIN = ZoneInfo(ZONE)
STEPS = ("build", "build some", "compact", "build as of another moment")


@st.composite
def histories(draw: st.DrawFn) -> tuple[list[Row], list[tuple[list[Row], list[str]]]]:
    """Some records, and the same ones in any order over a few files, each followed by some steps."""
    whole = draw(records())
    again = draw(st.lists(st.sampled_from(whole), max_size=5))
    shuffled = draw(st.permutations(whole + again))
    cuts = sorted(draw(st.lists(st.integers(0, len(shuffled)), min_size=1, max_size=FEW)))
    parts = [shuffled[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(shuffled)], strict=True)]
    return whole, [(part, draw(st.lists(st.sampled_from(STEPS), max_size=3))) for part in parts]


def step(home: Lake, what: str) -> None:
    """Do one thing with a home."""
    match what:
        case "build":
            home.mill.build(as_of=AS_OF)
        case "build some":
            home.mill.build("sessions", "activity_weekly", as_of=AS_OF)
        case "compact":
            home.mill.compact()
        case _:
            home.mill.build(as_of="2026-03-30T12:34:56Z")


def home_after(folder: Path, history: Iterable[tuple[Sequence[Row], Sequence[str]]]) -> Lake:
    """A home that went through a history, and was then built."""
    home = Lake(Tidemill(folder / "home"), folder)
    home.settings(f'timezone = "{ZONE}"\nthreads = 1\n')
    for number, (lines, steps) in enumerate(history):
        home.ingest(home.write(f"{number}.jsonl", *lines))
        for what in steps:
            step(home, what)
    home.mill.build(as_of=AS_OF)
    return home


def check(history: tuple[list[Row], list[tuple[list[Row], list[str]]]]) -> None:
    """Every table has the same rows in the same order, doubles bit for bit."""
    whole, parts = history
    with tempfile.TemporaryDirectory() as folder:
        once, bit_by_bit = home_of(Path(folder) / "once", [whole]), home_after(Path(folder) / "parts", parts)
        assert bit_by_bit.refusals() == []
        for table in catalog_tables.tables():
            assert rows(bit_by_bit, table) == rows(once, table), table
        bit_by_bit.mill.build(as_of=AS_OF, full=True)
        for table in catalog_tables.tables():
            assert rows(bit_by_bit, table) == rows(once, table), f"{table}, built anew"


@settings(max_examples=2, deadline=None)
@given(histories())
def test_any_history_gives_the_tables_of_one_build(
    history: tuple[list[Row], list[tuple[list[Row], list[str]]]],
) -> None:
    """Ingests, late data, jobs seen again, builds of all or some tables and compactions, in any order."""
    check(history)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(histories())
def test_many_histories_give_the_tables_of_one_build(
    history: tuple[list[Row], list[tuple[list[Row], list[str]]]],
) -> None:
    """The same, for many."""
    check(history)


def of_period(home: Lake, table: str, kept: Iterable[str]) -> list[str]:
    """A period table's rows of some partitions, as texts."""
    found = catalog_tables.table(table)
    frame = home.mill.show(table)
    period = [_period(value, found.partition) for value in frame[found.partition_column].to_list()]
    wanted = {*kept}
    return [repr(row) for row, of in zip(frame.rows(), period, strict=True) if of in wanted]


def _period(value: Any, partition: str) -> str:
    day = value.astimezone(BERLIN).date() if isinstance(value, datetime) else value
    if partition == "week":
        day -= timedelta(days=day.weekday())
    return str(day.replace(day=1) if partition == "month" else day)


def check_pruned(history: tuple[list[Row], list[tuple[list[Row], list[str]]]], cut: int, keep: int) -> None:
    """After a prune in between, every partition that is not sealed is as if nothing had been pruned."""
    whole, parts = history
    today = date.fromisoformat(AS_OF[:10])
    with tempfile.TemporaryDirectory() as folder:
        never, pruned = home_of(Path(folder) / "never", [whole]), home_after(Path(folder) / "pruned", parts[:cut])
        prune.prune(pruned.mill.home, pruned.mill.settings, keep=f"{keep}d", today=today)
        for number, (lines, steps) in enumerate(parts[cut:]):
            pruned.mill.ingest(pruned.write(f"after-{number}.jsonl", *lines))
            for what in steps:
                step(pruned, what)
        pruned.mill.build(as_of=AS_OF)
        pruned.mill.build(as_of=AS_OF, full=True)
        assert [str(found) for found in pruned.mill.check(deep=True) if found.forbids] == []
        before, states = commits.current(pruned.mill.home).pruned, publish.current(never.mill.home).tables
        for table in (table for table in catalog_tables.tables().values() if table.partition in PERIODS):
            open_ = [
                v for v in states[table.name].partitions if v != staleness.EMPTY and not is_sealed(v, before, ZONE)
            ]
            assert of_period(pruned, table.name, open_) == of_period(never, table.name, open_), table.name


@settings(max_examples=2, deadline=None)
@given(histories(), st.integers(0, FEW), st.integers(1, 3))
def test_after_a_prune_what_is_not_sealed_is_as_it_would_be(
    history: tuple[list[Row], list[tuple[list[Row], list[str]]]], cut: int, keep: int
) -> None:
    """Each day, week and month without a pruned day, whatever comes after the prune, and built anew in the end."""
    check_pruned(history, cut, keep)


@pytest.mark.slow
@settings(max_examples=60, deadline=None)
@given(histories(), st.integers(0, FEW), st.integers(1, 3))
def test_after_many_prunes_what_is_not_sealed_is_as_it_would_be(
    history: tuple[list[Row], list[tuple[list[Row], list[str]]]], cut: int, keep: int
) -> None:
    """The same, for many."""
    check_pruned(history, cut, keep)
