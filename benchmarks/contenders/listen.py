"""Many WebSocket clients of a server: when each of them has the first message of another as_of than before.

It says `connected` when every client has its first message. Moments are of the machine's monotonic clock, which all
processes share.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from pathlib import Path

AT_ONCE = 50
"""How many connect at the same time."""
PATIENCE_SECONDS = 60
AS_OF = b'"as_of":'
TEXT, CLOSE, PING = 1, 8, 9
REQUEST = (
    "GET /ws/analytics HTTP/1.1\r\nHost: {}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
)


class Client(asyncio.Protocol):
    """One client: what it had first, and when it had something else."""

    def __init__(self, request: bytes) -> None:
        self.request, self.got, self.is_open = request, bytearray(), False
        loop = asyncio.get_running_loop()
        self.first: asyncio.Future[bytes] = loop.create_future()
        self.changed: asyncio.Future[float] = loop.create_future()
        self.bytes = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Ask for a WebSocket."""
        assert isinstance(transport, asyncio.Transport)  # noqa: S101 - for the type checker
        self.transport = transport
        transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        """Take a part of a message."""
        self.got += data
        if not self.is_open:
            head, found, rest = self.got.partition(b"\r\n\r\n")
            if not found:
                return
            if b" 101 " not in head:
                raise SystemExit(bytes(head).decode())
            self.got, self.is_open = rest, True
        while (frame := self.frame()) is not None:
            self.take(*frame)

    def frame(self) -> tuple[int, bytes] | None:
        """The next frame's kind and load, if it is there as a whole; a server's is not masked."""
        more = {126: 2, 127: 8}.get(self.got[1], 0) if len(self.got) > 1 else 0
        start = 2 + more
        if len(self.got) < start:
            return None
        size = int.from_bytes(self.got[2:start], "big") if more else self.got[1]
        if len(self.got) < start + size:
            return None
        found = self.got[0] & 15, bytes(self.got[start : start + size])
        del self.got[: start + size]
        return found

    def take(self, kind: int, load: bytes) -> None:
        """Look whether a message is of another snapshot."""
        if kind == PING:
            self.transport.write(bytes([0x8A, 0x80 | len(load), 0, 0, 0, 0]) + load)
        elif kind == CLOSE:
            self.transport.close()
        elif kind == TEXT:
            moment = time.monotonic()
            as_of = load[load.rindex(AS_OF) :].split(b",")[0]
            if not self.first.done():
                self.bytes = len(load)
                self.first.set_result(as_of)
            elif as_of != self.first.result() and not self.changed.done():
                self.changed.set_result(moment)

    def connection_lost(self, error: Exception | None) -> None:
        """It gets nothing more."""
        for future in (self.first, self.changed):
            if not future.done():
                future.set_exception(error or ConnectionError("the server closed a WebSocket"))
                future.exception()


async def listen(address: str, count: int) -> dict[str, object]:
    """Connect so many clients, and wait until each has what is new."""
    host, _, port = address.partition(":")
    loop, few, request = asyncio.get_running_loop(), asyncio.Semaphore(AT_ONCE), REQUEST.format(address).encode()

    async def connected() -> Client:
        async with few:
            _, client = await loop.create_connection(lambda: Client(request), host, int(port))
            await client.first
            return client

    async with asyncio.timeout(PATIENCE_SECONDS):
        clients = await asyncio.gather(*(connected() for _ in range(count)))
        print("connected", flush=True)
        moments = await asyncio.gather(*(client.changed for client in clients))
    for client in clients:
        client.changed.cancel()
        client.transport.close()
    return {"moments": sorted(moments), "bytes": clients[0].bytes}


def main() -> None:
    """Listen as the arguments say."""
    address, count, target = sys.argv[1:]
    Path(target).write_text(json.dumps(asyncio.run(listen(address, int(count)))), encoding="utf-8")


if __name__ == "__main__":
    main()
