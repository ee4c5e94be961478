"""Every published table against an oracle in plain Python that was written from the dictionary alone."""

from __future__ import annotations

import csv
import io
import tempfile
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest
from hypothesis import Phase, given, note, settings
from hypothesis import strategies as st

from tests.conftest import Lake, Row
from tests.oracle import TABLES, World, awkward
from tests.oracle.compare import differences, disorder, misplaced
from tidemill import Tidemill, catalog
from tidemill.simulate import simulate

BERLIN_FALLS_BACK = datetime(2025, 10, 26, 1, tzinfo=UTC)
ST_JOHNS_FALLS_BACK = datetime(2025, 11, 2, 4, 30, tzinfo=UTC)
ENDS = [
    datetime(2025, 10, 27, tzinfo=UTC),  # a day after Berlin's autumn night
    datetime(2025, 11, 3, tzinfo=UTC),  # a day after St. John's
    datetime(2026, 3, 30, tzinfo=UTC),  # a day after Berlin's spring night
    datetime(2026, 3, 1, tzinfo=UTC),
]
ZONES = ["UTC", "Europe/Berlin", "Asia/Kolkata", "America/St_Johns", "Pacific/Auckland", "Australia/Lord_Howe"]
WINDOWS = (24, 7 * 24, 30 * 24)


def test_the_oracle_knows_every_table() -> None:
    """A table that the oracle does not work out cannot be added."""
    assert set(catalog.tables()) - set(TABLES) == set()


@st.composite
def cases(draw: st.DrawFn) -> dict[str, Any]:
    """A seed, when the records end, a zone, and when the windows do."""
    until = draw(st.sampled_from(ENDS))
    return {
        "seed": draw(st.integers(0, 10_000)),
        "until": until,
        "zone": draw(st.sampled_from(ZONES)),
        "as_of": until - timedelta(minutes=draw(st.sampled_from([0, 30, 90, 600, 1500, -2000]))),
        "days": draw(st.sampled_from([2, 4, 9])),
    }


@settings(max_examples=4, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(cases())
def test_every_table_is_what_the_oracle_says(case: dict[str, Any]) -> None:
    """Over simulated and awkward records, in any timezone and as of any moment."""
    check(case, events=400, odd=300)


@pytest.mark.slow
@settings(max_examples=40, deadline=None, phases=[Phase.explicit, Phase.reuse, Phase.generate])
@given(cases())
def test_every_table_is_what_the_oracle_says_of_many_records(case: dict[str, Any]) -> None:
    """The same over more records and more cases."""
    check(case, events=3000, odd=2000)


def check(case: dict[str, Any], *, events: int, odd: int) -> None:
    """Build a home of a case's records, and compare every table with the oracle."""
    note(f"case: {case}")
    with tempfile.TemporaryDirectory() as folder:
        home = home_of(Path(folder), case, events=events, odd=odd)
        home.mill.build(as_of=case["as_of"])
        world = world_of(home, case)
        wrong = {name: faults(home.mill, name, world) for name in catalog.tables()}
    assert {name: lines for name, lines in wrong.items() if lines} == {}


def home_of(folder: Path, case: dict[str, Any], *, events: int, odd: int) -> Lake:
    """A home with the records of a case, from two sources, the second of which comes late."""
    home = Lake(Tidemill(folder / "home"), folder / "files")
    home.settings(f'timezone = "{case["zone"]}"\nthreads = 1\n')
    home.mill.home.prices.write_text(awkward.prices(case["until"]))
    simulated = simulate(
        folder / "raw", events=events, days=case["days"], until=case["until"], seed=case["seed"], threads=1
    )
    home.ingest(*simulated)
    boundaries = [case["as_of"] - timedelta(hours=hours) for hours in (0, *WINDOWS)]
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


def faults(mill: Tidemill, name: str, world: World) -> list[str]:
    """How a published table differs from the oracle's."""
    oracle = TABLES[name]
    frame = mill.table(name).collect()
    got = [in_utc(row) for row in frame.to_dicts()]
    expected = oracle.rows(world)
    found = differences(frame.columns, got, expected, oracle.key)
    if oracle.ordered:
        found += misplaced(got, expected, oracle.key)
    return found or disorder(got, catalog.tables()[name].sort, oracle.key, lambda row: month_of(row, name, world))


def month_of(row: Row, name: str, world: World) -> str:
    """The month whose file a row is in; tables that are no period's have one file."""
    moment = row.get(catalog.tables()[name].partition_column)
    if moment is None:
        return ""
    return str(world.day(moment) if isinstance(moment, datetime) else moment)[:7]
