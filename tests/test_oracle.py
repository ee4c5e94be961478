"""Every published table against an oracle in plain Python that was written from the dictionary alone."""

from __future__ import annotations

import csv
import io
import tempfile
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import polars as pl
import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from tests.conftest import Lake, Row
from tests.oracle import TABLES, World, awkward
from tests.oracle.compare import differences, disorder, misplaced
from tidemill import Tidemill
from tidemill.catalog import tables as catalog_tables
from tidemill.simulation.simulate import simulate

if TYPE_CHECKING:
    from collections.abc import Iterable

BERLIN_FALLS_BACK = datetime(2025, 10, 26, 1, tzinfo=UTC)
ST_JOHNS_FALLS_BACK = datetime(2025, 11, 2, 4, 30, tzinfo=UTC)
ENDS = [
    datetime(2025, 10, 27, tzinfo=UTC),  # a day after Berlin's autumn night
    datetime(2025, 11, 3, tzinfo=UTC),  # a day after St. John's
    datetime(2026, 3, 30, tzinfo=UTC),  # a day after Berlin's spring night
    datetime(2026, 3, 1, tzinfo=UTC),
]
ZONES = ["Europe/Berlin", "UTC", "Asia/Kolkata", "America/St_Johns", "Pacific/Auckland", "Australia/Lord_Howe"]
TYPES = [pl.Int64, pl.Float64, pl.String, pl.Boolean, pl.Date, pl.Datetime("us", "UTC")]
WINDOWS = (24, 7 * 24, 30 * 24)
SETTINGS = """\
timezone = "{zone}"
threads = 1
[functions]
short_max = {short_max}
[knowledge]
cost_per_1k_tokens = 0.0003
minutes_saved_per_document = 7
"""
FILTERS: list[dict[str, str | None]] = [
    {}, {"assistant_id": "a1"}, {"session_id": "s1"}, {"user_id": None}, {"project": "p1", "category": "transient"},
]  # fmt: skip


def test_the_oracle_knows_every_table() -> None:
    """A table that the oracle does not work out cannot be added."""
    assert set(catalog_tables.tables()) - set(TABLES) == set()


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """A seed, when the records end, a zone, and when the windows do."""
    until = draw(st.sampled_from(ENDS))
    return {
        "seed": draw(st.integers(0, 10_000)),
        "until": until,
        "zone": draw(st.sampled_from(ZONES)),
        "as_of": until - timedelta(minutes=draw(st.sampled_from([0, 30, 90, 600, 1500, -2000]))),
        "days": draw(st.sampled_from([4, 2, 9])),
        "since": draw(st.sampled_from([36, 1, 70, 40 * 24])),
        "where": draw(st.sampled_from(FILTERS)),
        "short_max": draw(st.sampled_from([0.25, 2])),
    }


@settings(max_examples=2, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(cases())
def test_every_table_is_what_the_oracle_says(case: dict[str, Any]) -> None:
    """Over simulated and awkward records, in any timezone and as of any moment."""
    check(case, events=400, odd=300, asked=one_in(6, case["seed"]))


@pytest.mark.slow
@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(cases())
def test_every_table_is_what_the_oracle_says_of_many_records(case: dict[str, Any]) -> None:
    """The same over more records and more cases, and every table over a window of one's own."""
    check(case, events=3000, odd=2000, asked=list(catalog_tables.tables()))


def one_in(share: int, seed: int) -> list[str]:
    """Some of the tables."""
    return list(catalog_tables.tables())[seed % share :: share]


def check(case: dict[str, Any], *, events: int, odd: int, asked: Iterable[str]) -> None:
    """Build a home of a case's records, and compare every table, and some over a window, with the oracle."""
    note(f"case: {case}")
    with tempfile.TemporaryDirectory() as folder:
        home = home_of(Path(folder), case, events=events, odd=odd)
        home.mill.build(as_of=case["as_of"])
        world = world_of(home, case)
        wrong = {name: faults(home.mill.table(name).collect(), name, world) for name in catalog_tables.tables()}
        wrong |= {f"{name} over a window": shown(home.mill, name, world, case) for name in asked}
    assert {name: lines for name, lines in wrong.items() if lines} == {}


def home_of(folder: Path, case: dict[str, Any], *, events: int, odd: int) -> Lake:
    """A home with the records of a case, from two sources, the second of which comes late."""
    home = Lake(Tidemill(folder / "home"), folder / "files")
    home.settings(SETTINGS.format(**case))
    home.mill.home.prices.write_text(awkward.prices(case["until"]))
    simulated = simulate(
        folder / "raw", events=events, days=case["days"], until=case["until"], seed=case["seed"], threads=1
    )
    home.ingest(*simulated)
    boundaries = [case["as_of"] - timedelta(hours=hours) for hours in (0, *WINDOWS, 48, case["since"])]
    nights = [BERLIN_FALLS_BACK - timedelta(minutes=30), BERLIN_FALLS_BACK, ST_JOHNS_FALLS_BACK]
    special = [moment for moment in (*boundaries, *nights) if moment < case["until"]]
    pool = awkward.instants(case["until"], case["days"], special)
    for seed, source in ((case["seed"], "odd"), (case["seed"] + 1, "late")):
        records = [
            *awkward.jobs(case["seed"], pool, odd // 10, late=source == "late"),
            *awkward.events(seed, pool, odd),
            *awkward.metrics(seed, pool, odd // 3),
        ]
        home.ingest(home.write(f"{source}.jsonl", *records), source=source)
    return home


def world_of(home: Lake, case: dict[str, Any]) -> World:
    """What the oracle may see: the accepted records, the settings and the prices."""
    prices = csv.DictReader(io.StringIO(home.mill.home.prices.read_text()))
    return World(
        jobs=stored(home, "jobs"),
        all_events=stored(home, "events"),
        all_metrics=stored(home, "metrics"),
        as_of=case["as_of"],
        timezone=case["zone"],
        windows=WINDOWS,
        short_max=case["short_max"],
        cost_per_1k_tokens=0.0003,
        minutes_saved_per_document=7,
        prices=[
            price
            | {"valid_from": datetime.fromisoformat(price["valid_from"])}
            | {name: float(price[name]) for name in ("input_per_1m_usd", "output_per_1m_usd")}
            for price in prices
        ],
    )


def stored(home: Lake, table: str) -> list[Row]:
    """The rows of a table of the lake, instants in UTC."""
    return [in_utc(row) for row in home.query(f"SELECT * FROM {table}")]


def in_utc(row: Row) -> Row:
    """A row with its instants in Python's own UTC."""
    return {name: value.astimezone(UTC) if isinstance(value, datetime) else value for name, value in row.items()}


def faults(frame: pl.DataFrame, name: str, world: World) -> list[str]:
    """How a table's rows differ from the oracle's."""
    oracle = TABLES[name]
    odd = [f"{column} is {kind}" for column, kind in frame.schema.items() if kind not in TYPES]
    if odd:
        return odd
    got = [in_utc(row) for row in frame.to_dicts()]
    expected = oracle.rows(world)
    found = differences(frame.columns, got, expected, oracle.key)
    if found or oracle.ordered:
        return found or misplaced(got, expected, oracle.key)
    return disorder(got, catalog_tables.tables()[name].sort, oracle.key)


def shown(mill: Tidemill, name: str, world: World, case: dict[str, Any]) -> list[str]:
    """How a table over a case's window differs from the oracle's; filters are of what events carry."""
    where = case["where"] if catalog_tables.tables()[name].records == ["events"] and exact(name) else {}
    frame = mill.show(name, since=f"{case['since']}h", as_of=case["as_of"], where=where)
    return faults(frame, name, cut(world, name, case["since"], where))


def exact(name: str) -> bool:
    """Whether a table takes exactly the window that is asked for, and not whole days."""
    table = catalog_tables.tables()[name]
    return table.partition == "window" or not table.reads & set(catalog_tables.tables())


def cut(world: World, name: str, hours: int, where: dict[str, str | None]) -> World:
    """What the oracle may see of the records when a table is asked for over a window."""
    events = [event for event in world.all_events if all(event[column] == value for column, value in where.items())]
    if catalog_tables.tables()[name].partition == "window":  # the oracle itself takes the window, and the one before
        return replace(world, all_events=events, history=world.all_events, windows=(hours,))
    first = world.as_of - timedelta(hours=hours) + timedelta(microseconds=1)

    def meant(moment: datetime) -> bool:
        if exact(name):
            return first <= moment <= world.as_of
        return world.day(first) <= world.day(moment) <= world.day(world.as_of)

    return replace(
        world,
        jobs=[row for row in world.jobs if meant(row["created_at"])],
        all_events=[row for row in events if meant(row["timestamp"])],
        all_metrics=[row for row in world.all_metrics if meant(row["timestamp"])],
    )


@pytest.mark.parametrize(
    "got",
    [
        [{"day": "a", "n": 1, "x": 0.1 * (1 + 3e-9)}, {"day": None, "n": 0, "x": None}],
        [{"day": "a", "n": 2, "x": 0.1}, {"day": None, "n": 0, "x": None}],
        [{"day": "a", "n": 1.0, "x": 0.1}, {"day": None, "n": 0, "x": None}],
        [{"day": "a", "n": 1, "x": 0.1}, {"day": None, "n": 0, "x": 0.0}],
        [{"day": "a", "n": 1, "x": 0.1}],
        [{"day": "a", "n": 1, "x": 0.1}, {"day": None, "n": 0, "x": None}, {"day": "b", "n": 0, "x": None}],
        [{"day": "a", "n": 1, "x": 0.1}, {"day": None, "n": 0, "x": None}, {"day": None, "n": 0, "x": None}],
    ],
    ids=["double", "count", "type", "null", "missing", "unexpected", "repeated"],
)
def test_a_difference_is_seen(got: list[Row]) -> None:
    """A double off by 3e-9, a count, a type, a NULL, a row that is missing, too many, or there twice."""
    expected: list[Row] = [{"day": "a", "n": 1, "x": 0.1 * (1 + 3e-10)}, {"day": None, "n": 0, "x": None}]
    assert differences(["day", "n", "x"], got, expected, ["day"]) != []
    assert differences(["day", "n", "x"], expected[::-1], expected, ["day"]) == []
    assert differences(["n", "day", "x"], expected, expected, ["day"]) != []


def test_a_row_out_of_order_is_seen() -> None:
    """Rows follow the header's sort: NULL last, and downwards where it says so."""
    rows: list[Row] = [{"day": "b", "n": 2}, {"day": None, "n": 2}, {"day": "a", "n": 1}]
    assert disorder(rows, ["n DESC", "day"], ["day"]) == []
    assert disorder(rows[::-1], ["n DESC", "day"], ["day"]) != []
