"""A small history of one home, as commands: what each finds, and what is to be done. Every kind of record and refusal.

Nothing depends on the day on which it runs: windows end at AS_OF, and what `prune` keeps begins long between two days.
"""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
import time
from dataclasses import dataclass
from datetime import UTC, date, datetime
from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

AS_OF: Final = "2026-02-12T12:00Z"
EARLIER: Final = "2026-02-12T06:00Z"
FEW: Final = ("activity_daily", "activity_weekly", "jobs_daily", "sessions", "llm_ttft", "metric_hourly")
"""Of each kind of table one: by day of events, of jobs and of metrics, by week, of other tables, over windows."""
KEPT_SINCE: Final = date(2026, 1, 20)
HOUR: Final = 3_600.0

SETTINGS: Final = """threads = 1
[snapshots]
keep = 1
[windows]
refresh_minutes = 1000000000   # prune builds as of now: windows keep their moment
[sources.app]
path = "../raw/app"
[sources.legacy]
path = "../raw/legacy"
format = "legacy.sql"
[thresholds.slow]
table = "llm_ttft"
column = "p99_ttft_ms"
operator = ">"
limit = 500
"""
LEGACY: Final = """-- Calls as an older system logs them.
-- record: event
SELECT line, {time} AS timestamp, 'tool_use' AS type, did AS tool_name, took AS duration_ms FROM raw
"""
WRONG: Final = "epoch"
MENDED: Final = "to_timestamp(CAST(epoch AS BIGINT))"

Record = dict[str, Any]


def _event(key: str, at: str, **more: object) -> Record:
    return {"record": "event", "id": key, "timestamp": at, "type": "llm_request", "ttft_ms": len(key) * 100} | more


def _metric(at: str, value: float) -> Record:
    return {"record": "metric", "timestamp": at, "name": "cpu", "value": value}


FIRST: Final[dict[str, list[Record | str]]] = {
    "app/a.jsonl": [
        _event("old", "2026-01-05T10:00:00Z", session_id="s0"),
        _event("a1", "2026-02-10T10:00:00Z", session_id="s1"),
        _event("a1", "2026-02-10T10:00:00Z", session_id="s1"),
        _event("a1", "2026-02-10T10:00:00Z", session_id="another content"),
        "not a record",
        {"record": "job", "job_id": "j0", "created_at": "2026-01-05T09:00:00Z", "status": "completed"},
        {"record": "job", "job_id": "j1", "created_at": "2026-02-10T09:00:00Z", "status": "running"},
        {"record": "job", "job_id": "j2", "status": "running", "observed_at": "2026-02-10T09:05:00Z"},
        _metric("2026-01-05T10:00:00Z", 1),
        _metric("2026-02-10T10:00:00Z", 2.5),
    ],
    "app/b.jsonl": [_event("b1", "2026-02-11T10:00:00Z", session_id="s1"), {"record": "event", "type": "question"}],
    "app/c.jsonl": [_event("c1", "2026-02-11T11:00:00Z"), _metric("2026-02-11T11:00:00Z", 3)],
    "legacy/zero.jsonl": [{"epoch": "1770700000", "did": "search", "took": "1.5"}],
}
SECOND: Final[dict[str, list[Record | str]]] = {
    "app/a.jsonl": [*FIRST["app/a.jsonl"], _event("grown", "2026-02-10T23:00:00Z", session_id="s1")],
    "app/d.jsonl": [
        _event("a1", "2026-02-10T10:00:00Z", session_id="s1"),
        _event("late", "2026-01-06T10:00:00Z", session_id="s0"),
        {"record": "job", "job_id": "j2", "created_at": "2026-02-11T09:00:00Z", "status": "queued"},
        {"record": "job", "job_id": "j1", "status": "completed", "completed_at": "2026-02-10T10:00:00Z"},
    ],
    "legacy/one.jsonl": [
        {"epoch": "1770800000", "did": "search", "took": "12.5"},
        {"epoch": "1770800060", "did": "read", "took": "many"},
    ],
}
THIRD: Final[dict[str, list[Record | str]]] = {
    "app/e.jsonl": [
        _event("e1", "2026-02-10T12:00:00Z"),
        _event("e2", "2026-02-11T12:00:00Z"),
        _metric("2026-02-11T12:00:00Z", 4),
        {"record": "job", "job_id": "j3", "created_at": "2026-02-11T12:00:00Z", "status": "failed"},
    ],
}


@dataclass(frozen=True)
class Place:
    """A folder with a home and what it reads; a run leaves traces by absolute paths, so it is not to be moved."""

    folder: Path

    @property
    def home(self) -> Path:
        """The home."""
        return self.folder / "here" / "home"

    def write(self, files: dict[str, list[Record | str]]) -> None:
        """Write raw files, whole; those that stand there are longer ones then."""
        for name, records in files.items():
            path = self.folder / "here" / "raw" / name
            path.parent.mkdir(parents=True, exist_ok=True)
            lines = (record if isinstance(record, str) else json.dumps(record) for record in records)
            path.write_text("".join(f"{line}\n" for line in lines))
            os.utime(path, (time.time() - HOUR,) * 2)  # what was written just now might still be written to

    def put(self, name: str, text: str) -> None:
        """Write a file of the home."""
        self.home.mkdir(parents=True, exist_ok=True)
        (self.home / name).write_text(text)

    def do(self, *arguments: str) -> None:
        """Run a command that must succeed."""
        ended = subprocess.run(
            command(self, arguments), env=environment(self), capture_output=True, text=True, check=False
        )
        if ended.returncode:
            raise RuntimeError(f"{' '.join(arguments)} failed: {ended.stderr}")

    def age(self) -> None:
        """Let what was published, and what left the lake, be two hours old."""
        for folder in (self.home / "tables" / "snapshots").iterdir():
            os.utime(folder, (time.time() - 2 * HOUR,) * 2)
        left = self.home / "lake" / "left.json"
        if left.exists():
            left.write_text(json.dumps({path: at - 2 * HOUR for path, at in json.loads(left.read_text()).items()}))

    def keep(self, name: str) -> None:
        """Keep the place as it is now under a name."""
        _copy(self.folder / "here", self.folder / name)

    def restore(self, name: str) -> None:
        """Make it again as it was kept."""
        shutil.rmtree(self.folder / "here", ignore_errors=True)
        _copy(self.folder / name, self.folder / "here")


def _copy(source: Path, target: Path) -> None:
    subprocess.run(["cp", "-a", source, target], check=True)


def command(place: Place, arguments: tuple[str, ...]) -> list[str]:
    """The real command over a place's home."""
    return [sys.executable, "-m", "tidemill", "--home", str(place.home), *arguments]


def environment(place: Place) -> dict[str, str]:
    """The environment of the command, without settings of whoever runs this; what Python compiles is kept beside."""
    inherited = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
    inherited.pop("PYTHONDONTWRITEBYTECODE", None)
    return inherited | {"PYTHONPYCACHEPREFIX": str(place.folder / "compiled")}


def _keep() -> str:
    return f"{(datetime.now(UTC).date() - KEPT_SINCE).days}d"


@dataclass(frozen=True)
class Step:
    """A command of the history: what happens before it, and its arguments. `now`: windows that it builds end now."""

    name: str
    before: Callable[[Place], None]
    arguments: tuple[str, ...]
    now: bool = False


def _begin(place: Place) -> None:
    place.write(FIRST)
    place.put("tidemill.toml", SETTINGS)
    place.put("legacy.sql", LEGACY.format(time=WRONG))


def _two_old_snapshots(place: Place) -> None:
    """The next publish is to remove one."""
    place.do("build", *FEW, "--as-of", EARLIER)
    place.age()


def _compacted_before(place: Place) -> None:
    """Files that left the lake an hour ago, that no kept snapshot names, and small ones that came since."""
    place.do("compact")
    place.write(THIRD)
    place.do("ingest")
    place.age()
    place.do("build", *FEW, "--as-of", EARLIER)
    place.do("build", *FEW, "--as-of", AS_OF)
    place.age()
    place.do("build", *FEW, "--as-of", EARLIER)


STEPS: Final = (
    Step("first ingest", _begin, ("ingest",)),
    Step("first build", lambda _: None, ("build", *FEW, "--as-of", AS_OF)),
    Step("ingest", lambda place: place.write(SECOND), ("ingest",)),
    Step("build", _two_old_snapshots, ("build", *FEW, "--as-of", AS_OF)),
    Step("retry", lambda place: place.put("legacy.sql", LEGACY.format(time=MENDED)), ("quarantine", "retry")),
    Step("compact", _compacted_before, ("compact",)),
    Step("whole build", lambda _: None, ("build", "--as-of", AS_OF)),
    Step("prune", lambda _: None, ("prune", "--keep", _keep(), "--tables"), now=True),
)
"""In their order: each finds what the one before it left."""


def prepare(place: Place) -> None:
    """Run the whole history undisturbed; the place before each step, and after it, is kept under its name."""
    for step in STEPS:
        step.before(place)
        place.keep(f"before {step.name}")
        place.do(*step.arguments)
        place.keep(f"after {step.name}")
