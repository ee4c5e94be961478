"""Who may ask the server: nobody from elsewhere, nobody without the token if there is one, no other site's page."""

from __future__ import annotations

import json
import socket
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from websockets.exceptions import InvalidStatus
from websockets.sync.client import connect

from tests.homes import home, tm
from tests.readers import servers
from tidemill.server import access
from tidemill.server import run as server_run

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.readers.servers import Server
    from tidemill import Tidemill

TOKEN: Final = "s3cret-Token_of-27-letters!"  # noqa: S105 - of this test
SITE: Final = "https://dash.example.org"
TABLES: Final = "/api/v1/tables"
WRONG: Final[dict[str, Any]] = {
    "none": {},
    "another": {"authorization": "Bearer another"},
    "longer": {"authorization": f"Bearer {TOKEN}x"},
    "shorter": {"authorization": f"Bearer {TOKEN[:-1]}"},
    "empty": {"authorization": "Bearer"},
    "bare": {"authorization": TOKEN},
    "basic": {"authorization": f"Basic {TOKEN}"},
    "letters": {"authorization": "Bearer tök€n".encode()},
    "twice": {"authorization": f"Bearer {TOKEN} {TOKEN}"},
    "elsewhere": {"x-token": TOKEN},
}


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Tidemill:
    """A home of one table."""
    return servers.one(tmp_path_factory.mktemp("access"), settings=f"cors_origins = ['{SITE}']")


@pytest.fixture(scope="module")
def server(mill: Tidemill) -> Iterator[Server]:
    """A server that wants a token; pages of one other site may ask it."""
    with servers.serving(mill, "--sql", environment={"TIDEMILL_TOKEN": TOKEN}) as started:
        yield started


@pytest.fixture(scope="module")
def open_server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Server]:
    """One that wants none, as it is by default."""
    with servers.serving(servers.one(tmp_path_factory.mktemp("open"))) as started:
        yield started


def _bearer(token: str) -> dict[str, str]:
    return {"authorization": f"Bearer {token}"}


# HTTP


@pytest.mark.parametrize("wrong", WRONG)
@pytest.mark.parametrize("path", [TABLES, f"{TABLES}/activity_daily.csv", "/metrics", "/openapi.json", "/nowhere"])
def test_without_the_token_nothing_is_answered(server: Server, wrong: str, path: str) -> None:
    """401 says what is needed, wherever it leads, and nothing else."""
    answer = server.get(path, headers=WRONG[wrong])
    assert (answer.status_code, answer.headers["www-authenticate"]) == (401, "Bearer")
    assert answer.json() == {"detail": "a valid token is needed: Authorization: Bearer TOKEN"}
    assert "tidemill-snapshot" not in answer.headers


def test_nor_is_it_as_a_parameter(server: Server) -> None:
    """An address is kept in histories and logs."""
    assert server.get(f"{TABLES}?token={TOKEN}").status_code == 401
    assert server.post(f"/api/v1/sql?token={TOKEN}", json={"query": "SELECT 1"}).status_code == 401


@pytest.mark.parametrize("scheme", ["Bearer", "bearer", "BEARER"])
def test_with_the_token_everything_is(server: Server, scheme: str) -> None:
    """However the scheme is spelled."""
    headers = {"authorization": f"{scheme} {TOKEN}"}
    for path in (TABLES, f"{TABLES}/activity_daily", "/metrics", "/openapi.json"):
        assert server.get(path, headers=headers).status_code == 200, path
    assert server.sql("SELECT 1 AS n", headers=headers).json() == [{"n": 1}]


def test_whether_the_server_is_well_is_told_to_all(server: Server) -> None:
    """Who looks after it needs no token."""
    assert (server.get("/healthz").status_code, server.get("/readyz").status_code) == (200, 200)


# WebSocket


@pytest.mark.parametrize("way", ["header", "parameter", "escaped"])
def test_a_websocket_takes_it_from_header_or_parameter(server: Server, way: str) -> None:
    """A browser can set no header there."""
    escaped = "".join(f"%{ord(letter):02x}" for letter in TOKEN)
    query = {"header": "", "parameter": f"?token={TOKEN}", "escaped": f"?x=1&token={escaped}"}[way]
    headers = _bearer(TOKEN) if way == "header" else {}
    with connect(server.ws + query, additional_headers=headers, proxy=None) as client:
        assert json.loads(client.recv(5))["type"] == "ADVANCED_ANALYTICS_STATS"


@pytest.mark.parametrize("query", ["", "?token=", "?token=another", f"?token={TOKEN}x", f"?Token={TOKEN}"])
@pytest.mark.parametrize("wrong", ["none", "another", "basic"])
def test_a_websocket_without_it_is_not_opened(server: Server, query: str, wrong: str) -> None:
    """403, and no figure."""
    with (
        pytest.raises(InvalidStatus) as found,
        connect(server.ws + query, additional_headers=WRONG[wrong], proxy=None),
    ):
        pass
    assert found.value.response.status_code == 403


# gRPC


@pytest.mark.parametrize(
    "metadata",
    [(), (("authorization", "Bearer another"),), (("authorization", TOKEN),), (("token", TOKEN),)],
    ids=["none", "another", "bare", "elsewhere"],
)
def test_grpc_without_it_is_refused(server: Server, metadata: tuple[tuple[str, str], ...]) -> None:
    """UNAUTHENTICATED, for reflection too; health is told to all."""
    with grpc.insecure_channel(server.grpc) as channel:
        call: Any = channel.unary_unary("/analytics.AnalyticsService/GetUserAnalytics")
        with pytest.raises(grpc.RpcError) as found:
            call(b"\x0a\x02u1", metadata=metadata, timeout=5)
        assert found.value.code() is grpc.StatusCode.UNAUTHENTICATED
        with pytest.raises(grpc.RpcError) as listed:
            list(_services(channel, metadata))
        assert listed.value.code() is grpc.StatusCode.UNAUTHENTICATED
        stub: Any = health_pb2_grpc.HealthStub(channel)
        health = stub.Check(health_pb2.HealthCheckRequest(), timeout=5)
        assert health.status == health_pb2.HealthCheckResponse.SERVING


def test_grpc_with_it_is_answered(server: Server) -> None:
    """Metadata carry it as a header does."""
    metadata = (("authorization", f"Bearer {TOKEN}"),)
    with grpc.insecure_channel(server.grpc) as channel:
        (found,) = _services(channel, metadata)
        assert "analytics.AnalyticsService" in {service.name for service in found.list_services_response.service}


def _services(channel: grpc.Channel, metadata: Any) -> Iterator[Any]:
    asked = reflection_pb2.ServerReflectionRequest(list_services="")
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    yield from stub.ServerReflectionInfo(iter([asked]), metadata=metadata, timeout=5)


# What is written down


def test_the_token_is_in_no_log(server: Server) -> None:
    """Neither as it came in a header nor in an address, escaped or not; what was asked is."""
    escaped = "".join(f"%{ord(letter):02X}" for letter in TOKEN)
    for given in (TOKEN, escaped):
        with connect(f"{server.ws}?token={given}", proxy=None) as client:
            client.recv(5)
        server.get(f"{TABLES}/activity_daily?limit=1&token={given}", headers=_bearer(TOKEN))
        server.get(f"{TABLES}?token={given}&token={given}x")
    server.says(r'"query": "token=%2A%2A%2A&token=%2A%2A%2A"')
    assert TOKEN not in server.log
    assert escaped not in server.log
    assert '"query": "limit=1&token=%2A%2A%2A"' in server.log


def test_each_request_is_a_line_of_the_access_log(server: Server) -> None:
    """JSON: when, what, how it was answered, of which snapshot, to whom; so are those that are refused."""
    server.get(f"{TABLES}/activity_daily?limit=2&day__gte=2026-01-01", headers=_bearer(TOKEN) | {"x": "log"})
    server.get("/nowhere%0Aelse")
    with pytest.raises(InvalidStatus), connect(f"{server.ws}?x=log", proxy=None):
        pass
    line = json.loads(server.says(r'^\{.*"query": "limit=2&day__gte=2026-01-01".*$'))
    snapshot = server.get("/readyz").json()["snapshot"]
    assert {name: line[name] for name in ("protocol", "method", "path", "status", "snapshot", "client")} == {
        "protocol": "http",
        "method": "GET",
        "path": f"{TABLES}/activity_daily",
        "status": 200,
        "snapshot": snapshot,
        "client": "127.0.0.1",
    }
    assert line["at"].endswith("Z")
    assert line["bytes"] > 100
    assert 0 < line["milliseconds"] < 5000
    refused = json.loads(server.says(r'^\{.*"/nowhere\\nelse".*$'))
    assert (refused["status"], refused["snapshot"]) == (401, "")
    assert json.loads(server.says(r'^\{.*"websocket".*"status": 403.*$'))["path"] == "/ws/analytics"


def test_prometheus_counts_what_was_asked(server: Server) -> None:
    """By method, route and status; any address that is none is one of those."""
    name = 'tidemill_http_requests_total{method="GET",route="%s",status="%d"}'
    table, none = name % ("/api/v1/tables/{name}", 200), name % ("none", 404)
    calls = 'tidemill_grpc_calls_total{code="UNAVAILABLE",method="GetUserAnalytics"}'
    server.client.headers.update(_bearer(TOKEN))
    try:
        before = server.figures()
        for number in range(3):
            server.get(f"{TABLES}/activity_daily?limit={number + 1}")
            server.get(f"/nowhere/{number}")
        with grpc.insecure_channel(server.grpc) as channel:
            call: Any = channel.unary_unary("/analytics.AnalyticsService/GetUserAnalytics")
            with pytest.raises(grpc.RpcError):
                call(b"\x0a\x02u1", metadata=(("authorization", f"Bearer {TOKEN}"),), timeout=5)
        after = server.figures()
        metrics = server.get("/metrics")
    finally:
        del server.client.headers["authorization"]
    assert after[table] - before.get(table, 0) == 3
    assert after[none] - before.get(none, 0) == 3
    assert after[calls] - before.get(calls, 0) == 1
    assert after['tidemill_http_request_seconds_count{route="/api/v1/tables/{name}"}'] >= 3
    assert metrics.headers["content-type"] == "text/plain; version=0.0.4; charset=utf-8"
    assert "# TYPE tidemill_http_requests_total counter" in metrics.text


# Pages of other sites


def test_by_default_no_page_of_another_site_may_ask(open_server: Server) -> None:
    """Nothing is said of it, which a browser takes for no."""
    answer = open_server.get(f"{TABLES}/activity_daily", headers={"origin": SITE})
    assert (answer.status_code, [name for name in answer.headers if name.startswith("access-control")]) == (200, [])
    asked = {"origin": SITE, "access-control-request-method": "GET"}
    preflight = open_server.client.options(f"{open_server.http}{TABLES}", headers=asked)
    assert (preflight.status_code, "access-control-allow-origin" in preflight.headers) == (405, False)


def test_a_site_that_is_named_may(server: Server) -> None:
    """It may ask whether it may send the token before it does, and is shown the cursor and why it is refused."""
    asked = {"origin": SITE, "access-control-request-method": "GET", "access-control-request-headers": "authorization"}
    preflight = server.client.options(f"{server.http}{TABLES}", headers=asked)
    assert (preflight.status_code, preflight.headers["access-control-allow-origin"]) == (200, SITE)
    assert "authorization" in preflight.headers["access-control-allow-headers"].lower()
    answer = server.get(f"{TABLES}/activity_daily.csv?limit=1", headers=_bearer(TOKEN) | {"origin": SITE})
    assert (answer.status_code, answer.headers["access-control-allow-origin"]) == (200, SITE)
    assert {"Tidemill-Next-Cursor", "Tidemill-Snapshot", "ETag"} <= set(
        answer.headers["access-control-expose-headers"].split(", ")
    )
    refused = server.get(TABLES, headers={"origin": SITE})
    assert (refused.status_code, refused.headers["access-control-allow-origin"]) == (401, SITE)


def test_another_still_may_not(server: Server) -> None:
    """Nor one whose name begins alike."""
    for site in ("https://evil.example", f"{SITE}.evil.example", "null"):
        answer = server.get(TABLES, headers=_bearer(TOKEN) | {"origin": site})
        assert "access-control-allow-origin" not in answer.headers


@pytest.mark.parametrize("site", ["https://evil.example", "null", "http://[", "http://127.0.0.1:1", SITE])
def test_a_page_of_another_site_opens_no_websocket(open_server: Server, site: str) -> None:
    """A browser would let it, and show it the figures: the server does not."""
    with pytest.raises(InvalidStatus) as found, connect(open_server.ws, origin=site, proxy=None):  # type: ignore[arg-type]
        pass
    assert found.value.response.status_code == 403


def test_its_own_pages_and_those_that_are_named_do(server: Server, open_server: Server) -> None:
    """And programs, which have no origin."""
    for url, site in (
        (open_server.ws, open_server.http),
        (open_server.ws, None),
        (f"{server.ws}?token={TOKEN}", SITE),
        (f"{server.ws}?token={TOKEN}", "https://who.knows.the.token"),
    ):
        with connect(url, origin=site, proxy=None) as client:  # type: ignore[arg-type]
            assert json.loads(client.recv(5))["type"] == "ADVANCED_ANALYTICS_STATS"


# Where it listens, and where the token is


def test_it_listens_on_this_machine_alone(open_server: Server) -> None:
    """By default: another address of the machine is not answered at."""
    assert open_server.http.startswith("http://127.0.0.1:")
    assert open_server.grpc.startswith("127.0.0.1:")
    for port in (open_server.port, int(open_server.grpc.rpartition(":")[2])):
        with pytest.raises(ConnectionRefusedError):
            socket.create_connection(("127.0.0.2", port), 2).close()


@pytest.mark.parametrize("host", ["::", "0::0", "127.0.0.2", "192.0.2.1", "example.org", ""])
def test_any_other_address_needs_a_token_or_a_word(mill: Tidemill, host: str) -> None:
    """Before anything is listened on."""
    fault = servers.refused(mill, "--host", host)
    assert fault.startswith(f"whoever reaches {host} could read everything: give a token")
    assert "--insecure" in fault
    said = tm("serve", at=mill, environment={"TIDEMILL_SERVE__HOST": host, "TIDEMILL_TOKEN": "  "})
    assert (said.code, "could read everything" in said.fault) == (2, True)


def test_a_token_and_no_token_are_a_contradiction(mill: Tidemill) -> None:
    """Nobody is asked for less than who started the server thinks."""
    assert "choose one" in servers.refused(mill, "--insecure", environment={"TIDEMILL_TOKEN": TOKEN})


def test_a_home_that_is_not_there_is_a_slip_of_the_pen(tmp_path: Path) -> None:
    """It is not waited for, and not made."""
    mill = home(tmp_path)
    mill.home.settings_file.unlink()
    mill.home.path.rmdir()
    fault = servers.refused(mill)
    assert f"there is no home {mill.home.path}; name it with --home" in fault
    assert not mill.home.path.exists()


def test_either_lets_it_listen_there(tmp_path: Path) -> None:
    """On another address of this machine: with a token from a file, which everybody then needs, or with neither."""
    mill = servers.one(tmp_path)
    file = tmp_path / "token"
    file.write_text(f"  {TOKEN}\n")
    with servers.serving(mill, "--host", "127.0.0.2", "--token-file", file) as with_token:
        assert with_token.http.startswith("http://127.0.0.2:")
        assert with_token.grpc.startswith("127.0.0.2:")
        assert with_token.get(TABLES).status_code == 401
        assert with_token.get(f"{TABLES}/activity_daily", headers=_bearer(TOKEN)).status_code == 200
    with servers.serving(mill, "--host", "127.0.0.2", "--insecure") as without:
        assert without.get(f"{TABLES}/activity_daily").status_code == 200


def test_a_token_from_a_file_is_before_that_of_the_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever names a file means it; without both there is none."""
    file = tmp_path / "token"
    file.write_text("of the file\n")
    monkeypatch.setenv("TIDEMILL_TOKEN", " of the environment ")
    assert server_run.token_of(file) == "of the file"
    assert server_run.token_of(None) == "of the environment"
    monkeypatch.delenv("TIDEMILL_TOKEN")
    assert server_run.token_of(None) == ""


@pytest.mark.parametrize(
    ("content", "why"),
    [
        (b"", "is empty; write the token into it"),
        (b" \n\t\n", "is empty; write the token into it"),
        (b"\xff\xfe", "cannot be read"),
        ("tök€n".encode(), "no header can carry"),
        (b"one\ntwo\n", "no header can carry"),
        (None, "cannot be read"),
    ],
    ids=["empty", "blank", "no text", "letters", "lines", "missing"],
)
def test_a_file_without_a_token_is_refused(mill: Tidemill, tmp_path: Path, content: bytes | None, why: str) -> None:
    """In one line, at once, rather than let anyone in, or nobody."""
    file = tmp_path / "token"
    if content is not None:
        file.write_bytes(content)
    fault = servers.refused(mill, "--token-file", file)
    assert fault.startswith(f"the token file {file} ")
    assert why in fault


def test_a_token_of_the_environment_that_cannot_be_sent_is_refused(mill: Tidemill) -> None:
    """By its variable's name, without the token."""
    fault = servers.refused(mill, environment={"TIDEMILL_TOKEN": "tök€n"})
    assert "TIDEMILL_TOKEN" in fault
    assert "tök€n" not in fault


def test_a_token_is_no_setting(tmp_path: Path) -> None:
    """tidemill.toml is shared and kept: it takes none."""
    mill = home(tmp_path, settings=f"[serve]\ntoken = '{TOKEN}'\n")
    fault = servers.refused(mill)
    assert '"token"' in fault
    assert TOKEN not in fault


def test_tokens_are_compared_in_the_same_time() -> None:
    """By what compares them so, whatever letters are given."""
    assert access.is_token(TOKEN, TOKEN)
    assert not any(access.is_token(given, TOKEN) for given in ("", TOKEN[:-1], TOKEN + "x", "tök€n"))


@pytest.mark.parametrize("option", ["--port", "--grpc-port"])
def test_a_port_that_somebody_has_is_refused(mill: Tidemill, open_server: Server, option: str) -> None:
    """In one line that names it."""
    port = open_server.http.rpartition(":")[2] if option == "--port" else open_server.grpc.rpartition(":")[2]
    fault = servers.refused(mill, option, port)
    assert f"listen on 127.0.0.1:{port}" in fault
    assert option in fault


# Other sites' pages: a name of theirs may be made to lead here


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:8000", "127.0.0.1.evil.example", "[::1", "127.0.0.1@evil.example"]
)
def test_a_name_that_is_made_to_lead_here_is_no_way_in(open_server: Server, host: str) -> None:
    """Without a token the server answers to its own names, over HTTP as over WebSocket."""
    answer = open_server.get(TABLES, headers={"host": host})
    assert answer.status_code == 403
    assert "does not answer to that name" in answer.json()["detail"]
    with socket.create_connection(("127.0.0.1", open_server.port)) as raw:
        raw.sendall(
            f"GET /ws/analytics HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b" 403 " in raw.recv(4096).splitlines()[0]


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost:1", "LOCALHOST", "[::1]:8000"])
def test_its_own_names_are(open_server: Server, host: str) -> None:
    """Whatever port a tunnel gives them."""
    assert open_server.get(TABLES, headers={"host": host}).status_code == 200


def test_with_the_token_any_name_will_do(server: Server) -> None:
    """A proxy passes on the name that it was asked by."""
    assert server.get(TABLES, headers=_bearer(TOKEN) | {"host": "figures.example.org"}).status_code == 200
