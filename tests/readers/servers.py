"""The server as it is started: a process of its own on free ports, which a signal ends."""

from __future__ import annotations

import os
import re
import signal
import subprocess
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, TypeVar

import httpx

from tests.homes import event, home, job, simulated, tm
from tidemill import Tidemill

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import pytest

    from tests.homes import Record

T = TypeVar("T")
SECONDS: Final = 20.0
"""How long anything is waited for that takes a moment."""
AS_OF: Final = "2026-03-01T00:00:00+00:00"
FEW: Final = "activity_daily"
"""The table of homes that need but one."""
RECORDS: Final[tuple[Record, ...]] = (
    event("e1", "2026-02-10T10:00:00Z", session_id="s1", user_id="u1", duration_ms=10.5),
    event("e2", "2026-02-11T10:00:00Z", session_id="s1", user_id="u1"),
    event("e3", "2026-02-12T10:00:00Z", session_id="s2", user_id="u2"),
    job("j1", "2026-02-10T09:00:00Z", user_id="u1", workflow_id="w1"),
)
_LISTENS: Final = re.compile(r"^serving .* on (http://\S+) \(see \S+\), gRPC on (\S+); Ctrl-C ends it$", re.MULTILINE)


@dataclass
class Server:
    """A server that runs, and a client of it."""

    process: subprocess.Popen[bytes]
    file: Path
    http: str = ""
    grpc: str = ""
    client: httpx.Client = field(default_factory=lambda: httpx.Client(timeout=SECONDS, trust_env=False))

    @property
    def log(self) -> str:
        """What it has written to standard error so far."""
        return self.file.read_text()

    @property
    def port(self) -> int:
        """The port of HTTP."""
        return int(self.http.rpartition(":")[2])

    @property
    def ws(self) -> str:
        """Where its WebSocket is."""
        return f"{self.http.replace('http', 'ws', 1)}/ws/analytics"

    def get(self, path: str, **options: Any) -> httpx.Response:
        """What it answers."""
        return self.client.get(self.http + path, **options)

    def post(self, path: str, **options: Any) -> httpx.Response:
        """What it answers."""
        return self.client.post(self.http + path, **options)

    def sql(self, query: str, **options: Any) -> httpx.Response:
        """What it answers to SQL."""
        return self.post("/api/v1/sql", json={"query": query}, **options)

    def is_well(self) -> bool:
        """Whether it still answers, from the newest snapshot."""
        return self.get("/readyz").status_code == 200 and self.get(f"/api/v1/tables/{FEW}").status_code == 200

    def figures(self) -> dict[str, float]:
        """What it counts, each by its name and labels as Prometheus reads them."""
        lines = self.get("/metrics").text.splitlines()
        return {name: float(value) for name, _, value in (line.rpartition(" ") for line in lines if line[0] != "#")}

    def says(self, pattern: str) -> str:
        """The first part of its log that is like that, waited for."""
        return until(lambda: found.group() if (found := re.search(pattern, self.log, re.MULTILINE)) else "")

    def end(self) -> int:
        """Tell it to end, and wait until it has; its exit code."""
        self.process.send_signal(signal.SIGTERM)
        return self.process.wait(SECONDS)


@contextmanager
def serving(mill: Tidemill, *options: object, environment: dict[str, str] | None = None) -> Iterator[Server]:
    """A server of a home on free ports; it ends with exit code 0 when it is told to."""
    named = {name: value for name, value in os.environ.items() if not name.startswith("TIDEMILL_")}
    file = mill.home.path / f"serve-{time.monotonic_ns()}.log"
    ports = [] if "--port" in options else ["--port", "0"]
    with file.open("wb") as log:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tidemill", "--home", str(mill.home.path)),
                *("serve", *ports, "--grpc-port", "0", *map(str, options)),
            ],
            stdout=subprocess.DEVNULL,
            stderr=log,
            env=named | (environment or {}),
        )
    server = Server(process, file)
    try:
        where = until(lambda: _LISTENS.search(server.log) or process.poll() is not None)
        assert isinstance(where, re.Match), server.log
        server.http, server.grpc = where.groups()
        yield server
        assert process.poll() is not None or server.end() == 0, server.log
    finally:
        server.client.close()
        if process.poll() is None:
            process.kill()
            process.wait()


def until(found: Callable[[], T], seconds: float = SECONDS) -> T:
    """What is found once it is something, or at last."""
    end = time.monotonic() + seconds
    while not (value := found()) and time.monotonic() < end:
        time.sleep(0.01)
    return value


def small(tmp_path_factory: pytest.TempPathFactory) -> Tidemill:
    """A home of every table, with something in each family; it is made once and must stay as it is."""
    folder = tmp_path_factory.getbasetemp() / "served"
    if folder.exists():
        return Tidemill(folder / "home")
    folder.mkdir()
    mill = simulated(folder, events=300, days=20, seed=1)
    mill.build(as_of=AS_OF)
    return mill


def one(folder: Path, *records: Record, settings: str = "") -> Tidemill:
    """A home of one table."""
    mill = home(folder, *(records or RECORDS), settings=f"[serve]\n{settings}\n")
    mill.build(FEW, as_of=AS_OF)
    return mill


def refused(mill: Tidemill, *options: object, environment: dict[str, str] | None = None) -> str:
    """Why a server does not even begin, in one line; it is a matter of usage."""
    said = tm("serve", "--port", "0", "--grpc-port", "0", *options, at=mill, environment=environment)
    assert said.code == 2, said.err
    return said.fault
