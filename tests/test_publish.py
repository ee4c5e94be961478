from __future__ import annotations

import json
import os
import signal
import statistics
import subprocess
import sys
import time
from pathlib import Path
from typing import Final

import duckdb
import polars as pl
import pytest

from tests.homes import (
    AS_OF,
    built,
    digests,
    event,
    feed,
    few_tables,
    home,
    job,
    metric,
    published,
    rows,
    write_settings,
)
from tidemill import Tidemill
from tidemill.catalog import tables as catalog_tables
from tidemill.errors import LockTimeoutError
from tidemill.lake import schema as lake_schema
from tidemill.snapshots.publish import KEEP_SECONDS

__all__ = ["few_tables"]

JANUARY = (event("a", "2026-01-10T10:00:00Z", session_id="s1"), metric("m", "2026-01-10T10:00:00Z"))
MARCH = tuple(event(f"march {n}", f"2026-03-0{n}T10:00:00Z", session_id="s1") for n in (1, 2)) + tuple(
    metric(f"march {n}", f"2026-03-0{n}T10:00:00Z") for n in (1, 2)
)
LATE = (event("late", "2026-01-10T12:00:00Z", session_id="s1"), metric("late", "2026-01-10T12:00:00Z"))
FEBRUARY = (event("b", "2026-02-10T10:00:00Z", session_id="s1"), job("j", "2026-02-10T10:00:00Z"))

FEW: Final = ("activity_hourly", "activity_daily", "sessions", "job_totals", "llm_ttft", "metric_hourly")
TABLES: Final = ("sessions", "metric_hourly", "llm_ttft")
"""Of each kind one: built of records, of a table, and over windows."""
BUILD: Final = f"import sys; from tidemill import Tidemill; Tidemill(sys.argv[1]).build(*{TABLES}, as_of=sys.argv[2])"
"""A build in a process of its own."""

DYING_BUILD: Final = f"""
import os, signal, sys
steps = int(sys.argv[3])

def count(name, arguments):
    global steps
    if name in {{"os.mkdir", "os.link", "os.symlink", "os.rename", "os.chmod"}} and "/tables/" in str(arguments):
        steps -= 1
        if not steps:
            os.kill(os.getpid(), signal.SIGKILL)

sys.addaudithook(count)
{BUILD}
print(steps)
"""
"""A build that is killed before its n-th change of the tables' folder; it prints n minus their number if it lives."""


def python(code: str, *arguments: object) -> subprocess.Popen[str]:
    """Start code in a process of its own."""
    command = [sys.executable, "-c", code, *map(str, arguments)]
    return subprocess.Popen(command, text=True, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def finish(process: subprocess.Popen[str]) -> str:
    """What a process printed that must not fail."""
    out, err = process.communicate()
    assert process.returncode == 0, err
    return out


def publish_again(mill: Tidemill, number: int) -> Path:
    """Another snapshot, with one more sample of a metric."""
    feed(mill, metric(f"again{number}", "2026-02-10T10:00:00Z"))
    built(mill, "metric_hourly")
    return mill.snapshot()


# What stands in a snapshot


def test_a_snapshot_never_changes(tmp_path: Path) -> None:
    """Every file of a published snapshot stays as it is, whatever is published after it."""
    mill = home(tmp_path, *JANUARY)
    built(mill, as_of=AS_OF)
    first, before = mill.snapshot(), digests(mill.snapshot())
    feed(mill, *FEBRUARY, event("late", "2026-01-10T11:00:00Z"))
    built(mill, as_of=AS_OF)
    built(mill, full=True, as_of="2026-02-13T00:00:00Z")
    rows(mill, "SELECT * FROM activity_daily, builds ORDER BY ALL")
    assert digests(first) == before
    assert {path for path in first.rglob("*") if path.is_file() and path.stat().st_mode & 0o222} <= {
        first / "manifest.json"
    }


def test_unchanged_files_are_hard_links(tmp_path: Path) -> None:
    """What a build did not touch takes no more room: January's files are the same files in both snapshots."""
    mill = home(tmp_path, *JANUARY, *MARCH)
    built(mill, as_of=AS_OF)
    first = mill.snapshot()
    feed(mill, *FEBRUARY)
    built(mill, as_of=AS_OF)
    for table in ("activity_daily", "metric_hourly", "session_activity_daily"):
        january = min((first / table).iterdir())
        assert (mill.snapshot() / table / january.name).samefile(january)
    files = sorted(path.name[:10] for path in mill.path("activity_daily").iterdir())
    assert files == ["2026-01-10", "2026-02-10", "2026-03-01"]


def test_a_rebuilt_file_of_the_same_content_is_the_same_file(tmp_path: Path) -> None:
    """A full build of the same records gives the same names, and the snapshots share the files."""
    mill = home(tmp_path, *JANUARY, *FEBRUARY)
    built(mill, as_of=AS_OF)
    first = mill.snapshot()
    built(mill, as_of=AS_OF, full=True)
    second = mill.snapshot()
    assert first != second
    for file in (path for path in first.rglob("20*.parquet")):
        assert (second / file.relative_to(first)).samefile(file)


def test_a_name_is_never_given_to_other_bytes(tmp_path: Path) -> None:
    """Over many snapshots a table's file of one name has one content; the name carries it."""
    mill = home(tmp_path, *JANUARY)
    contents: dict[str, set[str]] = {}
    for number in range(3):
        snapshot = publish_again(mill, number)
        for name, digest in digests(snapshot).items():
            if name.endswith(".parquet"):
                contents.setdefault(name, set()).add(digest)
                assert digest[:24] in name
    assert {len(found) for found in contents.values()} == {1}


def test_both_pointers_name_the_newest_snapshot(tmp_path: Path) -> None:
    """The link `current` and the text `CURRENT` agree, and the text is an absolute path."""
    mill = home(tmp_path, *JANUARY)
    for number in range(2):
        snapshot = publish_again(mill, number)
        text = (mill.home.tables / "CURRENT").read_text()
        assert Path(text) == snapshot == (mill.home.tables / "current").resolve()
        assert os.path.isabs(text)  # noqa: PTH117 - of the text itself
        assert json.loads((snapshot / "manifest.json").read_text())["id"] == snapshot.name


def test_a_lost_pointer_is_made_again(tmp_path: Path) -> None:
    """When the text names another snapshot than the link, the next build mends it, though nothing is stale."""
    mill = home(tmp_path, *JANUARY)
    built(mill, "metric_hourly")
    text = mill.home.tables / "CURRENT"
    text.write_text("/somewhere/else")
    assert built(mill, "metric_hourly") == {}
    assert Path(text.read_text()) == mill.snapshot()
    text.unlink()
    assert built(mill, "metric_hourly") == {}
    assert Path(text.read_text()) == mill.snapshot()


@pytest.mark.parametrize("name", ["home", "it's a home", "häuser/größe"])
def test_the_catalog_opens_anywhere(tmp_path: Path, name: str) -> None:
    """A plain DuckDB in another process and folder reads every table, by whatever absolute path."""
    mill = home(tmp_path, *JANUARY, *FEBRUARY, name=name)
    built(mill, as_of=AS_OF)
    code = """
import duckdb, json, sys
with duckdb.connect(sys.argv[1], read_only=True) as database:
    counts = {name: database.execute(f'SELECT count(*) FROM {name}').fetchone()[0] for name in sys.argv[2:]}
    print(json.dumps(counts))
"""
    tables = [*catalog_tables.tables(), "builds", "lake.events", "lake.loads"]
    command = [sys.executable, "-c", code, str(mill.home.tables / "current" / "catalog.duckdb"), *tables]
    found = subprocess.run(command, cwd="/", check=True, capture_output=True)
    counts = json.loads(found.stdout)
    assert counts == {table: rows(mill, f"SELECT count(*) FROM {table}")[0][0] for table in tables}
    assert (counts["activity_daily"], counts["lake.events"]) == (2, 2)


def test_the_catalog_explains_itself(tmp_path: Path) -> None:
    """A view has its table's description, and a column its own."""
    mill = home(tmp_path)
    built(mill, as_of=AS_OF)
    (view,) = rows(mill, "SELECT comment FROM duckdb_views() WHERE view_name = 'job_totals'")
    assert view[0].startswith("Each job with what its events add up to")
    assert rows(mill, "SELECT count(*) FROM duckdb_columns() WHERE table_name = 'job_totals' AND comment IS NULL") == [
        (0,)
    ]


def test_the_lake_shows_what_the_ledger_knows(tmp_path: Path) -> None:
    """Every row of lake.jobs, events, metrics and quarantine is of a load in lake.loads, until the next publish."""
    mill = home(tmp_path, *JANUARY)
    built(mill, "job_states")
    feed(mill, *FEBRUARY)
    for expected in (1, 2):
        assert rows(mill, "SELECT count(*) FROM lake.loads") == [(expected,)]
        assert rows(mill, "SELECT count(*) FROM lake.events") == [(expected,)]
        for table in lake_schema.RECORD_TABLES:
            assert rows(mill, f"SELECT * FROM lake.{table} ANTI JOIN lake.loads USING (load_id)") == []
        built(mill, "job_states")


def test_what_is_refused_alone_is_published_too(tmp_path: Path) -> None:
    """A load without a good record changes no table, and the snapshot shows its quarantine."""
    mill = home(tmp_path, *JANUARY)
    built(mill, "activity_daily")
    file = tmp_path / "bad.jsonl"
    file.write_text('{"record": "event", "timestamp": "never", "type": "log"}\n')
    mill.ingest(file)
    assert built(mill, "activity_daily") == {}
    assert rows(mill, "SELECT line, field FROM lake.quarantine") == [(1, "timestamp")]


def test_how_a_table_came_about_is_published(tmp_path: Path) -> None:
    """The table `builds` has a row for each partition, with its rows, and the runs that made them."""
    mill = home(tmp_path, *JANUARY)
    built(mill, "activity_daily")
    feed(mill, *FEBRUARY)
    built(mill, "activity_daily")
    found = rows(
        mill, "SELECT partition_value, rows, despite FROM builds WHERE table_name = 'activity_daily' ORDER BY ALL"
    )
    assert found == [("2026-01-10", 1, None), ("2026-02-10", 1, None)]
    assert rows(mill, "SELECT count(DISTINCT run_id) FROM builds WHERE table_name = 'activity_daily'") == [(2,)]
    assert rows(mill, "SELECT count(*) FROM builds WHERE seconds < 0 OR built_at > now() OR fingerprint IS NULL") == [
        (0,)
    ]


# Readers


def test_a_reader_keeps_what_it_resolved(tmp_path: Path) -> None:
    """Paths, frames, relations and connections of one snapshot give the same rows after the next ones."""
    mill = home(tmp_path, *JANUARY)
    built(mill, "metric_hourly")
    folder, frame = mill.path("metric_hourly"), mill.table("metric_hourly")
    relation = mill.sql("SELECT samples FROM metric_hourly")
    with duckdb.connect(str(mill.snapshot() / "catalog.duckdb"), read_only=True) as connection:
        for number in range(2):
            publish_again(mill, number)
        assert mill.show("metric_hourly")["samples"].to_list() == [1, 2]
        assert frame.collect()["samples"].to_list() == [1]
        assert pl.read_parquet(sorted(folder.iterdir()))["samples"].to_list() == [1]
        assert relation.fetchall() == [(1,)]
        assert connection.execute("SELECT samples FROM metric_hourly").fetchall() == [(1,)]


def test_readers_see_whole_snapshots_while_others_publish(tmp_path: Path) -> None:
    """In whatever moment they look, two tables of the same records agree with each other."""
    mill = home(tmp_path, *JANUARY)
    built(mill, "activity_daily", "activity_hourly")
    code = """
import sys
from tests.homes import event, feed
from tidemill import Tidemill
mill = Tidemill(sys.argv[1])
for number in range(3):
    feed(mill, event(f"w{number}", "2026-01-10T10:00:00Z"))
    mill.build("activity_daily", "activity_hourly")
"""
    writer = python(code, mill.home.path)
    seen = set()
    while writer.poll() is None:
        with duckdb.connect((mill.home.tables / "CURRENT").read_text() + "/catalog.duckdb", read_only=True) as database:
            sums = "(SELECT sum(events) FROM activity_daily), (SELECT sum(events) FROM activity_hourly)"
            found = database.execute(f"SELECT {sums}, (SELECT count(*) FROM lake.events)").fetchall()[0]
        assert len(set(found)) == 1
        seen |= set(found)
    finish(writer)
    assert seen <= {1, 2, 3, 4}
    assert rows(mill, "SELECT events FROM activity_daily") == [(4,)]


def test_a_home_by_another_name_is_the_same_home(tmp_path: Path) -> None:
    """Through a symbolic link it builds nothing anew and its SQL reads both tables and lake."""
    mill = home(tmp_path, *JANUARY)
    built(mill, "activity_daily")
    (tmp_path / "link").symlink_to(mill.home.path)
    linked = Tidemill(tmp_path / "link")
    assert built(linked, "activity_daily") == {}
    assert rows(linked, "SELECT events, (SELECT count(*) FROM lake.events) FROM activity_daily") == [(1, 1)]


def test_a_home_that_moved_is_published_anew(tmp_path: Path) -> None:
    """Nothing is built again, and the new snapshot names its files by their new paths."""
    mill = home(tmp_path, *JANUARY)
    built(mill, "activity_daily")
    moved = Tidemill(mill.home.path.rename(tmp_path / "moved"))
    assert built(moved, "activity_daily") == {}
    assert rows(moved, "SELECT events, (SELECT count(*) FROM lake.events) FROM activity_daily") == [(1, 1)]
    assert (moved.home.tables / "CURRENT").read_text() == str(moved.snapshot())


# Old snapshots


def age(snapshots: Path, seconds: float) -> None:
    """Let all snapshots be that much older."""
    for folder in snapshots.iterdir():
        os.utime(folder, (time.time(), folder.stat().st_mtime - seconds))


def test_old_snapshots_are_removed_but_none_that_was_read_within_the_hour(tmp_path: Path) -> None:
    """Of those whose successor came an hour ago, as many stay as the settings say."""
    mill = home(tmp_path, *JANUARY, settings="[snapshots]\nkeep = 2")
    snapshots = mill.home.tables / "snapshots"
    made = [publish_again(mill, number).name for number in range(3)]
    assert sorted(folder.name for folder in snapshots.iterdir()) == made
    age(snapshots, KEEP_SECONDS + 1)
    made.append(publish_again(mill, 3).name)
    assert sorted(folder.name for folder in snapshots.iterdir()) == made[2:], "its successor came just now"
    age(snapshots, KEEP_SECONDS + 1)
    write_settings(mill, "[snapshots]\nkeep = 1")
    made.append(publish_again(mill, 4).name)
    assert sorted(folder.name for folder in snapshots.iterdir()) == made[3:]
    assert rows(mill, "SELECT samples FROM metric_hourly ORDER BY hour DESC LIMIT 1") == [(5,)]


# Crashes and races


def half_built(folder: Path) -> Tidemill:
    """A home whose tables stand, with new records for all of them."""
    mill = home(folder, *JANUARY)
    built(mill, *TABLES, as_of=AS_OF)
    feed(mill, *FEBRUARY, *LATE)
    return mill


def all_built(folder: Path) -> dict[str, str]:
    """The tables that such a home ends up with."""
    mill = home(folder, *JANUARY, *FEBRUARY, *LATE, name="fresh")
    built(mill, *TABLES, as_of=AS_OF)
    return published(mill)


def kill(mill: Tidemill, step: int) -> None:
    """Build, and die before that change of the tables' folder."""
    process = python(DYING_BUILD, mill.home.path, AS_OF, step)
    process.communicate()
    assert process.returncode == -signal.SIGKILL


def test_a_build_that_is_killed_leaves_the_snapshot_whole(tmp_path: Path, steps: int) -> None:
    """At whatever step before the swap: of writing, linking or pointing. The next build clears up after it."""
    mill = half_built(tmp_path)
    before, tables = digests(mill.snapshot()), published(mill)
    for step in (1, steps // 2, steps - 10, steps - 2, steps - 1):
        kill(mill, step)
        assert digests(mill.snapshot()) == before
    assert published(mill) == tables
    assert built(mill, *TABLES, as_of=AS_OF) != {}
    assert published(mill) == all_built(tmp_path)
    assert_tidy(mill)


def test_a_build_that_is_killed_between_the_pointers_is_done(tmp_path: Path, steps: int) -> None:
    """The link names the new snapshot and the text the old one, both whole; the next build only mends the text."""
    mill = half_built(tmp_path)
    old = mill.snapshot()
    kill(mill, steps)
    assert Path((mill.home.tables / "CURRENT").read_text()) == old
    assert mill.snapshot() != old
    assert published(mill) == all_built(tmp_path)
    assert built(mill, *TABLES, as_of=AS_OF) == {}
    assert_tidy(mill)


@pytest.fixture(scope="module")
def steps(tmp_path_factory: pytest.TempPathFactory) -> int:
    """How many changes of the tables' folder the build makes that is killed: the last three are the swap."""
    mill = half_built(tmp_path_factory.mktemp("steps"))
    return 1_000 - int(finish(python(DYING_BUILD, mill.home.path, AS_OF, 1_000)))


def assert_tidy(mill: Tidemill) -> None:
    """Nothing lies about in the tables' folder, and both pointers agree."""
    assert {path.name for path in mill.home.tables.iterdir()} == {".lock", "snapshots", "current", "CURRENT"}
    assert all((folder / "manifest.json").exists() for folder in (mill.home.tables / "snapshots").iterdir())
    assert Path((mill.home.tables / "CURRENT").read_text()) == mill.snapshot()


def test_two_builds_at_once_are_one_after_the_other(tmp_path: Path) -> None:
    """The second waits for the first and then finds everything fresh; no partition is made twice."""
    mill = half_built(tmp_path)
    first = mill.snapshot()
    for process in [python(BUILD, mill.home.path, AS_OF) for _ in range(2)]:
        finish(process)
    assert rows(mill, "SELECT count(DISTINCT run_id) FROM builds") == [(2,)]
    assert len(list(first.parent.iterdir())) == 2
    assert_tidy(mill)


def test_ingest_goes_on_beside_a_build(tmp_path: Path) -> None:
    """What is loaded while a build goes on is in the next one; both end well."""
    mill = half_built(tmp_path)
    process = python(BUILD, mill.home.path, AS_OF)
    for number in range(3):
        feed(mill, event(f"beside{number}", "2026-01-10T13:00:00Z", session_id="s1"))
    finish(process)
    built(mill, *TABLES, as_of=AS_OF)
    assert rows(mill, "SELECT sum(events)::BIGINT, (SELECT count(*) FROM lake.events) FROM session_activity_daily") == [
        (6, 6)
    ]


def test_who_waits_too_long_is_told_for_whom(tmp_path: Path) -> None:
    """The error names the process that holds the tables and since when, and trying again may help."""
    place = home(tmp_path).home
    with place.lock("tables"):
        message = rf"{place.tables} is held by process {os.getpid()} since 20\d\d-.*Z; try again when it has finished"
        with pytest.raises(LockTimeoutError, match=message) as raised, place.lock("tables", wait=0):
            pass
    assert raised.value.transient
    with place.lock("tables", wait=0):
        pass


def test_readers_of_one_process_do_not_share_settings(tmp_path: Path) -> None:
    """Two of them, and a connection of one's own to the same catalog, work side by side."""
    mill = home(tmp_path, *JANUARY)
    built(mill, "metric_hourly")
    other = Tidemill(mill.home.path)
    query = "SELECT count(*) FROM lake.events"
    first, second = mill.sql(query), other.sql(query)
    with duckdb.connect(str(mill.snapshot() / "catalog.duckdb"), read_only=True) as own:
        assert own.sql("SELECT count(*) FROM metric_hourly").fetchall() == [(1,)]
    assert first.fetchall() == second.fetchall() == [(1,)]


@pytest.mark.also_tables("latency_histogram")
def test_percentiles_of_any_days_are_asked_of_the_catalog(tmp_path: Path) -> None:
    """Whoever opens it can add up buckets of some days and take a percentile of them, within 1 %."""
    took = [10, 20, 30, 40, 1000]
    records = [
        event(f"{day}{ms}", f"2026-02-{day}T10:00:00Z", type="tool_use", tool_name="grep", duration_ms=ms)
        for day in (10, 11, 12)
        for ms in took
    ]
    mill = home(tmp_path, *records)
    built(mill, as_of=AS_OF)
    query = """
        SELECT histogram_percentile(bucket, events, 0.5), histogram_percentile(bucket, events, 0.95)
        FROM (SELECT bucket, sum(events) AS events FROM latency_histogram WHERE day >= DATE '2026-02-11' GROUP BY ALL)
    """
    expected = [pytest.approx(statistics.median(took), rel=0.01), pytest.approx(1000, rel=0.01)]
    assert [*rows(mill, query)[0]] == expected
    with duckdb.connect(str(mill.snapshot() / "catalog.duckdb"), read_only=True) as own:
        assert [*own.execute(query).fetchall()[0]] == expected
