"""WebSocket clients: each gets the newest figures at once, at every publish, and every few seconds; none is awaited."""

from __future__ import annotations

import asyncio
import logging
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from starlette.websockets import WebSocket, WebSocketDisconnect

from tidemill.errors import TidemillError

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable

    from tidemill.server.metrics import Measures

log: Final = logging.getLogger("uvicorn.error")
TYPE: Final = "ADVANCED_ANALYTICS_STATS"
LOOK_SECONDS: Final = 0.1
"""How often it is looked whether there is a new snapshot."""
PATIENCE_SECONDS: Final = 1.0
"""How long a message may wait for a client that takes it, at least; publishes may come faster."""
TRY_AGAIN: Final = 1013
POLICY: Final = 1008
GOING_AWAY: Final = 1001


class Client:
    """One WebSocket: a message is sent when the one before is on its way; of several that wait the newest stands."""

    def __init__(self, websocket: WebSocket) -> None:
        self.websocket = websocket
        self.listening = asyncio.create_task(self._listen())
        self.sending: asyncio.Task[None] | None = None
        self.waiting: str | None = None
        self.since = 0.0

    @property
    def is_slow(self) -> bool:
        """Whether it has long not taken a message."""
        return self._is_busy and asyncio.get_running_loop().time() - self.since > PATIENCE_SECONDS

    @property
    def _is_busy(self) -> bool:
        return self.sending is not None and not self.sending.done()

    def send(self, message: str) -> None:
        """Send a message as soon as it has taken the one before."""
        self.waiting = message
        if not self._is_busy:
            self.since = asyncio.get_running_loop().time()
            self.sending = asyncio.create_task(self._send())

    async def _listen(self) -> None:
        """Hear nothing but that it goes."""
        with suppress(WebSocketDisconnect, RuntimeError):
            while True:
                await self.websocket.receive()

    async def _send(self) -> None:
        with suppress(WebSocketDisconnect, RuntimeError):  # it is gone: its own loop sees that
            while self.waiting is not None:
                message, self.waiting = self.waiting, None
                self.since = asyncio.get_running_loop().time()
                await self.websocket.send_text(message)


class Live:
    """All clients of a server, and the task that sends to them.

    `newest` gives a message of the newest snapshot's figures, `pointed` that snapshot's name.
    """

    def __init__(
        self,
        newest: Callable[[], Awaitable[str]],
        pointed: Callable[[], str],
        measures: Measures,
        *,
        push_seconds: float,
        most: int,
    ) -> None:
        self._newest, self._pointed, self._measures = newest, pointed, measures
        self._push_seconds, self._most = push_seconds, most
        self._clients: set[Client] = set()
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to send; does nothing if it has begun."""
        if self._task is None or self._task.done():
            self._task = asyncio.create_task(self._run())

    async def stop(self) -> None:
        """Send no more, and let all clients go; does nothing if that is done."""
        task, self._task = self._task, None
        if task:
            task.cancel()
            with suppress(asyncio.CancelledError):
                await task
        await asyncio.gather(*(self._drop(client, GOING_AWAY) for client in list(self._clients)))

    async def serve(self, websocket: WebSocket) -> None:
        """Stay with one client until it goes."""
        await websocket.accept()
        if len(self._clients) >= self._most:
            await websocket.close(TRY_AGAIN, f"{self._most} clients are connected; try again later")
            return
        client = Client(websocket)
        self._clients.add(client)
        self._measures.websockets.set(len(self._clients))
        try:
            with suppress(TidemillError, TimeoutError):  # it is sent when there is something
                client.send(await self._newest())
            await asyncio.wait((client.listening,))
        finally:
            client.listening.cancel()
            self._leave(client)

    async def _run(self) -> None:
        sent, due = "", 0.0
        clock = asyncio.get_running_loop().time
        while True:
            await asyncio.sleep(LOOK_SECONDS)
            newest = self._pointed()
            if not newest or (newest == sent and clock() < due):
                continue
            sent, due = newest, clock() + self._push_seconds
            try:
                await self._send(await self._newest())
            except (TidemillError, TimeoutError) as error:
                log.warning("nothing is sent to WebSocket clients: %s", error)
            except Exception:  # whatever it is, the next snapshot may be well
                log.exception("nothing is sent to WebSocket clients")

    async def _send(self, message: str) -> None:
        """Send to all; who has long not taken what was sent before is dropped."""
        for number, client in enumerate(list(self._clients)):
            if client.is_slow:
                self._measures.dropped.inc()
                asyncio.create_task(self._drop(client, POLICY))  # noqa: RUF006 - it ends by itself
                self._leave(client)
            else:
                client.send(message)
            if number % 50 == 49:  # noqa: PLR2004 - others may have their turn
                await asyncio.sleep(0)

    async def _drop(self, client: Client, code: int) -> None:
        self._leave(client)
        with suppress(WebSocketDisconnect, RuntimeError, TimeoutError):
            async with asyncio.timeout(1):
                await client.websocket.close(code)
        client.listening.cancel()  # so it is let go, though it may not have taken that
        if client.sending:
            client.sending.cancel()

    def _leave(self, client: Client) -> None:
        self._clients.discard(client)
        self._measures.websockets.set(len(self._clients))
