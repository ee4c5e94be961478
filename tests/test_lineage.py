from __future__ import annotations

import json
import shutil
from dataclasses import dataclass
from datetime import date, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from tests.homes import (
    AS_OF,
    Said,
    built,
    digests,
    event,
    feed,
    few_tables,
    home,
    job,
    metric,
    rewrite_manifest,
    rows,
    tm,
)
from tidemill import Tidemill
from tidemill.lake import commits, log_checksums
from tidemill.lake import schema as lake_schema
from tidemill.maintenance import compact, prune
from tidemill.snapshots import publish

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["few_tables"]

FEW: Final = ("activity_daily", "job_totals", "metric_hourly")
DAYS: Final = ("2026-02-09", "2026-02-10", "2026-02-11")
OLDER: Final = "came back from an older copy: it"


@dataclass(frozen=True)
class Copies:
    """One home as it was after its first build, and as it was after its last."""

    older: Path
    newer: Path


@pytest.fixture(scope="module")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Copies:
    """Build twice; between the two builds every table of the lake is written."""
    folder = tmp_path_factory.mktemp("lineage")
    mill = home(folder)
    load(
        mill, event("a", f"{DAYS[0]}T10:00:00Z"), job("j", f"{DAYS[0]}T10:00:00Z"), metric("m", f"{DAYS[0]}T10:00:00Z")
    )
    load(mill, event("bad", "never"))
    built(mill, *FEW, as_of=AS_OF)
    older = shutil.copytree(mill.home.path, folder / "older", symlinks=True)
    load(mill, event("b", f"{DAYS[1]}T10:00:00Z"), metric("n", f"{DAYS[1]}T10:00:00Z"), event("worse", "never"))
    load(mill, {"record": "job", "job_id": "k", "status": "running"})
    load(mill, job("k", f"{DAYS[1]}T10:00:00Z"))
    built(mill, *FEW, as_of=AS_OF)
    return Copies(older, mill.home.path)


@pytest.fixture
def mill(copies: Copies, tmp_path: Path) -> Tidemill:
    """Copy the newer home."""
    made = Tidemill(shutil.copytree(copies.newer, tmp_path / "home", symlinks=True))
    built(made, *FEW, as_of=AS_OF)
    return made


def load(mill: Tidemill, *records: dict[str, object]) -> None:
    """Ingest records from a file of their own, good ones and others."""
    file = mill.home.path / "raw" / f"{len(list(mill.home.path.glob('raw/*')))}.jsonl"
    file.parent.mkdir(exist_ok=True)
    file.write_text("".join(f"{json.dumps(record)}\n" for record in records))
    mill.ingest(file)


def put(mill: Tidemill, copy: Path, *tables: str) -> None:
    """Put tables of the lake back from a copy of the home, with their seals; without names the whole lake."""
    if not tables:
        shutil.rmtree(mill.home.lake)
        shutil.copytree(copy / "lake", mill.home.lake)
    for table in tables:
        shutil.rmtree(mill.home.lake / table)
        shutil.copytree(copy / "lake" / table, mill.home.lake / table)
        shutil.copy2(log_checksums.beside(copy / "lake" / table), mill.home.lake)


def prune_before(mill: Tidemill, day: str) -> None:
    """Prune the days before one."""
    prune.prune(mill.home, mill.settings, keep="1d", today=date.fromisoformat(day) + timedelta(days=1))


def build(mill: Tidemill) -> Said:
    """Build with the command."""
    return tm("build", *FEW, "--as-of", AS_OF, at=mill)


def refused(mill: Tidemill) -> str:
    """Return the one line of a build that fails; nothing is published."""
    before = mill.snapshot()
    said = build(mill)
    assert said.code == 1
    assert mill.snapshot() == before
    return said.fault


def events(mill: Tidemill) -> int:
    """Count the events that are published."""
    return int(rows(mill, "SELECT sum(events)::INT FROM activity_daily")[0][0])


@pytest.mark.parametrize("table", lake_schema.TABLES)
def test_build_stops_at_a_table_from_an_older_copy(mill: Tidemill, copies: Copies, table: str) -> None:
    """Its line names both versions; putting the newer one back is all that it takes."""
    was = commits.current(mill.home).versions[table]
    put(mill, copies.older, table)
    now = commits.current(mill.home).versions[table]
    assert now < was
    line = refused(mill)
    assert line.startswith(f"{mill.home.lake / table} {OLDER} lacks ")
    assert f"; it is at version {now}, and the tables were published from version {was}; put all of " in line
    put(mill, copies.newer, table)
    assert built(mill, *FEW, as_of=AS_OF) == {}


@pytest.mark.parametrize("table", lake_schema.TABLES)
def test_other_commands_go_on_with_a_table_from_an_older_copy(mill: Tidemill, copies: Copies, table: str) -> None:
    """Status says the same line; what is published can be read; a deep check names the table."""
    put(mill, copies.older, table)
    line = refused(mill)
    said = tm("status", at=mill)
    assert (said.code, line in said.err) == (0, True)
    assert tm("show", "activity_daily", at=mill).code == 0
    assert tm("query", "SELECT count(*) FROM activity_daily", at=mill).code == 0
    said = tm("check", "--deep", at=mill)
    assert said.code == 1
    assert f"{mill.home.lake / table} {OLDER} lacks " in said.err


@pytest.mark.parametrize("tables", [("events",), ("quarantine", "released"), ()], ids=["events", "refused", "all"])
def test_build_begins_anew_where_the_tables_are_removed(
    mill: Tidemill, copies: Copies, tables: tuple[str, ...]
) -> None:
    """The line says so; the builds after that go on, over new records too."""
    put(mill, copies.older, *tables)
    assert f"or, to go on with what it holds, remove {mill.home.tables} and run: tidemill build" in refused(mill)
    shutil.rmtree(mill.home.tables)
    assert build(mill).code == 0
    assert events(mill) == (2 if "quarantine" in tables else 1)
    assert build(mill).code == 0
    feed(mill, event("c", f"{DAYS[2]}T10:00:00Z"))
    assert build(mill).code == 0


@pytest.mark.parametrize("tables", [("loads",), ("events", "loads")], ids=["loads", "two"])
def test_files_are_loaded_into_a_new_lake_where_the_ledger_is_older(
    mill: Tidemill, copies: Copies, tables: tuple[str, ...]
) -> None:
    """The line says so: of some records nobody knows the load, and no build can use such a lake."""
    whole = events(mill)
    put(mill, copies.older, *tables)
    anew = (
        f"or, to begin anew, remove {mill.home.lake} and {mill.home.tables} and load all files again: tidemill ingest "
    )
    assert anew in refused(mill)
    shutil.rmtree(mill.home.lake)
    shutil.rmtree(mill.home.tables)
    assert tm("ingest", *sorted((mill.home.path / "raw").iterdir()), at=mill).code == 0
    assert build(mill).code == 0
    assert events(mill) == whole
    assert tm("check", "--deep", at=mill).code == 0


def test_files_loaded_again_make_an_older_lake_whole(tmp_path: Path) -> None:
    """The line says so; versions may differ then."""
    mill = home(tmp_path, event("a", f"{DAYS[0]}T10:00:00Z"))
    built(mill, *FEW, as_of=AS_OF)
    older = shutil.copytree(mill.home.path, tmp_path / "older", symlinks=True)
    feed(mill, event("b", f"{DAYS[1]}T10:00:00Z"))
    feed(mill, event("c", f"{DAYS[1]}T11:00:00Z"))
    built(mill, *FEW, as_of=AS_OF)
    was, before = commits.current(mill.home).versions, mill.snapshot()
    put(mill, older)
    line = refused(mill)
    assert line.startswith(
        f"{mill.home.lake / 'loads'} {OLDER} lacks 2 of the loads that the tables were published from; "
    )
    assert "load again what came since (tidemill ingest FILE), or, " in line
    assert tm("ingest", *(mill.home.path / "raw").iterdir(), at=mill).code == 0
    assert commits.current(mill.home).versions != was
    assert build(mill).code == 0
    assert events(mill) == 3
    shutil.rmtree(before)  # its catalog names the files that are gone
    assert tm("check", "--deep", at=mill).code == 0


def test_older_lake_is_noticed_when_its_versions_have_caught_up(mill: Tidemill, copies: Copies) -> None:
    """Later loads raise the versions, and bring nothing of it back."""
    was = commits.current(mill.home).versions
    put(mill, copies.older)
    for hour in range(10, 18):
        at = f"{DAYS[2]}T{hour}:00:00Z"
        load(mill, event(at, at), metric(at, at), job(at, at), event(f"bad {at}", "never"))
    load(mill, {"record": "job", "job_id": "l", "status": "running"})
    load(mill, job("l", f"{DAYS[1]}T10:00:00Z"))
    now = commits.current(mill.home).versions
    assert all(now[table] >= was[table] for table in lake_schema.TABLES)
    assert refused(mill).startswith(f"{mill.home.lake / 'loads'} {OLDER} lacks 4 of the loads that the tables were ")


@pytest.mark.parametrize("table", ["events", "quarantine", "released"])
def test_loads_that_no_build_has_seen_are_missed(mill: Tidemill, tmp_path: Path, table: str) -> None:
    """The table is as the last build saw it, and the ledger knows that there was more."""
    copy = shutil.copytree(mill.home.path, tmp_path / "copy", symlinks=True)
    load(mill, event("c", f"{DAYS[2]}T10:00:00Z"), event("worst", "never"))
    load(mill, {"record": "job", "job_id": "l", "status": "running"})
    load(mill, job("l", f"{DAYS[1]}T10:00:00Z"))
    put(mill, copy, table)
    place = mill.home.lake if table == "events" else mill.home.lake / table
    assert refused(mill).startswith(f"{place} {OLDER} lacks ")


def test_log_that_lost_its_end_with_its_seals_is_noticed(mill: Tidemill) -> None:
    """Without seals nobody else would miss the newest commit."""
    log_checksums.beside(mill.home.lake / "events").write_text("")
    max((mill.home.lake / "events" / log_checksums.LOG).glob("*.json")).unlink()
    assert refused(mill).startswith(f"{mill.home.lake / 'events'} {OLDER} lacks 1 of the records that the ledger says ")


def test_upkeep_is_no_loss(mill: Tidemill) -> None:
    """Compacting, pruning, shorter logs and removed files change versions, files and rows."""
    compact.compact(mill.home, mill.settings, grace=0)
    assert build(mill).code == 0
    prune_before(mill, DAYS[1])
    assert build(mill).code == 0
    feed(mill, event("c", f"{DAYS[2]}T10:00:00Z"))
    compact.compact(mill.home, mill.settings, grace=0)
    mill.retry()
    assert build(mill).code == 0
    assert tm("check", "--deep", at=mill).code == 0


def test_older_table_is_noticed_after_a_prune(mill: Tidemill, copies: Copies) -> None:
    """The ledger does not say how much left with the pruned days, but the version does; the line says what is lost."""
    prune_before(mill, DAYS[1])
    assert build(mill).code == 0
    prune_before(mill, DAYS[2])
    put(mill, copies.older, "metrics")
    line = refused(mill)
    assert line.startswith(f"{mill.home.lake / 'metrics'} {OLDER} is at version ")
    assert line.endswith(f"run: tidemill build (tables then forget the days before {DAYS[1]})")


def test_versions_are_compared_where_an_older_tidemill_published(mill: Tidemill, copies: Copies) -> None:
    """Its manifest has neither the loads nor what the lake lacked."""
    rewrite_manifest(mill.snapshot(), "loads", "lacking")
    assert build(mill).code == 0
    rewrite_manifest(mill.snapshot(), "loads", "lacking")
    put(mill, copies.older, "events")
    assert refused(mill).startswith(
        f"{mill.home.lake / 'events'} {OLDER} is at version 1, and the tables were published "
    )
    put(mill, copies.newer, "events")
    rewrite_manifest(mill.snapshot(), "loads", "lacking", "lake_versions")
    assert build(mill).code == 0


def test_manifest_may_say_more_than_is_known(mill: Tidemill) -> None:
    """A newer tidemill of the same format wrote it."""
    rewrite_manifest(mill.snapshot(), news="of tomorrow")
    assert publish.current(mill.home).id == mill.snapshot().name
    before = digests(mill.snapshot())
    assert build(mill).code == 0
    assert digests(mill.snapshot()) == before
