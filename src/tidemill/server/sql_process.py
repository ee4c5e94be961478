"""The server's side of users' SQL: one child process, killed at the deadline and started again."""

from __future__ import annotations

import asyncio
import json
import logging
import os
import signal
import sys
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from starlette.exceptions import HTTPException

from tidemill.errors import TidemillError, UsageError
from tidemill.home import staging_dir
from tidemill.server import bodies
from tidemill.server.sql_worker import ERRORS

if TYPE_CHECKING:
    from tidemill.config.settings import Serve
    from tidemill.home.home import Home
    from tidemill.server.sql_worker import Question

WORKER: Final = "tidemill.server.sql_worker"
MOST_WAITING: Final = 8
"""Questions in line, the running one included. Others are answered 429, so that SQL leaves room for dashboards."""
log: Final = logging.getLogger("tidemill.sql")


class SqlProcess:
    """A child process that runs one SELECT at a time."""

    def __init__(self, home: Home, settings: Serve) -> None:
        self._home = home
        self._settings = settings
        self._most_waiting = max(1, min(MOST_WAITING, settings.max_requests // 2))
        self._waiting = 0
        self._turn = asyncio.Lock()
        self._process: asyncio.subprocess.Process | None = None
        self._is_stopped = False

    async def start(self) -> None:
        """Start the process, so that the first question need not wait for it."""
        async with self._turn:
            await self._running()

    def stop(self) -> None:
        """Kill the process at once, whatever it runs, and start no other."""
        self._is_stopped = True
        self._kill()

    async def run(self, snapshot: str, query: str, form: str) -> bodies.Made:
        """Return a file with the rows of one SELECT over a snapshot.

        Raises:
            TimeoutError: it took longer than `serve.timeout_seconds`, its wait for the others included.
            HTTPException: too many wait already.
            UsageError: it is no SELECT, returns too many rows, or ended the process.
            TidemillError: it failed, or the server is stopping.
        """
        if self._waiting >= self._most_waiting:
            why = f"{self._waiting} SQL queries are waiting or running; ask again in a second"
            raise HTTPException(429, why, {"Retry-After": "1"})
        made = bodies.place(form)
        asked: Question = {
            "snapshot": snapshot,
            "query": query,
            "format": form,
            "path": str(made.path),
            "max_rows": self._settings.max_rows,
        }
        self._waiting += 1
        try:
            async with asyncio.timeout(self._settings.timeout_seconds), self._turn:
                answer = await self._ask(json.dumps(asked).encode())
        finally:
            self._waiting -= 1
        if kind := answer.get("error"):
            raise ERRORS[kind](answer["message"])
        return made

    async def _ask(self, question: bytes) -> dict[str, str]:
        """Send a question to the process, and return its answer."""
        process = await self._running()
        if process.stdin is None or process.stdout is None:
            raise TypeError(process)
        line = b""
        try:
            # A process that just died closes its pipes: then there is no answer.
            with suppress(ConnectionError):
                process.stdin.write(question + b"\n")
                await process.stdin.drain()
                line = await process.stdout.readline()
        except BaseException:
            if not self._is_stopped:
                log.warning("SQL took longer than serve.timeout_seconds: its process is killed and started again")
            await self._restart()
            raise
        if line.endswith(b"\n"):
            answer: dict[str, str] = json.loads(line)
            return answer
        code = await process.wait()
        await self._restart()
        raise self._death(code)

    def _death(self, code: int) -> TidemillError:
        """Say why the process ended without an answer."""
        if self._is_stopped:
            return TidemillError("the server is stopping; ask it again when it is back")
        if code >= 0:
            return TidemillError("the process that runs SQL cannot work; the server's log says why")
        name = signal.Signals(-code).name
        log.warning("SQL ended its process (%s): it is started again", name)
        return UsageError(f"the query cannot be run: it ended the process that runs SQL ({name}); write it otherwise")

    async def _running(self) -> asyncio.subprocess.Process:
        """Return the process, started anew if it has ended."""
        if self._is_stopped:
            raise self._death(0)
        if self._process is None or self._process.returncode is not None:
            self._process = await asyncio.create_subprocess_exec(
                *(sys.executable, "-P", "-m", WORKER, str(self._home.path), str(self._settings.timeout_seconds)),
                stdin=asyncio.subprocess.PIPE,
                stdout=asyncio.subprocess.PIPE,
                # It imports what the server imported, from the same folders.
                env=os.environ | {"PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
                # Ctrl-C in a terminal is for the server alone.
                start_new_session=True,
            )
        return self._process

    async def _restart(self) -> None:
        """Kill the process, remove what it left on the disk, and start another."""
        if process := self._process:
            self._kill()
            await process.wait()
            staging_dir.remove_spill(self._home, process.pid)
        if not self._is_stopped:
            await self._running()

    def _kill(self) -> None:
        if self._process and self._process.returncode is None:
            with suppress(ProcessLookupError):
                os.kill(self._process.pid, signal.SIGKILL)
