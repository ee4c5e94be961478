from __future__ import annotations

import os
import signal
import subprocess
import sys
import tempfile
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import pytest

from tests.homes import AS_OF, event, few_tables, home, write_settings
from tidemill.config import memory
from tidemill.config.settings import Settings
from tidemill.engine import session
from tidemill.home import staging_dir
from tidemill.home.home import Home
from tidemill.lake import commits

if TYPE_CHECKING:
    from tidemill import Tidemill

__all__ = ["few_tables"]

FEW: Final = ("activity_daily",)
RECORDS: Final = 1_100_000
GROUPS: Final = {
    "version 2": ("0::/app/web", {"app/web/memory.max": "max", "app/memory.max": "5000000"}),
    "version 2 in a container": ("0::/", {"memory.max": "5000000"}),
    "version 2 with the host's path": ("0::/host/only", {"memory.max": "5000000"}),
    "version 1": ("4:cpu,memory:/app", {"memory/app/memory.limit_in_bytes": "5000000"}),
    "version 1 in a container": ("4:memory:/docker/1", {"memory/memory.limit_in_bytes": "5000000"}),
    "the least of all": ("0::/a/b", {"a/b/memory.max": "9000000", "a/memory.max": "5000000", "memory.max": "7000000"}),
}


@pytest.mark.parametrize("case", GROUPS)
def test_what_there_is_of_a_control_group(tmp_path: Path, case: str) -> None:
    """A group of processes has no more than its own limit, and those of the groups that it is in."""
    group, files = GROUPS[case]
    for name, text in {
        "proc/self/cgroup": f"1:name=systemd:/\n{group}\n",
        **{f"sys/fs/cgroup/{n}": t for n, t in files.items()},
    }.items():
        file = tmp_path / name
        file.parent.mkdir(parents=True, exist_ok=True)
        file.write_text(text)
    assert memory.available(tmp_path) == 5_000_000


def test_what_there_is_of_a_machine(tmp_path: Path) -> None:
    """Without control groups, or without limits, it is the machine's memory; version 1 says no limit by a huge one."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    assert memory.available(tmp_path) == machine
    group = tmp_path / "sys/fs/cgroup/memory"
    group.mkdir(parents=True)
    (tmp_path / "proc/self").mkdir(parents=True)
    (tmp_path / "proc/self/cgroup").write_text("4:memory:/\n")
    (group / "memory.limit_in_bytes").write_text("9223372036854771712\n")
    assert memory.available(tmp_path) == machine


@pytest.mark.parametrize(
    ("text", "size"), [("8GB", 8 * 10**9), ("512MiB", 512 << 20), ("1.5 KB", 1500), ("2TiB", 2 << 40)]
)
def test_a_size(text: str, size: int) -> None:
    """Units are decimal, and with an i binary, as the engine has them."""
    assert memory.size(text) == size


def test_what_the_engine_may_have() -> None:
    """All but what Python holds beside it; of little, a part."""
    assert memory.of_engine("8GB") == 8 * 10**9 - memory.BESIDE
    assert memory.of_engine("100MB") == 40 * 10**6


SPILLS: Final = """
import sys, time
from tidemill.engine import session
from tidemill.home import staging_dir
from tidemill.home.home import Home
from tidemill.config.settings import load
home = Home.at(sys.argv[1])
settings = load(home.path)
with staging_dir.held(home):
    connection = session.connect(home, settings, timezone=None, spill=staging_dir.of(home) if sys.argv[2] else None)
    connection.execute("CREATE TEMP TABLE held AS SELECT hash(i)::VARCHAR AS text FROM range(2000000) r(i)")
    print(connection.execute("SELECT current_setting('temp_directory')").fetchall()[0][0], flush=True)
    time.sleep(float(sys.argv[3]))
    connection.close()
"""
LITTLE: Final = 'memory_limit = "50MB"'


def spilling(mill: Tidemill, *, writes: bool, seconds: float) -> subprocess.Popen[str]:
    """A process that holds more than its memory."""
    command = [sys.executable, "-c", SPILLS, str(mill.home.path), "yes" if writes else "", str(seconds)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True)


def folder_of(process: subprocess.Popen[str]) -> Path:
    """The folder that a process says it spills into."""
    assert process.stdout is not None
    return Path(process.stdout.readline().strip())


def test_the_next_process_removes_what_a_dead_one_spilled(tmp_path: Path) -> None:
    """What a killed process spilled goes with the next one that writes; what a living one holds stays."""
    mill = home(tmp_path, event("a", "2026-02-10T12:00:00Z"), settings=LITTLE)
    with spilling(mill, writes=True, seconds=60) as holder:
        folder = folder_of(holder)
        assert [*folder.iterdir()]
        commits.current(mill.home)
        assert [*folder.iterdir()]
        holder.send_signal(signal.SIGKILL)
        holder.wait()
    assert folder.is_relative_to(mill.home.staging)
    assert [*folder.iterdir()]
    commits.current(mill.home)
    assert [*mill.home.staging.iterdir()] == []


def test_what_a_dead_reader_spilled_goes_after_a_day(tmp_path: Path) -> None:
    """It holds no lock: what is younger stays, and what a living one has, whatever its age."""
    mill = home(tmp_path, event("a", "2026-02-10T12:00:00Z"), settings=LITTLE)
    with spilling(mill, writes=False, seconds=60) as reader:
        folder = folder_of(reader)
        assert [*folder.iterdir()]
        aged = (time.time() - 2 * staging_dir.ORPHAN_SECONDS,) * 2
        os.utime(folder, aged)
        commits.current(mill.home)
        assert [*folder.iterdir()]
        reader.send_signal(signal.SIGKILL)
        reader.wait()
    os.utime(folder)
    commits.current(mill.home)
    assert [*folder.iterdir()]
    os.utime(folder, aged)
    commits.current(mill.home)
    assert [*mill.home.staging.iterdir()] == []


@pytest.mark.parametrize("writes", [True, False])
def test_a_process_leaves_nothing(tmp_path: Path, *, writes: bool) -> None:
    """What it spilled goes when it ends."""
    mill = home(tmp_path, event("a", "2026-02-10T12:00:00Z"), settings=LITTLE)
    with spilling(mill, writes=writes, seconds=0) as process:
        folder = folder_of(process)
    assert process.returncode == 0
    assert folder.is_relative_to(mill.home.staging)
    assert [*mill.home.staging.iterdir()] == []


def test_a_home_that_is_not_there_is_not_made(tmp_path: Path) -> None:
    """Who reads one spills where temporary files go."""
    nowhere = Home.at(tmp_path / "none")
    with session.connect(nowhere, Settings(), timezone=None) as connection:
        (found,) = connection.execute("SELECT current_setting('temp_directory')").fetchall()
    assert Path(found[0]).parent == Path(tempfile.gettempdir())
    assert not nowhere.path.exists()


def test_records_ten_times_larger_than_memory(tmp_path: Path) -> None:
    """A build of them finishes with what a bare select finds in the file, and what was spilled is gone."""
    file, limit = tmp_path / "calls.parquet", 50_000_000
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute(f"""
            COPY (
                SELECT 'r' || i AS id, 'llm_request' AS type, 's' || hash(i) AS session_id,
                    TIMESTAMPTZ '2026-02-10 00:00:00+00' + INTERVAL (i % 86400) SECOND AS timestamp,
                    (hash(i) % 1000003) / 1009 AS duration_ms, repeat(md5(i::VARCHAR), 4) AS text
                FROM range({RECORDS}) r(i)
            ) TO '{file}' (FORMAT parquet)""")
        held = f"SELECT sum(strlen(id || type || session_id || text) + 16) FROM '{file}'"
        assert connection.execute(held).fetchall()[0][0] > 10 * memory.of_engine(f"{limit // 1_000_000}MB")
        exact = connection.execute(
            f"SELECT count(*), count(DISTINCT session_id), quantile_cont(duration_ms, [0.5, 0.95, 0.99]) FROM '{file}'"
        ).fetchall()
    mill = home(tmp_path)
    mill.ingest(file, record="event", source="app")
    write_settings(mill, f'memory_limit = "{limit // 1_000_000}MB"')
    mill.build("activity_daily", as_of=AS_OF)
    found = mill.sql(
        "SELECT events, sessions, [p50_duration_ms, p95_duration_ms, p99_duration_ms] FROM activity_daily"
    ).fetchall()
    assert found == exact
    assert [*mill.home.path.rglob("spill-*")] == []
