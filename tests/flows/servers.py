"""A Prefect server and worker of a test's own, on a free port."""

from __future__ import annotations

import json
import os
import re
import shlex
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
PATIENCE_SECONDS = 150.0


def readme(section: str) -> list[list[str]]:
    """Return the arguments of each `prefect` command in the first block of a section of the README."""
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    found = re.search(rf"^## {section}\n\n```\n(.*?)^```", text, re.MULTILINE | re.DOTALL)
    assert found
    lines = [shlex.split(line.removesuffix(" &")) for line in found[1].splitlines()]
    return [words[1:] for words in lines if words[0] == ".venv/bin/prefect"]


@dataclass
class Prefect:
    """A server, and the commands and requests that reach it."""

    folder: Path
    port: int
    deployments: dict[str, str] = field(default_factory=dict)

    @classmethod
    def within(cls, folder: Path) -> Prefect:
        """Choose a free port."""
        with socket.socket() as free:
            free.bind(("127.0.0.1", 0))
            return cls(folder, free.getsockname()[1])

    @property
    def environment(self) -> dict[str, str]:
        """Return the environment of its commands."""
        return os.environ | {
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            "PREFECT_SERVER_API_PORT": str(self.port),
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "DO_NOT_TRACK": "1",
        }

    def run(self, *arguments: str) -> str:
        """Run a command from the checkout, and return its output."""
        command = [sys.executable, "-m", "prefect", *arguments]
        done = subprocess.run(
            command,
            cwd=ROOT,
            env=self.environment,
            stdin=subprocess.DEVNULL,
            capture_output=True,
            text=True,
            check=False,
            timeout=120,
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def going(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Keep a server or a worker running; its output goes to a log that is named after it."""
        command = [sys.executable, "-m", "prefect", *arguments]
        with self.log(arguments[0]).open("ab") as log:
            started = subprocess.Popen(
                command, cwd=self.folder, env=self.environment | environment, stdout=log, stderr=log
            )
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(30)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()

    def log(self, which: str) -> Path:
        """Return the file with the output of the server or the workers."""
        return self.folder / f"{which}.log"

    def ask(self, path: str, body: object = None) -> Any:
        """Send a POST if there is a body, else a GET, and return the answer once the server is free to give it."""
        method = "GET" if body is None else "POST"

        def answered() -> tuple[bytes] | None:
            with closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
                connection.request(method, f"/api/{path}", json.dumps(body), {"content-type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
            assert answer.status < HTTPStatus.BAD_REQUEST or answer.status == HTTPStatus.SERVICE_UNAVAILABLE, text
            return None if answer.status == HTTPStatus.SERVICE_UNAVAILABLE else (text,)

        (text,) = wait_for(answered)
        return json.loads(text) if text else None

    def pause(self) -> None:
        """Look the deployments up, and stop their schedules."""
        for flow in ("pipeline", "maintain", "backfill"):
            self.deployments[flow] = self.ask(f"deployments/name/{flow}/{flow}")["id"]
            self.ask(f"deployments/{self.deployments[flow]}/pause_deployment", {})

    def start(self, flow: str, **parameters: object) -> str:
        """Start a deployment, and return the run's id."""
        asked = {"parameters": parameters, "state": {"type": "SCHEDULED"}, "idempotency_key": uuid.uuid4().hex}
        return str(self.ask(f"deployments/{self.deployments[flow]}/create_flow_run", asked)["id"])

    def by_schedule(self, state: str) -> dict[str, Any] | None:
        """Return a run of the pipeline that the schedule started, once there is one in a state."""
        asked = {"flows": {"name": {"any_": ["pipeline"]}}, "flow_runs": {"state": {"type": {"any_": [state]}}}}
        return next((run for run in self.ask("flow_runs/filter", asked) if run["auto_scheduled"]), None)

    def assert_sound(self) -> None:
        """Fail at the first traceback of the server's: its page shows nothing of a scheduler that cannot schedule."""
        written = self.log("server").read_text()
        assert "Traceback" not in written, written[written.index("Traceback") :]

    def ended(self, run: str) -> dict[str, Any]:
        """Return a run once it has ended."""
        found: dict[str, Any] = wait_for(
            lambda: one if (one := self.ask(f"flow_runs/{run}"))["state_type"] in ENDED else None
        )
        return found

    def tasks(self, run: str) -> dict[str, dict[str, Any]]:
        """Return a run's tasks by name."""
        found = self.ask("task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
        return {task["name"]: task for task in found}

    def said(self, run: str) -> str:
        """Return the log of a run, as its page shows it."""
        asked = {"logs": {"flow_run_id": {"any_": [run]}}, "sort": "TIMESTAMP_ASC"}
        return "\n".join(line["message"] for line in self.ask("logs/filter", asked))

    def artifacts(self, run: str) -> dict[str, Any]:
        """Return a run's artifacts by key."""
        found = self.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
        return {artifact["key"]: artifact["data"] for artifact in found}

    def events(self, name: str, count: int) -> list[dict[str, Any]]:
        """Return the events of a name once there are so many: they take a moment to be stored."""
        asked = {"filter": {"event": {"name": [name]}}, "limit": 50}
        found: list[dict[str, Any]] = wait_for(
            lambda: events if len(events := self.ask("events/filter", asked)["events"]) >= count else None
        )
        return found

    def heartbeats(self, run: str) -> list[datetime]:
        """Return when a run sent its heartbeats, the newest first."""
        resource = {"id": [f"prefect.flow-run.{run}"]}
        asked = {"filter": {"event": {"name": ["prefect.flow-run.heartbeat"]}, "resource": resource}}
        return [datetime.fromisoformat(event["occurred"]) for event in self.ask("events/filter", asked)["events"]]

    def is_silent(self, run: str, silence: timedelta) -> bool:
        """Tell whether a run's newest heartbeat is older than a while."""
        return datetime.now(UTC) - self.heartbeats(run)[0] > silence


def wait_for(what: Callable[[], Any]) -> Any:
    """Return what a function gives, once it gives something."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            found = what()
        except OSError:  # the server is not there yet
            found = None
        if found:
            return found
        time.sleep(0.3)
    raise TimeoutError


def kill(*processes: subprocess.Popen[bytes]) -> None:
    """Kill processes and all that they started, as a power failure does."""
    doomed = [process.pid for process in processes]
    for pid in doomed:
        for children in Path("/proc").glob(f"{pid}/task/*/children"):
            doomed += map(int, children.read_text().split())
    for pid in doomed:
        os.kill(pid, signal.SIGKILL)
    for process in processes:
        process.wait()
