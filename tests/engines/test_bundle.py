from __future__ import annotations

import json
from collections import Counter
from threading import Event
from typing import TYPE_CHECKING, Final

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.conftest import Lake, event, job, metric
from tidemill import Tidemill
from tidemill.errors import NoRoomError, SourceError, UsageError
from tidemill.ingest import queue
from tidemill.ingest.staging import bundles
from tidemill.ingest.staging import stage as staging_stage

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.ingest.load import Load

LINES: Final = (
    *(json.dumps({"record": "event"} | event(id=str(n), session_id="s", duration_ms=n)).encode() for n in range(4)),
    json.dumps({"record": "event"} | event(id="1", session_id="another content")).encode(),
    json.dumps({"record": "event"} | event(name="without an id")).encode(),
    json.dumps({"record": "event"} | event(success="perhaps")).encode(),
    json.dumps({"record": "event"} | event(other={"a": [1, "é"]})).encode(),
    json.dumps({"record": "metric"} | metric(id="m", labels={"b": "1", "a": "2"})).encode(),
    json.dumps({"record": "job"} | job()).encode(),
    json.dumps({"record": "job"} | {"job_id": "nobody", "status": "running"}).encode(),
    b'{"record": "thing"}',
    b"no JSON",
    b"[1]",
    b"",
    b"   ",
    b"\x01",
    b'{"record": "event", "name": "\xff"}',
    b'{"a": 1}\r',
)
FILES: Final = st.lists(
    st.builds(
        lambda begins, lines, ends: begins + b"\n".join(lines) + ends,
        st.sampled_from([b"", b"\xef\xbb\xbf"]),
        st.lists(st.sampled_from(LINES), max_size=6),
        st.sampled_from([b"", b"\n"]),
    ),
    min_size=2,
    max_size=5,
)
KEPT: Final = "SELECT * EXCLUDE load_id FROM {} ORDER BY ALL"
LEDGER: Final = """
SELECT load_id, source, uri, bytes, content_hash, records_read, expanded, accepted, duplicates, quarantined, ignored,
       first_timestamp, last_timestamp
FROM loads ORDER BY uri
"""
REFUSED: Final = "SELECT uri, line, record, field, reason, raw FROM quarantine ORDER BY ALL"


def home_of(folder: Path, name: str, files: Sequence[bytes], threads: int = 1) -> tuple[Lake, list[Path]]:
    """A home, and files that are old enough for their last lines to count."""
    home = Lake(Tidemill(folder / name), folder / "files")
    home.settings(f"threads = {threads}\n")
    return home, [home.put(f"{number}.jsonl", content) for number, content in enumerate(files)]


def held(home: Lake) -> list[object]:
    """What the lake, the ledger and the quarantine hold."""
    kept = [home.query(KEPT.format(table)) for table in ("events", "metrics", "jobs")]
    return [*kept, home.query(LEDGER), home.query(REFUSED)]


def carried_by_stages(monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """How many loads each load carries that is staged from now on."""
    found: list[int] = []
    stage = staging_stage.stage

    def counted(connection: DuckDBPyConnection, load: Load, **options: bool) -> None:
        found.append(len(load.members))
        stage(connection, load, **options)

    monkeypatch.setattr(staging_stage, "stage", counted)
    return found


@settings(max_examples=8, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(FILES, st.sampled_from([bundles.MOST_BYTES, 60, 0]))
def test_files_that_are_read_together_are_each_a_load(
    tmp_path_factory: pytest.TempPathFactory, files: Sequence[bytes], most: int
) -> None:
    """Records, ledger and quarantine with its lines are as if each file had been read by itself, whatever is in it.

    Be they small, and read as one, or larger, and read side by side.
    """
    folder = tmp_path_factory.mktemp("bundle")
    together, paths = home_of(folder, "together", files, threads=2)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(bundles, "MOST_BYTES", most)
        together.mill.ingest(*paths)
    alone, _ = home_of(folder, "alone", files)
    for path in paths:
        alone.mill.ingest(path)
    assert held(together) == held(alone)
    together.assert_adds_up()


def test_small_files_are_read_in_one_pass(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Twenty files are staged once."""
    home, paths = home_of(tmp_path, "home", [LINES[n % 4] for n in range(20)])
    staged = carried_by_stages(monkeypatch)
    report = home.mill.ingest(*paths)[0]
    assert staged == [4]
    assert (len(report.loads), report.total("accepted"), report.unchanged) == (4, 4, 16)
    assert list(home.mill.home.staging.iterdir()) == []


@pytest.mark.parametrize("size", [bundles.MOST_BYTES, bundles.MOST_BYTES + 1])
def test_a_large_file_is_read_by_itself(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, size: int) -> None:
    """One of at most a MiB is read with others, and its place among them stays."""
    large = b"\n".join([LINES[0], b" " * (size - len(LINES[0]) - 1)])
    home, paths = home_of(tmp_path, "home", [LINES[1], LINES[2], large, LINES[3], LINES[4]])
    carried = carried_by_stages(monkeypatch)
    home.mill.ingest(*paths)
    assert carried == ([5] if size == bundles.MOST_BYTES else [4, 0])
    assert home.refusals() == [(1, "id", "conflict")]


def test_a_bundle_that_cannot_be_read_is_read_one_by_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """So that the error names the file that it is about, and the others are loaded."""
    home, paths = home_of(tmp_path, "home", LINES[:3])
    stage = staging_stage.stage

    def failing(connection: DuckDBPyConnection, load: Load, **options: bool) -> None:
        if load.members or load.uri == str(paths[1]):
            raise SourceError(f"{load.uri} cannot be read")
        stage(connection, load, **options)

    monkeypatch.setattr(staging_stage, "stage", failing)
    (report,) = home.mill.ingest(*paths)
    assert [str(failure) for failure in report.failures] == [f"{paths[1]} cannot be read"]
    assert report.total("accepted") == 2
    monkeypatch.undo()
    assert home.ingest(*paths) == {"records_read": 1, "accepted": 1}


def test_files_that_lack_memory_side_by_side_are_read_one_by_one(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Both are tried again when nothing else goes on; one that lacks it then, too, is said, and the other is loaded."""
    monkeypatch.setattr(bundles, "MOST_BYTES", 0)
    home, paths = home_of(tmp_path, "home", LINES[:3], threads=2)
    stage, tried = staging_stage.stage, Counter[str]()

    def short(connection: DuckDBPyConnection, load: Load, **options: bool) -> None:
        tried[load.uri] += 1
        if load.uri == str(paths[0]) or (load.uri == str(paths[1]) and tried[load.uri] == 1):
            raise SourceError(f"{load.uri} does not fit") from duckdb.OutOfMemoryException("no")
        stage(connection, load, **options)

    monkeypatch.setattr(staging_stage, "stage", short)
    (report,) = home.mill.ingest(*paths)
    assert [str(failure) for failure in report.failures] == [f"{paths[0]} does not fit"]
    assert [load["uri"] for load in report.loads] == [str(paths[1]), str(paths[2])]
    assert tried == {str(paths[0]): 2, str(paths[1]): 2, str(paths[2]): 1}


def test_a_full_disk_leaves_nothing_of_the_files_beside_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What others of them had staged by then takes room that there is none of."""
    monkeypatch.setattr(bundles, "MOST_BYTES", 0)
    home, paths = home_of(tmp_path, "home", LINES[:4], threads=2)
    stage, good = staging_stage.stage, Event()

    def full(connection: DuckDBPyConnection, load: Load, **options: bool) -> None:
        if load.uri == str(paths[1]):
            assert good.wait(10)
            raise NoRoomError("no room")
        stage(connection, load, **options)
        good.set()

    monkeypatch.setattr(staging_stage, "stage", full)
    with pytest.raises(NoRoomError):
        home.mill.ingest(*paths)
    assert list(home.mill.home.staging.iterdir()) == []


def test_a_file_that_failed_is_not_known(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A copy of it fails for itself, though there was a commit in between."""
    monkeypatch.setattr(bundles, "MOST_BYTES", 0)
    monkeypatch.setattr(queue, "SIDE_BY_SIDE_BYTES", 2 * queue.LEAST_BYTES)
    monkeypatch.setattr(queue, "LOADS_A_COMMIT", 1)
    home, paths = home_of(tmp_path, "home", [LINES[0], LINES[1], LINES[2], LINES[5], LINES[5]])
    stage = staging_stage.stage

    def failing(connection: DuckDBPyConnection, load: Load, **options: bool) -> None:
        if load.uri in map(str, paths[3:]):
            raise SourceError(f"{load.uri} cannot be read")
        stage(connection, load, **options)

    monkeypatch.setattr(staging_stage, "stage", failing)
    (report,) = home.mill.ingest(*paths)
    assert [str(failure) for failure in report.failures] == [f"{path} cannot be read" for path in paths[3:]]
    assert report.unchanged == 0


def test_a_home_that_refuses_is_said_once(tmp_path: Path) -> None:
    """Not for each file, which all meet the same."""
    home, paths = home_of(tmp_path, "home", LINES[:3])
    home.mill.home.path.mkdir(exist_ok=True)
    (home.mill.home.path / "lake").write_text("no folder")
    with pytest.raises(UsageError, match=r"cannot be created: .*; choose another --home"):
        home.mill.ingest(*paths)


def test_loads_that_others_finished_in_the_meantime_are_left_out(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Of a bundle only the rest is appended: nothing counts twice."""
    home, paths = home_of(tmp_path, "home", LINES[:4])
    stage = staging_stage.stage

    def late(connection: DuckDBPyConnection, load: Load, **options: bool) -> None:
        stage(connection, load, **options)
        monkeypatch.undo()
        home.mill.ingest(paths[1], paths[3])

    monkeypatch.setattr(staging_stage, "stage", late)
    (report,) = home.mill.ingest(*paths)
    assert sorted(str(load["uri"]) for load in report.loads) == [str(paths[0]), str(paths[2])]
    assert home.column("SELECT id FROM events ORDER BY id") == ["0", "1", "2", "3"]
    home.assert_adds_up()
