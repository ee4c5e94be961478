"""What the tests of a home share: a home of their own, files written inline, and what the lake then holds."""

from __future__ import annotations

import gzip
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import duckdb
import pytest

from tidemill import Tidemill
from tidemill.engine import relations
from tidemill.lake import commits as lake_commits
from tidemill.lake import relations as lake_relations
from tidemill.lake import schema as lake_schema

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable
    from pathlib import Path

    from tidemill.ingest.queue import Report

Row = dict[str, Any]
LONGEST = ("test_flows.py", "test_kills.py", "test_refusals.py", "test_writers.py")
"""These files are begun first, or the last of them would be waited for with a worker idle."""
COUNTS = ("records_read", "expanded", "accepted", "duplicates", "quarantined", "ignored")


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Begin the longest files first; all others stay in their random order."""
    rank = {name: number for number, name in enumerate(LONGEST)}
    items.sort(key=lambda item: rank.get(item.path.name, len(rank)))


@dataclass
class Lake:
    """A home in a folder of its own, and what its lake holds."""

    mill: Tidemill
    folder: Path
    bound: tuple[list[Path], duckdb.DuckDBPyConnection] | None = None

    def write(self, name: str, *records: Row | str | bytes) -> Path:
        """Write a file of lines: objects as JSON, texts as they are, each ended by a newline."""
        return self.put(name, b"".join(_line(record) + b"\n" for record in records))

    def put(self, name: str, content: str | bytes) -> Path:
        """Write a file with exactly that content; a name ending in .gz is compressed."""
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        data = content.encode() if isinstance(content, str) else content
        path.write_bytes(gzip.compress(data) if name.endswith(".gz") else data)
        return path

    def settings(self, text: str) -> None:
        """Write tidemill.toml."""
        self.mill.home.path.mkdir(parents=True, exist_ok=True)
        self.mill.home.settings_file.write_text(text)

    def ingest(self, *names: str | os.PathLike[str], **options: Any) -> Row:
        """Ingest what must not fail; the sums of the new loads' counts. The whole ledger adds up afterwards."""
        reports = self.mill.ingest(*names, **options)
        failures = [failure for report in reports for failure in report.failures]
        assert failures == []
        return self.counts(reports)

    def counts(self, reports: Iterable[Report]) -> Row:
        """The sums of the new loads' counts; the whole ledger adds up."""
        self.assert_adds_up()
        found = list(reports)
        return {name: total for name in COUNTS if (total := sum(report.total(name) for report in found))}

    def assert_adds_up(self) -> None:
        """Every row of the ledger adds up, and agrees with what is stored."""
        for load in self.query(
            """WITH record AS (
                SELECT load_id FROM jobs UNION ALL SELECT load_id FROM events UNION ALL SELECT load_id FROM metrics)
            SELECT *, (SELECT count(*) FROM record r WHERE r.load_id = l.load_id) AS stored,
                   (SELECT count(*) FROM quarantine q WHERE q.load_id = l.load_id) AS refused
            FROM loads l"""
        ):
            read, expanded, *fates = (load[name] for name in COUNTS)
            assert read + expanded == sum(fates), load
            assert min(read, expanded, *fates) >= 0, load
            assert load["accepted"] == load["stored"], load
            assert load["quarantined"] == load["refused"] or load["kind"] == "retry", load

    def query(self, sql: str) -> list[Row]:
        """Rows of a query over every row of the lake's tables, and `held`: what is in the quarantine now."""
        relation = self._connection().sql(sql)
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]

    def _connection(self) -> duckdb.DuckDBPyConnection:
        """A connection to the lake as it is now; the one before, when nothing was committed since."""
        commits = sorted(self.mill.home.lake.glob("*/_delta_log/*.json"))
        if self.bound and self.bound[0] == commits:
            return self.bound[1]
        with self.mill.home.lock("lake"):
            lake_commits.prepare(self.mill.home)
            snapshot = lake_commits.snapshot(self.mill.home)
        connection = duckdb.connect(config={"threads": 1})
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        for table, columns in lake_schema.TABLES.items():
            relations.bind(connection, table, lake_relations.stored(columns, snapshot.of(table)))
        held = lake_relations.held(*(snapshot.paths(table) for table in ("quarantine", "released", "loads")))
        relations.bind(connection, "held", held or relations.nothing(lake_schema.TABLES["quarantine"]))
        self.bound = (sorted(self.mill.home.lake.glob("*/_delta_log/*.json")), connection)
        return connection

    def column(self, sql: str) -> list[Any]:
        """The only column of a query, as a list."""
        return [value for row in self.query(sql) for value in row.values()]

    def refusals(self) -> list[tuple[int | None, str | None, str | None]]:
        """Line, field and reason of what is in the quarantine now, in order of lines."""
        found = self.query("SELECT line, field, reason FROM held ORDER BY uri, line, record, field")
        return [(row["line"], row["field"], row["reason"]) for row in found]


def _line(record: Row | str | bytes) -> bytes:
    if isinstance(record, bytes):
        return record
    return (record if isinstance(record, str) else json.dumps(record)).encode()


@pytest.fixture
def home(tmp_path: Path) -> Lake:
    """An empty home, beside a folder for its files."""
    return Lake(Tidemill(tmp_path / "home"), tmp_path / "files")


def event(**fields: object) -> Row:
    """A good event, with those fields."""
    return {"timestamp": "2026-02-10T12:00:00Z", "type": "question"} | fields


def metric(**fields: object) -> Row:
    """A good metric, with those fields."""
    return {"timestamp": "2026-02-10T12:00:00Z", "name": "cpu", "value": 1.5} | fields


def job(**fields: object) -> Row:
    """A good observation of a job, with those fields."""
    return {"job_id": "j1", "status": "running", "created_at": "2026-02-10T12:00:00Z"} | fields
