"""WebSocket clients are sent the newest figures: at once, at every publish, every few seconds; nobody waits for one."""

from __future__ import annotations

import asyncio
import json
import socket
import time
from contextlib import ExitStack, suppress
from typing import TYPE_CHECKING, Any, Final

import httpx
import pytest
import uvicorn
from fastapi import FastAPI, WebSocket
from websockets.exceptions import ConnectionClosed
from websockets.sync.client import connect

from tests.homes import event, feed, home
from tests.readers import servers
from tidemill.readers import assistants, snapshot
from tidemill.server.metrics import Measures
from tidemill.server.websockets import Live

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Iterator
    from pathlib import Path

    from websockets.sync.connection import Connection

    from tests.readers.servers import Server
    from tidemill import Tidemill

MOST: Final = 60
PUSH_SECONDS: Final = 0.3
LONG: Final = 3_000
CLIENTS: Final = "tidemill_websocket_clients"
CLOSE: Final = b"\x88\x02\x03\xf0"
"""The frame that says why: 1008."""
DROPPED: Final = "tidemill_websocket_dropped_total"


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Tidemill:
    """A home whose figures are long: of a hundred users with long names."""
    many = [
        event(f"r{number}", "2026-02-28T10:00:00Z", type="llm_request", user_id=f"{number:04}{'u' * LONG}")
        for number in range(100)
    ]
    mill = servers.one(
        tmp_path_factory.mktemp("live"),
        *servers.RECORDS,
        *many,
        settings=f"push_seconds = {PUSH_SECONDS}",
    )
    mill.build("user_usage", as_of=servers.AS_OF)
    return mill


@pytest.fixture(scope="module")
def server(mill: Tidemill) -> Iterator[Server]:
    """Its server, which sends often."""
    with servers.serving(mill) as started:
        yield started


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Tidemill, Server]]:
    """A home of one table, and a server of it that sends at once and at a publish, and else never."""
    mill = servers.one(tmp_path_factory.mktemp("calm"), settings=f"push_seconds = 3600\nmax_websockets = {MOST}")
    with servers.serving(mill) as started:
        yield mill, started


def _client(server: Server) -> Connection:
    return connect(server.ws, proxy=None, max_size=None, close_timeout=2, ping_interval=None)


def _all(clients: list[Connection]) -> list[dict[str, Any]]:
    """What each is sent until there is no more for a moment: the last of it."""
    found = [_figures(client) for client in clients]
    for number, client in enumerate(clients):
        with suppress(TimeoutError):
            while True:
                found[number] = _figures(client, 0.01 if number else 0.5)
    return found


def _figures(client: Connection, seconds: float = 5) -> dict[str, Any]:
    message = json.loads(client.recv(seconds))
    assert list(message) == ["type", "data"]
    assert message["type"] == "ADVANCED_ANALYTICS_STATS"
    return dict(message["data"])


def _publish(mill: Tidemill, key: str) -> None:
    feed(mill, event(key, "2026-02-13T10:00:00Z"))
    mill.build(servers.FEW, as_of=servers.AS_OF)


def test_a_client_is_sent_the_figures_at_once(server: Server, mill: Tidemill) -> None:
    """The same as the route answers, and the function."""
    began = time.monotonic()
    with _client(server) as client:
        found = _figures(client)
    assert time.monotonic() - began < 2
    expected = assistants.advanced(snapshot.newest(mill.home))
    assert json.dumps({**found, "generated_at": ""}) == json.dumps({**expected, "generated_at": ""})


def test_and_again_every_few_seconds(server: Server) -> None:
    """Published or not; what is kept for cache_ttl is the same."""
    with _client(server) as client:
        first, began = _figures(client), time.monotonic()
        for _ in range(4):
            assert _figures(client)["user_stats"] == first["user_stats"]
        assert PUSH_SECONDS * 2 < time.monotonic() - began < PUSH_SECONDS * 4 + 3


def test_a_publish_is_sent_within_a_second(calm: tuple[Tidemill, Server]) -> None:
    """To all who are connected, once; and nothing else is sent meanwhile."""
    mill, server = calm
    with ExitStack() as stack:
        clients = [stack.enter_context(_client(server)) for _ in range(5)]
        first = {figures["generated_at"] for figures in _all(clients)}
        for number in range(2):
            _publish(mill, f"p{number}")
            began = time.monotonic()
            (later,) = {_figures(client)["generated_at"] for client in clients}
            assert time.monotonic() - began < 1.5
            assert later > max(first)


def test_a_client_that_comes_before_a_publish_waits_for_it(tmp_path: Path) -> None:
    """It is connected, and is sent the figures when there are some."""
    mill = home(tmp_path, *servers.RECORDS)
    with servers.serving(mill) as server, _client(server) as client:
        with pytest.raises(TimeoutError):
            client.recv(0.3)
        mill.build(servers.FEW, as_of=servers.AS_OF)
        assert "user_stats" in _figures(client)


def test_fifty_clients_at_once_are_all_sent_to(calm: tuple[Tidemill, Server]) -> None:
    """At once and at a publish; each is counted while it is there."""
    mill, server = calm
    with ExitStack() as stack:
        clients = [stack.enter_context(_client(server)) for _ in range(50)]
        first = {figures["generated_at"] for figures in _all(clients)}
        assert server.figures()[CLIENTS] == 50
        _publish(mill, "fifty")
        began = time.monotonic()
        (later,) = {_figures(client)["generated_at"] for client in clients}
        assert time.monotonic() - began < 1.5
        assert later > max(first)
    assert servers.until(lambda: server.figures()[CLIENTS] == 0)


def test_more_than_may_be_are_told_to_come_again(calm: tuple[Tidemill, Server]) -> None:
    """By the code that says so; who leaves makes room."""
    _, server = calm
    assert servers.until(lambda: server.figures()[CLIENTS] == 0)
    with ExitStack() as stack:
        clients = [stack.enter_context(_client(server)) for _ in range(MOST)]
        assert servers.until(lambda: server.figures()[CLIENTS] == MOST)
        with _client(server) as more:
            assert _closed(more) == 1013
        clients[0].close()
        assert servers.until(lambda: server.figures()[CLIENTS] == MOST - 1)
        with _client(server) as another:
            assert _figures(another)


def _closed(client: Connection) -> int | None:
    """The code with which it is closed, after whatever it is sent before."""
    with suppress(ConnectionClosed):
        while True:
            client.recv(5)
    return client.close_code


def _never_reads(server: Server) -> socket.socket:
    """A client that takes part in the handshake, and then nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 17)
    client.connect(("127.0.0.1", server.port))
    client.sendall(
        b"GET /ws/analytics HTTP/1.1\r\nhost: localhost\r\nupgrade: websocket\r\nconnection: upgrade\r\n"
        b"sec-websocket-version: 13\r\nsec-websocket-key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
    )
    assert client.recv(12) == b"HTTP/1.1 101"
    return client


def test_a_client_that_does_not_read_is_dropped(server: Server) -> None:
    """Others are sent to in their time meanwhile; what it was sent before it may still take, and then it is let go."""
    before = server.figures()[DROPPED]
    with _client(server) as other, _never_reads(server) as slow:
        while server.figures()[DROPPED] == before:
            began = time.monotonic()
            _figures(other)
            assert time.monotonic() - began < PUSH_SECONDS + 2
        assert servers.until(lambda: server.figures()[CLIENTS] == 1)
        slow.settimeout(10)
        last = b""
        while last != CLOSE and (part := slow.recv(1 << 20)):
            last = (last + part)[-len(CLOSE) :]
        assert _figures(other)


def test_what_a_client_says_is_no_matter(server: Server) -> None:
    """Texts and bytes are not heard; what is too large is refused, and so is what is no WebSocket."""
    with _client(server) as client:
        client.send("hello")
        client.send(b"\x00" * 1000)
        client.send('{"type": "STOP"}')
        assert _figures(client)
        assert _figures(client)
        client.send("x" * (1 << 17))
        assert _closed(client) == 1009
    with _never_reads(server) as raw:
        raw.sendall(b"\xff" * 100)
    assert server.get("/ws/analytics").status_code == 404
    assert server.is_well()
    assert "Traceback" not in server.log


def test_clients_that_vanish_are_forgotten(server: Server) -> None:
    """Without a word, at any moment."""
    for _ in range(20):
        _never_reads(server).close()
    assert servers.until(lambda: server.figures()[CLIENTS] == 0)
    assert "Traceback" not in server.log


def test_the_end_of_the_server_is_told(tmp_path: Path) -> None:
    """A client learns that the server goes, and may come again when it is back."""
    with servers.serving(servers.one(tmp_path)) as server, _client(server) as client:
        _figures(client)
        assert server.end() == 0
        assert _closed(client) in {1001, 1012}


# The class itself


class Source:
    """Figures that a test changes."""

    def __init__(self) -> None:
        self.name, self.asked = "first", 0

    async def newest(self) -> str:
        """The snapshot's figures."""
        self.asked += 1
        return f"figures of {self.name}"

    def pointed(self) -> str:
        """The snapshot's name."""
        return self.name


def _alone(test: Callable[[Live, Source, str], Awaitable[None]], **options: Any) -> None:
    """Run a test beside a server of nothing but a `Live`, in one loop."""

    async def run() -> None:
        source = Source()
        live = Live(source.newest, source.pointed, Measures(), **({"push_seconds": 3600, "most": 10} | options))
        app = FastAPI()

        @app.websocket("/")
        async def route(websocket: WebSocket) -> None:
            await live.serve(websocket)

        with socket.socket() as sock:
            sock.bind(("127.0.0.1", 0))
            server = uvicorn.Server(uvicorn.Config(app, log_config=None, lifespan="off", ws="websockets-sansio"))
            serving = asyncio.create_task(server.serve([sock]))
            while not server.started:  # noqa: ASYNC110 - it tells nobody
                await asyncio.sleep(0.01)
            try:
                await test(live, source, f"ws://127.0.0.1:{sock.getsockname()[1]}/")
            finally:
                await live.stop()
                server.should_exit = True
                await serving

    asyncio.run(run())


def test_start_and_stop_may_be_said_again() -> None:
    """Two starts send once, two stops are one, and after a stop it may be started anew."""
    from websockets.asyncio.client import connect as connected

    async def test(live: Live, source: Source, url: str) -> None:
        await live.stop()
        for name in ("second", "third"):
            live.start()
            live.start()
            async with connected(url, proxy=None) as client:
                await asyncio.sleep(0.3)
                source.name = name
                await asyncio.sleep(0.5)
                await live.stop()
                await live.stop()
                received = [message async for message in client]
                assert received.count(f"figures of {name}") == 1
                assert client.close_code == 1001
        asked = source.asked
        source.name = "fourth"
        await asyncio.sleep(0.3)
        assert source.asked == asked

    _alone(test)


def test_a_failure_to_make_figures_ends_nothing() -> None:
    """What comes after it is sent."""
    from websockets.asyncio.client import connect as connected

    async def test(live: Live, source: Source, url: str) -> None:
        live.start()
        made, source.name = source.newest, "broken"

        async def fail() -> str:
            raise TimeoutError

        live._newest = fail  # noqa: SLF001 - figures that cannot be made
        async with connected(url, proxy=None) as client:
            await asyncio.sleep(0.3)
            live._newest, source.name = made, "mended"  # noqa: SLF001
            assert await asyncio.wait_for(client.recv(), 5) == "figures of mended"

    _alone(test, push_seconds=0.1)


def test_without_a_client_nothing_is_sent(server: Server) -> None:
    """And the server answers as ever."""
    assert servers.until(lambda: server.figures()[CLIENTS] == 0)
    assert httpx.get(f"{server.http}/readyz", trust_env=False).status_code == 200
