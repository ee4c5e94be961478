"""Our server as a process of its own on chosen cores: where it listens, and the memory that it took."""

from __future__ import annotations

import os
import re
import subprocess
import time
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from benchmarks.environments import tidemill
from benchmarks.measure import ContenderError

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator, Mapping
    from pathlib import Path

STARTS_WITHIN_SECONDS: Final = 60
ENDS_WITHIN_SECONDS: Final = 30
LOOK_SECONDS: Final = 0.05
_ADDRESS: Final = re.compile(r" on http://(\S+?) ")
_PEAK: Final = re.compile(r"VmHWM:\s+(\d+) kB")


@dataclass(frozen=True)
class Server:
    """A server that runs: its HTTP address, and its process."""

    address: str
    process: int

    @property
    def peak_mb(self) -> float:
        """Its peak resident memory so far, in millions of bytes."""
        with open(f"/proc/{self.process}/status", encoding="utf-8") as status:  # noqa: PTH123 - no file of anyone's
            return int(_PEAK.findall(status.read())[0]) * 1024 / 1e6


def cores() -> tuple[set[int], set[int], set[int]]:
    """All cores, that of a server, and that of who asks it: the same one, if there is no other."""
    present = sorted(os.sched_getaffinity(0))
    return set(present), {present[0]}, {present[-1]}


@contextmanager
def on(some: Collection[int]) -> Iterator[None]:
    """What is started in here runs on some cores alone."""
    before = os.sched_getaffinity(0)
    os.sched_setaffinity(0, some)
    try:
        yield
    finally:
        os.sched_setaffinity(0, before)


@contextmanager
def serving(
    home: Path, log: Path, some: Collection[int], environment: Mapping[str, str] | None = None
) -> Iterator[Server]:
    """Run a server over a home, on some cores, until the block ends; its access log goes to a file.

    Raises:
        ContenderError: it does not start, or does not end when it is told to.
    """
    command = tidemill(home, "serve", "--port", "0", "--grpc-port", "0")
    own = {**os.environ, **(environment or {})}
    own.pop("PYTHONDONTWRITEBYTECODE", None)
    with log.open("wb") as file, on(some):
        process = subprocess.Popen(command, env=own, stdin=subprocess.DEVNULL, stdout=file, stderr=file)
    try:
        yield Server(_listens(process, log), process.pid)
    finally:
        process.terminate()
        try:
            process.wait(ENDS_WITHIN_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
            raise ContenderError("the server does not end") from None


def _listens(process: subprocess.Popen[bytes], log: Path) -> str:
    until = time.monotonic() + STARTS_WITHIN_SECONDS
    while time.monotonic() < until and process.poll() is None:
        said = _ADDRESS.search(log.read_text(encoding="utf-8"))
        if said:
            return said[1]
        time.sleep(LOOK_SECONDS)
    raise ContenderError(f"the server does not start: {log.read_text(encoding='utf-8')[-300:]}")
