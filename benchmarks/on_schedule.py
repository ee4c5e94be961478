"""The pipeline as a Prefect flow against a running server, beside the command that does the same."""

from __future__ import annotations

import os
import socket
import subprocess
import sys
import time
from contextlib import closing, contextmanager, suppress
from functools import partial
from http import HTTPStatus
from http.client import HTTPConnection
from typing import TYPE_CHECKING, Final

from benchmarks import homes, report
from benchmarks.environments import ROOT, tidemill
from benchmarks.measure import Contender, ContenderError, measure
from benchmarks.report import Reach

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from benchmarks.measure import Timed
    from benchmarks.plan import Plan

TITLE: Final = "On a schedule"
SOURCES: Final = 10
MORE_SECONDS: Final = 3.0
SHARE: Final = 0.2
STARTS_WITHIN_SECONDS: Final = 120
FLOW: Final = """
import sys
from flows.pipeline import pipeline
found = pipeline(home=sys.argv[1], as_of="latest")
sys.exit(None if isinstance(found, dict) else str(found.message))
"""


def run(plan: Plan) -> list[str]:
    """Measure, and say it as lines of RESULTS.md."""
    home = plan.folder / "home"
    measure(tidemill(home, "simulate", "--events", str(plan.events), "--days", str(SOURCES)))
    (home / "tidemill.toml").write_text(_settings(home), encoding="utf-8")
    with _server(plan.folder / "prefect") as environment:
        command = tidemill(home, "run", "--as-of", "latest")
        flow = [sys.executable, "-c", FLOW, str(home)]
        new = [
            Contender("tidemill run, all new", [command], clear=partial(_clear, home)),
            Contender("the flow, all new", [flow], clear=partial(_clear, home), environment=environment),
        ]
        loaded = plan.compete(new)
        nothing = [
            Contender("tidemill run, nothing new", [command]),
            Contender("the flow, nothing new", [flow], environment=environment),
        ]
        fresh = plan.compete(nothing)
    found = [*loaded, *fresh]
    return [
        f"## {TITLE}: {SOURCES} sources, {plan.events:,} events",
        "",
        *report.times(found),
        "A flow is a Python process of its own, as a worker starts one, against a server that runs beside it.",
        "",
        *report.reaches([_share(loaded), _more(fresh)]),
        report.footer(found, plan.rounds),
    ]


def _settings(home: Path) -> str:
    """A source for the events of each day; the first has the jobs and metrics, too."""
    days = sorted((home / "raw").glob("events-*"))
    if len(days) != SOURCES:
        raise ContenderError(f"{len(days)} days were simulated where {SOURCES} were asked for")
    paths = [[f"raw/{day.name}"] for day in days]
    paths[0] += ["raw/jobs.jsonl", "raw/metrics.jsonl"]
    return "\n".join(f"[sources.day_{number}]\npath = {path!r}\n" for number, path in enumerate(paths))


def _clear(home: Path) -> None:
    for made in ("lake", "tables"):
        homes.clear(home / made)


@contextmanager
def _server(folder: Path) -> Iterator[dict[str, str]]:
    """Run a server; gives what a flow must know to find it."""
    folder.mkdir()
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    environment = {
        "PREFECT_HOME": str(folder),
        "PREFECT_API_URL": f"http://127.0.0.1:{port}/api",
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_FLOWS_HEARTBEAT_FREQUENCY": "30",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": str(ROOT),
    }
    command = [sys.executable, "-m", "prefect", "server", "start", "--host", "127.0.0.1", "--port", str(port)]
    quiet = subprocess.DEVNULL
    server = subprocess.Popen(command, env=os.environ | environment, cwd=folder, stdout=quiet, stderr=quiet)
    try:
        _wait(port)
        yield environment
    finally:
        server.terminate()
        server.wait()


def _wait(port: int) -> None:
    until = time.monotonic() + STARTS_WITHIN_SECONDS
    while time.monotonic() < until:
        with suppress(OSError), closing(HTTPConnection("127.0.0.1", port, timeout=5)) as connection:
            connection.request("GET", "/api/health")
            if connection.getresponse().status == HTTPStatus.OK:
                return
        time.sleep(0.5)
    raise ContenderError("Prefect's server does not start")


def _share(found: list[Timed]) -> Reach:
    ours, flow = found[0].wall, found[1].wall
    share = (flow - ours) / flow
    return Reach(f"orchestration: at most {SHARE:.0%} of a run with all new", f"{share:.0%}", met=share <= SHARE)


def _more(found: list[Timed]) -> Reach:
    more = found[1].wall - found[0].wall
    return Reach(f"nothing new: at most {MORE_SECONDS:g} s more", f"{more:.2f} s", met=more <= MORE_SECONDS)
