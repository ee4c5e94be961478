"""What one process would have made of a home that many wrote to: the same files, in the order in which they came in.

The ledger says that order, since its rows are written under the lock. So every claim of many processes is compared
with one process that did the same one after the other: every record, every count, every refusal, every table.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import polars as pl

from tests.conftest import Lake
from tidemill import Tidemill
from tidemill.lake import commits as lake_commits
from tidemill.lake import schema as lake_schema

if TYPE_CHECKING:
    from pathlib import Path


def in_order(home: Lake, *, apart: bool = False) -> list[list[str]]:
    """The files of each commit of ingests, in their order; or each by itself: a compacted ledger knows no commits."""
    with home.mill.home.lock("lake"):
        paths = lake_commits.snapshot(home.mill.home).paths("loads")
    commits = [pl.read_parquet(path).sort("finished_at").filter(kind="ingest") for path in paths]
    ordered = sorted((one for one in commits if len(one)), key=lambda one: one["finished_at"][0])
    if apart:
        return [[name] for name in pl.concat(ordered).sort("finished_at")["uri"]]
    return [one["uri"].to_list() for one in ordered]


def replayed(home: Lake, folder: Path, settings: str = "", *, apart: bool = False) -> Lake:
    """A home that one process filled with the same files, in the order in which they came in."""
    again = Lake(Tidemill(folder / "replayed"), folder)
    again.settings(settings)
    for names in in_order(home, apart=apart):
        again.ingest(*names)
    return again


def state(home: Lake) -> dict[str, list[str]]:
    """Every record with its load, the ledger, and what is refused: what must be equal, however it came about.

    A load is named by its id, which follows from its content; those of retries have one of their own each time. How
    often a retry refused again what waits for its job is left out: that depends on when it came by.
    """
    load = "CASE WHEN l.kind = 'ingest' THEN l.load_id ELSE l.kind END AS load"
    queries = {
        table: f"SELECT r.* EXCLUDE (load_id), {load} FROM {table} r JOIN loads l USING (load_id)"
        for table in lake_schema.RECORD_TABLES
    }
    queries["held"] = f"SELECT h.* EXCLUDE (load_id), {load} FROM held h JOIN loads l USING (load_id)"
    queries["loads"] = "SELECT * EXCLUDE (started_at, finished_at) FROM loads WHERE kind = 'ingest'"
    queries["retries"] = "SELECT source, sum(accepted), sum(duplicates) FROM loads WHERE kind = 'retry' GROUP BY ALL"
    return {name: [repr(row) for row in home.query(f"FROM ({query}) ORDER BY ALL")] for name, query in queries.items()}


def assert_whole(home: Lake) -> None:
    """Nothing is torn: the ledger adds up, no id stands twice, the log tells the truth, nothing lies about."""
    home.assert_adds_up()
    for table in ("events", "metrics"):
        assert home.query(f"SELECT source, timestamp::DATE, id FROM {table} GROUP BY ALL HAVING count(*) > 1") == []
    assert home.query("SELECT load_id FROM loads GROUP BY ALL HAVING count(*) > 1") == []
    assert home.query("SELECT of_load_id, line, record FROM released GROUP BY ALL HAVING count(*) > 1") == []
    place = home.mill.home
    for table in lake_schema.TABLES:
        for file in lake_commits.current(place).of(table):
            assert pl.scan_parquet(file.path).select(pl.len()).collect().item() == file.rows, file
    assert [path.name for path in place.lake.glob("journal-*")] == []
    assert [path.name for path in place.staging.iterdir()] == []
    assert [path.name for path in place.tables.glob("*-*")] == []
