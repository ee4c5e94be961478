"""Ask a server over HTTP at a fixed rate, and write how long each answer took from when it was due to be asked for.

An open loop: a request is due whether or not those before it are answered; one that finds no connection free waits,
and that counts. Without a rate each request follows the answer before. The loop spins between requests, for a timer of
the event loop may be a millisecond late: it needs a core of its own.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
import time
from collections import deque
from contextlib import suppress
from http.client import HTTPConnection
from pathlib import Path

CONNECTIONS = 32
PATIENCE_SECONDS = 30
SPIN_SECONDS = 0.005
"""What is due so soon is not slept for."""
OK = 200
now = time.perf_counter


class Asked:
    """What became of the requests, and those that wait for a connection."""

    def __init__(self) -> None:
        self.free: deque[Connection] = deque()
        self.waiting: deque[float] = deque()
        self.seconds: list[float] = []
        self.errors = 0
        self.wanted = CONNECTIONS
        self.all = asyncio.Event()

    def ended(self, *, well: bool) -> None:
        """Count a request that is over."""
        self.errors += not well
        self.wanted -= 1
        if not self.wanted:
            self.all.set()

    def begin(self, count: int) -> None:
        """Forget what was, and want so many."""
        self.seconds.clear()
        self.all.clear()
        self.wanted = count

    def ask(self, due: float) -> None:
        """Ask on the connection that has been free for longest, or when one is."""
        if self.free:
            self.free.popleft().ask(due)
        else:
            self.waiting.append(due)

    def is_free(self, connection: Connection) -> None:
        """Give a connection its next request."""
        if self.waiting:
            connection.ask(self.waiting.popleft())
        else:
            self.free.append(connection)


class Connection(asyncio.Protocol):
    """A connection that stays open, with one request at a time."""

    def __init__(self, asked: Asked, request: bytes) -> None:
        self.asked, self.request = asked, request
        self.got = bytearray()
        self.due: float | None = None
        self.transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Be free for a request."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self.transport = transport
        self.asked.is_free(self)

    def ask(self, due: float) -> None:
        """Ask for what was due at a moment."""
        self.due = due
        assert self.transport  # noqa: S101
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Take a part of an answer."""
        self.got += data
        head, found, body = self.got.partition(b"\r\n\r\n")
        if not found or self.due is None:
            return
        length = int(head.lower().partition(b"content-length: ")[2].split(b"\r\n", 1)[0])
        if len(body) < length:
            return
        self.asked.seconds.append(now() - self.due)
        self.got.clear()
        self.due = None
        self.asked.ended(well=int(head[9:12]) == OK)
        self.asked.is_free(self)

    def connection_lost(self, _error: Exception | None) -> None:
        """Ask no more here."""
        if self in self.asked.free:
            self.asked.free.remove(self)
        if self.due is not None:
            self.asked.ended(well=False)


async def at_rate(host: str, port: int, request: bytes, rate: float, count: int) -> dict[str, object]:
    """Ask so often at a rate, after each connection has been used once."""
    asked, loop = Asked(), asyncio.get_running_loop()
    for _ in range(CONNECTIONS):
        await loop.create_connection(lambda: Connection(asked, request), host, port)
    for _ in range(CONNECTIONS):
        asked.ask(now())
    async with asyncio.timeout(PATIENCE_SECONDS):
        await asked.all.wait()
    asked.begin(count)
    gc.collect()
    gc.disable()
    late, begun = [], now() + 0.1
    for number in range(count):
        due = begun + number / rate
        while (left := due - now()) > 0:  # noqa: ASYNC110 - it is waited for a moment
            await asyncio.sleep(max(0, left - SPIN_SECONDS))
        asked.ask(due)
        late.append(now() - due)
    with suppress(TimeoutError):
        async with asyncio.timeout(PATIENCE_SECONDS):
            await asked.all.wait()
    return {"seconds": asked.seconds, "late": late, "errors": asked.errors + asked.wanted}


def in_turn(host: str, port: int, path: str, count: int) -> dict[str, object]:
    """Ask so often, each time when the answer before is there, after one that is not counted."""
    connection, seconds, errors = HTTPConnection(host, port, timeout=PATIENCE_SECONDS), [], 0
    for _ in range(count + 1):
        due = now()
        connection.request("GET", path)
        answer = connection.getresponse()
        answer.read()
        seconds.append(now() - due)
        errors += answer.status != OK
    return {"seconds": seconds[1:], "late": [0.0], "errors": errors}


def main() -> None:
    """Ask as the arguments say."""
    address, path, rate, count, target = sys.argv[1:]
    host, _, port = address.partition(":")
    request = f"GET {path} HTTP/1.1\r\nHost: {address}\r\nAccept: application/json\r\n\r\n".encode()
    if float(rate):
        found = asyncio.run(at_rate(host, int(port), request, float(rate), int(count)))
    else:
        found = in_turn(host, int(port), path, int(count))
    Path(target).write_text(json.dumps(found), encoding="utf-8")


if __name__ == "__main__":
    main()
