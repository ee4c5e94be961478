"""Many processes write to one home at the same time: it ends as if one had done it all, one after the other.

Which of two records with the same id and other content stands may depend on who came first, and nothing else
may. That is tested by doing the same again in one process, in the order that the ledger tells.
"""

from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import pytest

from tests.conftest import Lake
from tests.homes import AS_OF, Record, built, event, few_tables, job, metric, process, published, until_at_lock
from tests.serial import assert_whole, in_order, replayed, state
from tidemill import Tidemill

__all__ = ["few_tables"]

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    Running = subprocess.Popen[bytes]

FEW: Final = ("activity_daily", "activity_hourly", "sessions", "job_totals", "metric_hourly", "llm_ttft")
DAYS: Final = ("2026-02-10", "2026-02-11", "2026-02-12")
SETTINGS: Final = 'threads = 1\ntimezone = "Europe/Berlin"\n'
SHARED: Final = 12
"""So many of a batch's events stand in the next batch too, with the same content."""
CONTESTED: Final = 6

LOOP: Final = "import sys; from tidemill import Tidemill\nfor file in sys.argv[2:]: Tidemill(sys.argv[1]).ingest(file)"
"""A process that ingests one file after the other, each in a commit of its own."""


def batch(number: int, events: int = 60) -> list[Record | str]:
    """Records of three days, of which some stand in the batches beside it: the same, or with other content.

    Six events are contested: their ids stand in every batch, each time with another text. So are two jobs: each batch
    says that they were created at another moment. Of eight other jobs one batch says when they were created, and the
    others what became of them, so that such observations wait for the batch that knows the job.
    """
    first, seen = number * (events - SHARED), f"{number // 60:02}:{number % 60:02}"
    found: list[Record | str] = ["neither here nor there", event(f"bad {number}", "yesterday")]
    found += [event(f"contested {n}", f"{DAYS[0]}T10:00:00Z", text=f"batch {number}") for n in range(CONTESTED)]
    for n in range(first, first + events):
        day = f"{DAYS[n % 3]}T{n % 24:02}:15:00Z"
        found += [event(f"event {n}", day, session_id=f"s{n % 7}", user_id=f"u{n % 3}", duration_ms=n / 7)]
        found.append(metric(f"metric {n}", day, value=n / 3))
        found.append({"record": "event", "timestamp": day, "type": "log", "name": f"nameless {n % 5}"})
    for n in range(10):
        at = f"{DAYS[n % 3]}T08:00:00Z"
        if n % 5 == 0:
            found.append(job(f"contested {n}", f"{DAYS[n % 3]}T08:{seen}Z", status="running"))
        elif n == number:
            found.append(job(f"job {n}", at, status="queued", observed_at=at, user_id="u1"))
        else:
            ended = f"{DAYS[n % 3]}T09:{seen}Z"
            found.append({"record": "job", "job_id": f"job {n}", "status": "completed", "completed_at": ended})
    return found


@pytest.fixture
def home(tmp_path: Path) -> Lake:
    """An empty home with settings, beside a folder for its files."""
    made = Lake(Tidemill(tmp_path / "home"), tmp_path / "files")
    made.settings(SETTINGS)
    return made


def written(home: Lake, numbers: Sequence[int]) -> list[Path]:
    """Files of some batches."""
    return [home.write(f"{number:02}.jsonl", *batch(number)) for number in numbers]


def command(home: Lake, *arguments: object) -> Running:
    """Start a command over the home."""
    return process("--home", home.mill.home.path, *arguments, stdout=subprocess.PIPE)


def loop(home: Lake, files: Sequence[Path]) -> Running:
    """Start a process that ingests files one by one."""
    call = [sys.executable, "-c", LOOP, str(home.mill.home.path), *map(str, files)]
    return subprocess.Popen(call, stdout=subprocess.PIPE, stderr=subprocess.PIPE)


def at_once(home: Lake, *calls: Sequence[object] | Running) -> list[tuple[str, str]]:
    """Let commands run at once: all have come to the lake's door before any gets in. What each of them printed."""
    with home.mill.home.lock("lake"):
        running = [call if isinstance(call, subprocess.Popen) else command(home, *call) for call in calls]
        until_at_lock(home.mill, "lake", *running)
    ended = [(one, *one.communicate()) for one in running]
    for one, _, err in ended:
        assert one.returncode == 0, err.decode()
    return [(out.decode(), err.decode()) for _, out, err in ended]


def assert_as_one_after_the_other(home: Lake, folder: Path, *, apart: bool = False) -> None:
    """The home is whole, and holds, counts, refuses and publishes what one process would have."""
    again = replayed(home, folder, SETTINGS, apart=apart)
    found, expected = state(home), state(again)
    for name, rows in expected.items():
        assert found[name] == rows, name
    for one in (home, again):
        built(one.mill, as_of=AS_OF)
        assert_whole(one)
    assert published(home.mill) == published(again.mill)
    assert [str(outcome) for outcome in home.mill.check(deep=True) if outcome.forbids] == []


def test_two_ingests_of_different_files(home: Lake, tmp_path: Path) -> None:
    """With shared ids: each is in once. Where contents differ, all of one file stand and the other's are refused."""
    first, second = written(home, (0, 1))
    at_once(home, ["ingest", first], ["ingest", second])
    assert sorted(in_order(home)) == [[str(first)], [str(second)]]
    assert_as_one_after_the_other(home, tmp_path)
    assert len(home.column("SELECT DISTINCT text FROM events WHERE starts_with(id, 'contested')")) == 1
    assert home.column("SELECT count(*) FROM held WHERE reason = 'conflict'") == [CONTESTED]
    assert home.column("SELECT count(*) FROM held WHERE reason = 'created_at changed'") == [2]
    twice = home.column("SELECT sum(duplicates)::BIGINT FROM loads WHERE kind = 'ingest'")
    assert twice[0] >= 2 * SHARED


def test_many_ingests_of_the_very_same_file(home: Lake, tmp_path: Path) -> None:
    """It is one load; whoever comes second says that there is nothing new in it."""
    (file,) = written(home, [0])
    copy = home.put("copy.jsonl", file.read_bytes())
    said = at_once(home, ["ingest", file], ["ingest", file], ["ingest", copy])
    assert home.column("SELECT count(*) FROM loads WHERE kind = 'ingest'") == [1]
    assert sum("files: 1 file holds nothing new" in err for _, err in said) == 2
    assert_as_one_after_the_other(home, tmp_path)


def test_an_ingest_beside_a_build(home: Lake, tmp_path: Path) -> None:
    """What the build publishes is the lake before or after the ingest, whole; the next build has all of it."""
    first, second, third = written(home, (0, 1, 2))
    home.mill.ingest(first)
    at_once(home, ["build", *FEW, "--as-of", AS_OF], ["ingest", second], ["ingest", third])
    events = "SELECT sum(events)::BIGINT, (SELECT count(*) FROM lake.events) FROM activity_"
    for table in ("daily", "hourly"):
        ((counted, stored),) = home.mill.sql(f"{events}{table}").fetchall()
        assert counted == stored
    loads = home.mill.sql("SELECT count(*) FROM lake.loads WHERE kind = 'ingest'").fetchall()[0][0]
    assert 1 <= loads <= 3
    assert_as_one_after_the_other(home, tmp_path)


def test_a_compaction_beside_ingests_and_a_build(home: Lake, tmp_path: Path) -> None:
    """However often: what is compacted is what was there, and what comes meanwhile stays beside it."""
    files = written(home, range(6))
    for file in files[:2]:
        home.mill.ingest(file)
    for pair in (files[2:4], files[4:6]):
        build = ["build", *FEW, "--as-of", AS_OF]
        at_once(home, ["compact"], build, *(["ingest", file] for file in pair), ["compact"])
    records = home.column("SELECT count(*) FROM events")
    assert_as_one_after_the_other(home, tmp_path, apart=True)
    home.mill.compact()
    assert home.column("SELECT count(*) FROM events") == records
    assert built(home.mill, as_of=AS_OF) == {}


FORMAT: Final = """-- Calls.
-- record: event
SELECT line, id, to_timestamp(CAST({at} AS BIGINT)) AS timestamp, 'tool_use' AS type, did AS tool_name FROM raw
"""


def test_retries_beside_an_ingest(home: Lake, tmp_path: Path) -> None:
    """After a format was mended: each refused record is fed again by one of them, and is in once."""

    def calls(name: str, numbers: range, did: str) -> Path:
        records = [{"id": f"{n}", "epoch": 1_770_746_400 + n, "did": did if n % 10 else "contested"} for n in numbers]
        return home.write(name, *(record | {"did": f"{record['did']} {name}"} for record in records))

    form = tmp_path / "calls.sql"
    form.write_text(FORMAT.format(at="NULL"))
    refused = calls("a.jsonl", range(100), "grep")
    home.mill.ingest(refused, format=str(form))
    assert home.column("SELECT count(*) FROM held") == [100]
    form.write_text(FORMAT.format(at="epoch"))
    beside = calls("b.jsonl", range(50, 150), "grep")
    at_once(home, ["quarantine", "retry"], ["ingest", beside, "--format", form], ["quarantine", "retry"])
    assert home.query("SELECT id FROM events GROUP BY ALL HAVING count(*) > 1") == []
    assert home.column("SELECT count(*) FROM events") == [150]
    assert home.column("SELECT count(*) FROM loads WHERE kind = 'retry'") == [1]
    conflicts = home.query("SELECT uri FROM held WHERE reason = 'conflict'")
    assert len(conflicts) in {0, 50}
    built(home.mill, as_of=AS_OF)
    assert_whole(home)


@pytest.mark.parametrize("rounds", [1, pytest.param(10, marks=pytest.mark.slow)])
def test_many_ingests_of_many_files(home: Lake, tmp_path: Path, rounds: int) -> None:
    """Six at once, of files that most of them name, in other orders; some read many as one, others one by one."""
    for turn in range(rounds):
        files = written(home, range(8 * turn, 8 * turn + 8))
        orders = [[*files[k:], *files[:k]] for k in range(6)]
        together = [["ingest", *order[:5]] for order in orders[:3]]
        at_once(home, *together, *(loop(home, order) for order in orders[3:]))
    loads = home.column("SELECT count(*) FROM loads WHERE kind = 'ingest'")
    assert loads == [8 * rounds]
    assert_as_one_after_the_other(home, tmp_path)
