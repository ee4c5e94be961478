"""Readers that query without pause while one publish follows the other: each finds a whole snapshot, and no error.

Each publish has one event more of January and of February, which lie in files of their own. So in one snapshot the
files of a table, the tables and the lake have figures that belong together, and no two snapshots have the same.
"""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.homes import AS_OF, built, event, few_tables, home

__all__ = ["few_tables"]

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill import Tidemill

FEW: Final = ("activity_daily", "activity_hourly")
ENGINES: Final = ("duckdb", "polars", "pyarrow")
MONTHS: Final = ("2026-01-10T10:00:00Z", "2026-02-10T10:00:00Z")
PUBLISHES: Final = (25, 100, 1000)
"""A sample, and what only the slow tests take the time for."""
MARCH: Final = ("2026-03-01T10:00:00Z", "2026-03-02T10:00:00Z")
"""The newest two days lie in one file; nothing changes there."""

READER: Final = """
import glob, json, os, sys, time
from pathlib import Path
import duckdb, polars as pl, pyarrow.dataset as ds
engine, tables, until, names = sys.argv[1], Path(sys.argv[2]), Path(sys.argv[3]), sys.argv[4:]
counts = lambda name: f"SELECT list(events::BIGINT ORDER BY events) FROM {name}"

def catalog():
    folder = Path(tables / "CURRENT").read_text()
    with duckdb.connect(folder + "/catalog.duckdb", read_only=True) as database:
        found = [*map(counts, names), "SELECT [count(*)] FROM lake.events"]
        relations = [database.sql(query) for query in found]
        if engine == "duckdb":
            return [relation.fetchall()[0][0] for relation in relations]
        if engine == "polars":
            return [relation.pl().row(0)[0] for relation in relations]
        return [relation.to_arrow_table().column(0).to_pylist()[0] for relation in relations]

def of_folder(folder, name):
    if engine == "duckdb":
        return duckdb.sql(counts(f"read_parquet('{folder / name}/*.parquet')")).fetchall()[0][0]
    if engine == "polars":
        return sorted(pl.scan_parquet(folder / name / "*.parquet").collect()["events"].to_list())
    return sorted(ds.dataset(folder / name).to_table(["events"]).column(0).to_pylist())

def resolved():
    folder = (tables / "current").resolve()
    return [of_folder(folder, name) for name in names]

def unresolved():
    return of_folder(tables / "current", names[0])

seen, errors = [], []
while not until.exists():
    for way in (catalog, resolved, unresolved):
        try:
            seen.append((way.__name__, way()))
        except Exception as error:
            errors.append((way.__name__, type(error).__name__ + ": " + str(error).splitlines()[0]))
print(json.dumps({"seen": seen, "errors": errors}))
"""
"""A reader of one engine: until a file appears it asks in three ways in turn; then what it saw, and its errors."""


def publish(mill: Tidemill, number: int) -> None:
    """Another snapshot, with one event more of each month."""
    file = mill.home.path / f"{number}.jsonl"
    records = [event(f"{number} {at}", at) for at in MONTHS]
    file.write_text("".join(json.dumps(record) + "\n" for record in records))
    mill.ingest(file)
    built(mill, as_of=AS_OF)


def whole(way: str, found: list[Any]) -> bool:
    """Whether what was seen is of one snapshot: as many events in either month, in days, hours and lake."""
    if way == "unresolved":
        return found == _days(found)
    daily, hourly, *lake = found
    return daily == hourly == _days(daily) and lake in ([], [[sum(daily)]])


def _days(found: list[int]) -> list[int]:
    """How many events the days of that snapshot have: one on either day of March, and as many in the other months."""
    return [1, 1, found[-1], found[-1]] if found else []


def told(engine: str, found: dict[str, Any], folder: Path) -> None:
    """Keep the counts: how often each way was asked, and how often in vain."""
    asked, failed = Counter(way for way, _ in found["seen"]), Counter(way for way, _ in found["errors"])
    mixed = Counter(way for way, seen in found["seen"] if not whole(way, seen))
    line = f"{engine}: answers {dict(asked)}, errors {dict(failed)}, not whole {dict(mixed)}\n"
    with (folder / "told.txt").open("a") as file:
        file.write(line)
    sys.stdout.write(line)


@pytest.mark.parametrize(
    "publishes", [PUBLISHES[0], *(pytest.param(many, marks=pytest.mark.slow) for many in PUBLISHES[1:])]
)
def test_readers_see_whole_snapshots_and_no_error(tmp_path: Path, publishes: int) -> None:
    """By the catalog and by a resolved path; through an unresolved glob DuckDB and Polars may fail, but see no mix."""
    mill = home(tmp_path, *(event(at, at) for at in MARCH))
    publish(mill, 0)
    end = tmp_path / "end"
    arguments = [str(mill.home.tables), str(end), *FEW]
    readers = {
        engine: subprocess.Popen(
            ["nice", "-n", "5", sys.executable, "-c", READER, engine, *arguments],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
        )
        for engine in ENGINES
    }
    try:
        for number in range(1, publishes + 1):
            publish(mill, number)
    finally:
        end.touch()
    for engine, reader in readers.items():
        out, err = reader.communicate()
        assert reader.returncode == 0, err.decode()
        found = json.loads(out)
        told(engine, found, tmp_path)
        strict = [(way, seen) for way, seen in found["seen"] if way != "unresolved" or engine != "pyarrow"]
        assert [(way, seen) for way, seen in strict if not whole(way, seen)] == []
        assert [error for error in found["errors"] if error[0] != "unresolved"] == []
        for way in ("catalog", "resolved"):
            snapshots = {max(seen[0]) for asked, seen in found["seen"] if asked == way}
            assert len(snapshots) > 3, "it read while there were publishes"
