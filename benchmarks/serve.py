"""The server: answers at a fixed rate, made anew, as a stream, and to everyone who listens when there is something new.

Who asks is a process of its own.
"""

from __future__ import annotations

import json
import math
import os
import statistics
import subprocess
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from benchmarks import homes, report
from benchmarks.environments import own, tidemill
from benchmarks.measure import ContenderError, measure
from benchmarks.plan import say
from benchmarks.report import Reach
from benchmarks.servers import cores, on, serving

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.plan import Plan
    from benchmarks.servers import Server

TITLE: Final = "The server"
DAYS: Final = 10
API: Final = "/api/v1"
ADVANCED: Final = f"{API}/analytics/advanced"
TABLES: Final = (
    f"{API}/analytics/stats",
    f"{API}/analytics/costs",
    f"{API}/analytics/validations",
    f"{API}/analytics/errors",
    f"{API}/analytics/durations",
    f"{API}/functions",
    f"{API}/tables/job_summary",
)
"""Answers from a whole table or two."""
NOTHING: Final = "/healthz"
"""An answer from nothing: what the web framework alone takes."""
STREAMED: Final = "job_totals"
KEY: Final = "job_id"
MOST_ROWS: Final = 1_000_000
P99_MS: Final = 5
CACHED_MS: Final = 50
COLD_MS: Final = 300
MB_PER_SECOND: Final = 300
PUSH_SECONDS: Final = 1.0
MEMORY_MB: Final = 500
LOOK_SECONDS: Final = 0.0005
PUBLISH_WITHIN_SECONDS: Final = 60
CHEAP: Final = "llm_ttft"
"""The table that is built when something new is published."""


@dataclass(frozen=True)
class Load:
    """How much is asked.

    Which whole tables; requests a second of them, and of everything at once, and for how long; how many cold
    ones; how many clients.
    """

    paths: Sequence[str] = TABLES
    rate: float = 500
    advanced_rate: float = 50
    seconds: float = 20
    cold: int = 200
    clients: int = 1_000


@dataclass(frozen=True)
class Answered:
    """Milliseconds of each answer, how late the load itself was, and how many answers were none."""

    path: str
    rate: float
    milliseconds: Sequence[float]
    late: Sequence[float]
    errors: int

    @property
    def p99(self) -> float:
        """Of so many answers."""
        return _percentile(self.milliseconds, 0.99)


@dataclass(frozen=True)
class Pushed:
    """Seconds from a publish until the first, the median and the last client had what is new."""

    first: float
    median: float
    last: float
    bytes: int


def run(plan: Plan, load: Load | None = None) -> list[str]:
    """Measure, and say it as lines of RESULTS.md."""
    load, home, target = load or Load(), plan.folder / "home", plan.folder / "found.json"
    measure(tidemill(home, "simulate", "--events", str(plan.events), "--days", str(DAYS)))
    measure(tidemill(home, "ingest", str(home / "raw")))
    homes.clear(home / "raw")
    measure(tidemill(home, "build", "--as-of", "latest"))
    everywhere, one, other = cores()
    with serving(home, plan.folder / "tables.log", one) as server, on(other):
        tables = [_asked(server, path, load.rate, load.seconds, target) for path in (NOTHING, *load.paths)]
        cached = _asked(server, ADVANCED, load.advanced_rate, load.seconds, target)
        peaks = {"answers": server.peak_mb}
    with serving(home, plan.folder / "cold.log", one, {"TIDEMILL_SERVE__CACHE_TTL": "0"}) as server, on(other):
        cold = _asked(server, ADVANCED, 0, load.cold, target)
        peaks["cold answers"] = server.peak_mb
    with serving(home, plan.folder / "stream.log", everywhere) as server:
        streams = _streamed(server, home, plan.rounds, target)
        peaks["the stream"] = server.peak_mb
    with serving(home, plan.folder / "clients.log", everywhere) as server:
        pushed = [_published(server, home, number, load.clients, target) for number in range(plan.rounds)]
        peaks["clients"] = server.peak_mb
    answered = [*tables, cached, cold]
    return [
        f"## {TITLE}: {plan.events:,} events",
        "",
        f"Requests are due at a fixed rate for {load.seconds:g} s, whatever became of those before, and an answer is",
        f"timed from when it was due; cold ones ({load.cold}, of which none is kept) follow each other. The server has",
        f"one core, and who asks {'another' if one != other else 'the same'}.",
        "",
        *_answers(answered),
        f"{len(streams)} Arrow streams, and {len(pushed)} publishes to {load.clients:,} WebSocket clients; all cores",
        "are everyone's. What is published counts from the moment at which `tables/current` is another snapshot.",
        "",
        *_streams(streams),
        *_pushes(pushed),
        "Peak resident memory of the servers: " + ", ".join(f"{what} {mb:.0f} MB" for what, mb in peaks.items()) + ".",
        "",
        *report.reaches(
            [*_in_time(load, tables[1:], cached, cold), _fast(streams), *_to_all(load, pushed, peaks["clients"])]
        ),
        report.footer([], plan.rounds) + " " + own().versions("fastapi", "uvicorn", "uvloop", "websockets") + ".",
    ]


def _asked(server: Server, path: str, rate: float, seconds: float, target: Path) -> Answered:
    """Ask for a path so long at a rate, or without one so many times in turn."""
    count = round(seconds * rate) if rate else round(seconds)
    measure(own().script("ask", server.address, path, rate, count, target))
    found = json.loads(target.read_text(encoding="utf-8"))
    took, late = ([1000 * second for second in found[name]] for name in ("seconds", "late"))
    answered = Answered(path, rate, took, late, found["errors"])
    say(f"{path}: p99 {answered.p99:.2f} ms, {answered.errors} errors")
    return answered


def _streamed(server: Server, home: Path, rounds: int, target: Path) -> list[tuple[float, float]]:
    """The megabytes and seconds of a table's streams, of which each was found to be whole."""
    ((count,),) = (row.values() for row in homes.rows(home, f"SELECT count(*) AS rows FROM {STREAMED}"))
    path = f"{API}/tables/{STREAMED}.arrow?limit={MOST_ROWS}"
    rows = min(count, MOST_ROWS)
    measure(own().script("take_stream", server.address, path, KEY, rows, rounds, target))
    return [(each["bytes"] / 1e6, each["seconds"]) for each in json.loads(target.read_text(encoding="utf-8"))]


def _published(server: Server, home: Path, number: int, clients: int, target: Path) -> Pushed:
    """Publish one line more while clients listen; how long they wait for it.

    Raises:
        ContenderError: a client lost its connection, or got nothing.
    """
    line = home / f"more-{number}.jsonl"
    moment = f"{homes.AFTER}T00:{number:02}:00Z"
    event = {"record": "event", "id": f"more-{number}", "timestamp": moment, "type": "llm_request", "ttft_ms": 100}
    line.write_text(json.dumps(event) + "\n", encoding="utf-8")
    measure(tidemill(home, "ingest", str(line)))
    command = own().script("listen", server.address, clients, target)
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as listening:
        try:
            assert listening.stdout  # noqa: S101 - for the type checker
            if listening.stdout.readline() == b"connected\n":
                swapped = _swapped(home)
            _, said = listening.communicate()
        finally:
            listening.kill()
    if listening.returncode:
        raise ContenderError(f"WebSocket clients: {said.decode()[-300:]}")
    found: dict[str, Any] = json.loads(target.read_text(encoding="utf-8"))
    waits = [arrived - swapped for arrived in found["moments"]]
    say(f"publish {number + 1}: the last of {clients} clients after {waits[-1]:.3f} s")
    return Pushed(waits[0], statistics.median(waits), waits[-1], found["bytes"])


def _swapped(home: Path) -> float:
    """Build, and when the readers' pointer was seen to be another.

    Raises:
        ContenderError: the build failed.
    """
    current = home / "tables" / "current"
    before, until = os.readlink(current), time.monotonic() + PUBLISH_WITHIN_SECONDS  # noqa: PTH115 - as it stands
    with subprocess.Popen(
        tidemill(home, "build", CHEAP, "--as-of", "latest"), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
    ) as build:
        while os.readlink(current) == before:  # noqa: PTH115
            if time.monotonic() > until or build.poll():
                build.kill()
                raise ContenderError(f"nothing is published: {build.communicate()[1].decode()[-300:]}")
            time.sleep(LOOK_SECONDS)
        moment = time.monotonic()
        build.communicate()
    return moment


def _answers(found: Sequence[Answered]) -> list[str]:
    rows = [
        "| what is asked for | a second | answers | p50 ms | p99 ms | max ms | errors | the load itself late, p99 ms |",
        "|---|---|---|---|---|---|---|---|",
    ]
    for each in found:
        name = each.path if each.path == NOTHING else each.path.removeprefix(API)
        rate = f"{each.rate:g}" if each.rate else "cold, in turn"
        took = [_percentile(each.milliseconds, 0.5), each.p99, max(each.milliseconds, default=math.nan)]
        cells = [name, rate, f"{len(each.milliseconds):,}", *(f"{value:.2f}" for value in took), f"{each.errors}"]
        rows.append(f"| {' | '.join(cells)} | {_percentile(each.late, 0.99):.2f} |")
    return [*rows, ""]


def _streams(found: Sequence[tuple[float, float]]) -> list[str]:
    speeds = [megabytes / seconds for megabytes, seconds in found]
    what = f"{STREAMED} as an Arrow stream, at most {MOST_ROWS:,} rows"
    spread = f"{min(speeds):.0f}-{max(speeds):.0f}"
    return [
        "| | MB | median MB/s | min-max MB/s |",
        "|---|---|---|---|",
        f"| {what} | {found[0][0]:.1f} | {statistics.median(speeds):.0f} | {spread} |",
        "",
    ]


def _pushes(found: Sequence[Pushed]) -> list[str]:
    lasts = [each.last for each in found]
    middles = (statistics.median(values) for values in ([p.first for p in found], [p.median for p in found], lasts))
    cells = [f"{found[0].bytes / 1000:.1f}", *(f"{value:.3f}" for value in middles)]
    return [
        "| from a publish until a client has it | message, kB | first s | median s | last s | last, min-max s |",
        "|---|---|---|---|---|---|",
        f"| medians of the publishes | {' | '.join(cells)} | {min(lasts):.3f}-{max(lasts):.3f} |",
        "",
    ]


def _in_time(load: Load, tables: Sequence[Answered], cached: Answered, cold: Answered) -> list[Reach]:
    slowest = max(tables, key=lambda each: each.p99)
    return [
        _within(f"whole tables at {load.rate:g} a second, one core: p99 under {P99_MS} ms", slowest, P99_MS),
        _within(f"everything at once, kept: p99 under {CACHED_MS} ms", cached, CACHED_MS),
        _within(f"everything at once, cold: p99 under {COLD_MS} ms", cold, COLD_MS),
    ]


def _fast(found: Sequence[tuple[float, float]]) -> Reach:
    speed = statistics.median(megabytes / seconds for megabytes, seconds in found)
    return Reach(f"an Arrow stream: {MB_PER_SECOND} MB/s", f"{speed:.0f} MB/s", met=speed >= MB_PER_SECOND)


def _to_all(load: Load, found: Sequence[Pushed], peak: float) -> list[Reach]:
    last = max(each.last for each in found)
    asked = f"{load.clients:,} clients have what is new within {PUSH_SECONDS:g} s"
    return [
        Reach(asked, f"{last:.2f} s", met=last <= PUSH_SECONDS),
        Reach(f"and the server under {MEMORY_MB} MB", f"{peak:.0f} MB", met=peak < MEMORY_MB),
    ]


def _within(asked: str, found: Answered, most: float) -> Reach:
    reached = f"{found.p99:.2f} ms, {found.errors} errors ({found.path.removeprefix(API)})"
    return Reach(asked, reached, met=found.p99 < most and not found.errors)


def _percentile(values: Sequence[float], share: float) -> float:
    """The exact percentile, by linear interpolation."""
    if not values:
        return math.nan
    ordered, at = sorted(values), share * (len(values) - 1)
    low, high = ordered[math.floor(at)], ordered[math.ceil(at)]
    return low + (high - low) * (at - math.floor(at))
