"""What is too large, too much, too slow or never ends is refused or ended; the server goes on."""

from __future__ import annotations

import json
import socket
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from typing import TYPE_CHECKING, Final

import pytest

from tests.homes import event
from tests.readers import servers

if TYPE_CHECKING:
    from collections.abc import Iterator

    import httpx

    from tests.readers.servers import Server

SETTINGS: Final = """
timeout_seconds = 0.6
max_rows = 2
max_request_bytes = 1000
max_requests = 6
cache_ttl = 0.3
sql = true
"""
HEAVY: Final = "SELECT count(*) FROM range(1000000000000)"
WIDE: Final = "SELECT repeat('x', 10000000) AS x"
"""One row that is more than two machines keep for each other while nobody reads."""
TABLES: Final = "/api/v1/tables"
LONG: Final = 20_000


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """A server with narrow limits, of which `sessions` has rows that are long."""
    folder = tmp_path_factory.mktemp("limits")
    many = [event(f"m{number}", "2026-02-10T10:00:00Z", session_id=f"{number:05}{'s' * LONG}") for number in range(400)]
    mill = servers.one(folder, *servers.RECORDS, *many, settings=SETTINGS)
    mill.build("sessions", as_of=servers.AS_OF)
    with servers.serving(mill) as started:
        yield started


@pytest.fixture(autouse=True)
def still_answers(server: Server) -> Iterator[None]:
    """After each of these tests."""
    yield
    assert servers.until(lambda: _is_alone(server))
    assert server.is_well()
    assert "Traceback" not in server.log


def _is_alone(server: Server) -> bool:
    """Whether the question is the only one that is being answered."""
    return "\ntidemill_http_requests_in_progress 1.0\n" in server.get("/metrics").text


def _detail(answer: httpx.Response, status: int) -> str:
    assert (answer.status_code, list(answer.json())) == (status, ["detail"]), answer.text
    detail = str(answer.json()["detail"])
    assert "\n" not in detail
    return detail


# Too large


def test_a_body_that_says_it_is_too_large_is_not_read(server: Server) -> None:
    """413, before a byte of it is taken."""
    detail = _detail(server.sql("x" * 1000), 413)
    assert detail == "the request is larger than 1,000 bytes"


def test_a_body_that_turns_out_too_large_is_refused(server: Server) -> None:
    """413, though it did not say so before."""
    parts = (b"x" * 300 for _ in range(10_000))
    answer = server.post("/api/v1/sql", content=parts, headers={"content-type": "application/json"})
    assert _detail(answer, 413) == "the request is larger than 1,000 bytes"


def test_one_as_large_as_may_be_is_taken(server: Server) -> None:
    """The limit itself is within the limit."""
    query = json.dumps({"query": "SELECT 1 AS n"}).encode()
    answer = server.post("/api/v1/sql", content=query.ljust(1000), headers={"content-type": "application/json"})
    assert answer.json() == [{"n": 1}]


@pytest.mark.parametrize("path", [f"{TABLES}/{'x' * 200_000}", f"{TABLES}?{'x' * 200_000}=1"])
def test_an_address_that_never_ends_is_refused(server: Server, path: str) -> None:
    """By what reads HTTP, before a route sees it."""
    with closing(socket.create_connection(("127.0.0.1", server.port), 5)) as client:
        client.sendall(f"GET {path} HTTP/1.1\r\nhost: localhost\r\n\r\n".encode())
        assert client.recv(100).split()[1] in {b"400", b"404", b"414", b"431"}


# Too many rows


@pytest.mark.parametrize("query", [".csv", ".parquet", ".arrow", ".jsonl", "?format=csv&day__gte=2026-01-01"])
def test_a_table_of_too_many_rows_is_not_sent(server: Server, query: str) -> None:
    """422 says how many there are, and that pages go on."""
    detail = _detail(server.get(f"{TABLES}/activity_daily{query}"), 422)
    assert detail == "activity_daily has 3 such rows, and an answer at most 2; give a limit, and go on by the cursor"


def test_neither_is_a_page_of_too_many(server: Server) -> None:
    """422 says how long a page may be; one that nobody says the length of is that long."""
    assert _detail(server.get(f"{TABLES}/activity_daily?limit=3"), 422).startswith("limit is at most 2;")
    page = server.get(f"{TABLES}/activity_daily").json()
    assert (len(page["rows"]), page["total_rows"], bool(page["next_cursor"])) == (2, 3, True)
    assert server.get(f"{TABLES}/activity_daily.csv?limit=2").text.count("\n") == 3
    assert server.get(f"{TABLES}/activity_daily.csv?day__gt=2026-02-10").text.count("\n") == 3


def test_a_query_of_too_many_rows_is_refused(server: Server) -> None:
    """422 says what to do; as many as there may be are sent."""
    assert _detail(server.sql("FROM range(3)"), 422) == "the query returns more than 2 rows; add a LIMIT"
    assert server.sql("FROM range(1000000000000) LIMIT 2").json() == [{"range": 0}, {"range": 1}]


# Too slow


def test_what_takes_too_long_is_ended(server: Server) -> None:
    """504 in about the time that there is."""
    began = time.monotonic()
    detail = _detail(server.sql(HEAVY), 504)
    assert "too long" in detail or "took longer" in detail
    assert "timeout_seconds" in detail
    assert time.monotonic() - began < 3


def test_many_slow_queries_hold_up_nobody(server: Server) -> None:
    """Half of `max_requests` may wait for SQL. The others are told 429, and a table is answered meanwhile."""
    with ThreadPoolExecutor(6) as threads:
        for _ in range(3):
            slow = [threads.submit(server.sql, HEAVY) for _ in range(6)]
            while not all(one.done() for one in slow):
                assert server.get(f"{TABLES}/activity_daily").status_code in {200, 429}
            assert {one.result().status_code for one in slow} == {429, 504}
    assert servers.until(lambda: server.sql("SELECT 1 AS n").status_code == 200)


# Too many at once


def test_too_many_at_once_are_refused(server: Server) -> None:
    """429 says when to ask again; whether the server is well is told even then."""
    head = (
        b"POST /api/v1/sql HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\ncontent-length: 9\r\n\r\n"
    )
    with ExitStack() as clients:
        for _ in range(6):
            clients.enter_context(closing(_asked(server, head)))
        answer = servers.until(lambda: full if (full := server.get(f"{TABLES}/activity_daily")).is_error else None)
        assert answer
        assert _detail(answer, 429) == "6 requests are being answered; ask again in a second"
        assert answer.headers["retry-after"] == "1"
        assert server.get("/healthz").status_code == 200


def test_equal_questions_at_once_are_answered_once(server: Server) -> None:
    """All are told when that one answer was made; after cache_ttl there is another."""
    path = "/api/v1/analytics/advanced"
    with ThreadPoolExecutor(6) as threads:
        answers = list(threads.map(lambda _: server.get(path), range(6)))
    assert {answer.status_code for answer in answers} == {200}
    (made,) = {answer.json()["generated_at"] for answer in answers}
    time.sleep(0.35)
    assert server.get(path).json()["generated_at"] > made


# Never ends


def _asked(server: Server, request: bytes) -> socket.socket:
    """A client that has asked, and takes almost nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", server.port))
    client.sendall(request)
    return client


def _query(text: str, form: str) -> bytes:
    body = json.dumps({"query": text}).encode()
    head = f"POST /api/v1/sql?format={form} HTTP/1.1\r\nhost: localhost\r\ncontent-type: application/json\r\n"
    return f"{head}content-length: {len(body)}\r\n\r\n".encode() + body


NEVER_TAKEN: Final = {
    "stream": f"GET {TABLES}/sessions.arrow?limit=2&columns=session_id HTTP/1.1\r\nhost: localhost\r\n\r\n".encode(),
    "arrow": _query(WIDE, "arrow"),
    "csv": _query(WIDE, "csv"),
    "json": _query(WIDE, "json"),
}


@pytest.mark.parametrize("kind", NEVER_TAKEN)
def test_a_client_that_stops_reading_makes_room(server: Server, kind: str) -> None:
    """As many as may ask at once, and after timeout_seconds others are answered."""
    with ExitStack() as clients:
        for _ in range(6):
            clients.enter_context(closing(_asked(server, NEVER_TAKEN[kind])))
        assert servers.until(server.is_well, 5)


def test_a_client_that_stops_asking_makes_room(server: Server) -> None:
    """One that never ends its request is told so; one that never ends its head is in nobody's way."""
    with ExitStack() as clients:
        begun = [clients.enter_context(closing(_asked(server, _query("SELECT 1", "csv")[:-5]))) for _ in range(6)]
        for _ in range(20):
            clients.enter_context(closing(_asked(server, b"GET /api/v1/tables HTTP/1.1\r\nhost")))
        assert servers.until(server.is_well, 5)
        begun[0].settimeout(5)
        assert begun[0].recv(4096).startswith(b"HTTP/1.1 408 ")


def test_a_client_that_goes_away_leaves_nothing(server: Server) -> None:
    """In the middle of an answer, or before it."""
    for number in range(20):
        with closing(_asked(server, NEVER_TAKEN[["stream", "csv"][number % 2]])) as client:
            if number % 4 > 1:
                client.recv(1000)
    assert servers.until(server.is_well)


@pytest.mark.parametrize(
    "request_",
    [
        b"\r\n\r\n",
        b"\x16\x03\x01\x02\x00",
        b"GET",
        b"BREW /x HTTP/1.1\r\n\r\n",
        b"GET / HTTP/9.9\r\n\r\n",
        b"\x00" * 70_000,
    ],
)
def test_what_is_no_http_is_no_matter(server: Server, request_: bytes) -> None:
    """It is refused, or waited for; it harms nobody."""
    with closing(_asked(server, request_)):
        assert servers.until(server.is_well)
