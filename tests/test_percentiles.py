from __future__ import annotations

import random
import shutil
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import duckdb
import polars as pl
import pytest

from tests.homes import AS_OF, few_tables, home, published, simulated
from tidemill import Tidemill
from tidemill.catalog import prices
from tidemill.catalog import tables as catalog_tables
from tidemill.config.settings import Settings
from tidemill.engine import connection as engine_connection
from tidemill.engine import percentiles, relations
from tidemill.lake import commits
from tidemill.lake import relations as lake_relations
from tidemill.lake import schema as lake_schema
from tidemill.query.window import Asked

__all__ = ["few_tables"]

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

FEW: Final = ("activity_daily", "llm_ttft")
TAKING: Final = [table.name for table in catalog_tables.tables().values() if percentiles.CALLED + "(" in table.select]
"""The tables that take percentiles of values."""
CALLS: Final = 1_000_000
SHAPES: Final[dict[str, Callable[[random.Random], float | None]]] = {
    "lognormal": lambda rng: rng.lognormvariate(5, 2),
    "few values": lambda rng: float(rng.randrange(5)),
    "bimodal": lambda rng: rng.gauss(20, 2) if rng.random() < 0.6 else rng.gauss(5000, 300),
    "tiny": lambda rng: 1e-300 * rng.uniform(1, 9),
    "huge": lambda rng: 1e300 * rng.uniform(1, 9),
    "both signs": lambda rng: rng.gauss(0, 1) * 10 ** rng.randint(-9, 9),
    "missing": lambda rng: None if rng.random() < 0.4 else rng.random(),
}


def grouped(values: Sequence[tuple[int | None, float | None]], *, by_sorting: bool) -> list[Any]:
    """The percentiles of each group's values, and of all."""
    found = []
    with engine_connection.connect(threads=1) as connection:
        given = pl.DataFrame(values, schema={"g": pl.Int64, "x": pl.Float64}, orient="row")
        connection.register("given", given.to_arrow())
        for query in (
            "SELECT g % 100 AS g, count(*) AS n, percentiles(x) AS p FROM given GROUP BY ALL ORDER BY ALL",
            "SELECT max(x) AS most, percentiles(x).p50, percentiles(x / 3).p99 FROM given WHERE g IS NOT NULL",
            "SELECT percentiles(x).p50 FROM given WHERE false",
        ):
            select = percentiles.by_sorting(connection, query) if by_sorting else query
            assert ("percentiles(x)" not in select) == by_sorting
            found.append(connection.execute(select).fetchall())
    return found


@pytest.mark.parametrize("shape", SHAPES)
def test_percentiles_by_sorting_are_those_of_the_engine(shape: str) -> None:
    """To the last bit: of one value, of two, of many, of none and of no group, whatever the values look like."""
    rng = random.Random(f"percentiles {shape}")
    sizes = [*range(1, 60), 1_000, 10_001]
    values: list[tuple[int | None, float | None]] = [
        (group, SHAPES[shape](rng)) for group, size in enumerate(sizes) for _ in range(size)
    ]
    values += [(70, None), (None, 1.5), (None, 2.5)]
    assert repr(grouped(values, by_sorting=True)) == repr(grouped(values, by_sorting=False))


@pytest.fixture(scope="module")
def three_days(tmp_path_factory: pytest.TempPathFactory) -> Tidemill:
    """Three simulated days in a lake."""
    return simulated(tmp_path_factory.mktemp("sorting"), events=4000, days=3, seed=5)


@pytest.mark.parametrize("name", TAKING)
@pytest.mark.every_table
def test_a_table_has_the_same_rows_by_sorting(three_days: Tidemill, name: str) -> None:
    """Every table that takes percentiles, in a timezone with its own days, bit for bit."""
    records = commits.current(three_days.home)
    table = catalog_tables.table(name)
    with engine_connection.connect(timezone="Asia/Kathmandu") as connection:
        for kind in lake_schema.RECORD_TABLES:
            lake_relations.bind_records(connection, kind, records.of(kind), "true")
        prices.bind(connection, catalog_tables.PRICES, three_days.home.prices)
        for other in catalog_tables.with_inputs([name])[:-1]:
            relations.bind(connection, other, catalog_tables.table(other).select)
        moment = datetime(2026, 3, 1, tzinfo=UTC)
        parameters = Settings().parameters | {"window_hours": 96, "as_of": moment}
        found = []
        for select in (table.select, percentiles.by_sorting(connection, table.select)):
            query = relations.ordered(select, table.sort)
            found.append(connection.execute(query, engine_connection.named(connection, query, parameters)).fetchall())
    assert found[0]
    assert repr(found[0]) == repr(found[1])


@pytest.fixture(scope="module")
def large(tmp_path_factory: pytest.TempPathFactory) -> Tidemill:
    """A day with more requests than exact percentiles fit into a few megabytes, and another with a handful."""
    folder = tmp_path_factory.mktemp("large")
    file = folder / "calls.parquet"
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"""
            COPY (
                SELECT 'r' || i AS id, 'llm_request' AS type, 'a' || (i % 10) AS assistant_id,
                    TIMESTAMPTZ '2026-02-10 00:00:00+00' + INTERVAL (i % 86400) SECOND
                        + CASE WHEN i < 20 THEN INTERVAL 1 DAY ELSE INTERVAL 0 DAY END AS timestamp,
                    exp(5 + 2 * sin(i)) AS ttft_ms, exp(6 + cos(i)) AS duration_ms
                FROM range({CALLS}) r(i)
            ) TO '{file}' (FORMAT parquet)""")
    mill = Tidemill(folder / "home")
    mill.ingest(file, record="event")
    return mill


def limited(mill: Tidemill, folder: Path, memory: str) -> Tidemill:
    """The same lake under a memory limit."""
    made = home(folder, settings=f'memory_limit = "{memory}"')
    shutil.copytree(mill.home.lake, made.home.lake)
    return made


def test_a_window_that_does_not_fit_is_exact_all_the_same(large: Tidemill, tmp_path: Path) -> None:
    """Under a memory limit that is too small for all values the rows are the same, and nothing is said."""
    window = Asked(from_="2026-02-10", to="2026-02-12")
    small = limited(large, tmp_path, "60MB")
    for name in FEW:
        exact, found = large.over(name, window), small.over(name, window)
        assert found.rows == exact.rows
        assert found.notes == exact.notes == ()


@pytest.fixture(scope="module")
def exact(large: Tidemill, tmp_path_factory: pytest.TempPathFactory) -> dict[str, str]:
    """The tables that are built with room for all values."""
    roomy = limited(large, tmp_path_factory.mktemp("roomy"), "4GB")
    roomy.build(*FEW, as_of=AS_OF)
    return published(roomy)


def test_a_build_that_does_not_fit_is_exact_all_the_same(
    large: Tidemill, exact: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the values of so many rows would not fit, they are sorted from the beginning."""
    small, sorted_ = limited(large, tmp_path, "75MB"), spied(monkeypatch)
    small.build(*FEW, as_of=AS_OF)
    assert len(sorted_) == 3  # the windows of 7 and 30 days, and the days; 24 hours have few
    assert published(small) == exact


def test_a_build_that_turns_out_not_to_fit_is_exact_all_the_same(
    large: Tidemill, exact: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where memory does not suffice though it seemed to, each day is done by itself, and sorted."""
    small, sorted_ = limited(large, tmp_path, "50MB"), spied(monkeypatch)
    monkeypatch.setattr(percentiles, "fits", lambda _memory, _select, _rows: True)
    small.build(*FEW, as_of=AS_OF)
    assert sorted_
    assert published(small) == exact


def spied(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The selects whose percentiles are taken by sorting, as they are."""
    selects: list[str] = []
    by_sorting = percentiles.by_sorting

    def noted(connection: duckdb.DuckDBPyConnection, select: str) -> str:
        selects.append(select)
        return by_sorting(connection, select)

    monkeypatch.setattr(percentiles, "by_sorting", noted)
    return selects
