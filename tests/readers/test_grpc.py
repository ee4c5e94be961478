"""The gRPC service as a client sees it that has analytics.proto and nothing else of ours."""

from __future__ import annotations

import importlib.util
import socket
import sys
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, closing
from importlib.resources import files
from pathlib import Path
from threading import Event
from typing import TYPE_CHECKING, Any, Final

import grpc
import pytest
from google.protobuf import descriptor_pb2
from grpc_health.v1 import health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection_pb2, reflection_pb2_grpc
from grpc_tools import protoc  # type: ignore[import-untyped]

from tests.homes import event, feed, home, job
from tests.readers import servers
from tidemill.readers import snapshot as readers_snapshot
from tidemill.readers import workflows

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    from tests.readers.servers import Server
    from tidemill import Tidemill

PACKAGE: Final = Path(str(files("tidemill.server")))
PROTO: Final = "analytics.proto"
SERVICE: Final = "analytics.AnalyticsService"


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Tidemill:
    """A home of every table, in which u-0 has workflows."""
    return servers.small(tmp_path_factory)


@pytest.fixture(scope="module")
def server(mill: Tidemill) -> Iterator[Server]:
    """Its server."""
    with servers.serving(mill) as started:
        yield started


@pytest.fixture(scope="module")
def channel(server: Server) -> Iterator[grpc.Channel]:
    """A connection to it."""
    with grpc.insecure_channel(server.grpc) as opened:
        yield opened


class Client:
    """What protoc makes of the file: messages, and a way to call each method."""

    def __init__(self, messages: ModuleType, channel: grpc.Channel) -> None:
        self.messages, self.channel = messages, channel

    def __call__(self, method: str, **ids: str) -> Any:
        """Call a method with such a request."""
        request = getattr(self.messages, f"{method}Request")
        response = getattr(self.messages, f"{method}Response")
        call = self.channel.unary_unary(
            f"/{SERVICE}/{method}",
            request_serializer=request.SerializeToString,
            response_deserializer=response.FromString,
        )
        return call(request(**ids), timeout=servers.SECONDS)

    def fault(self, method: str, **ids: str) -> tuple[grpc.StatusCode, str | None]:
        """Why a call fails."""
        with pytest.raises(grpc.RpcError) as found:
            self(method, **ids)
        return found.value.code(), found.value.details()


def _compiled(folder: Path) -> ModuleType:
    """The messages of analytics.proto, as a client of its own has them: under other names than ours."""
    text = (PACKAGE / PROTO).read_text()
    (folder / "client_analytics.proto").write_text(text.replace("package analytics;", "package client_analytics;"))
    assert protoc.main(["protoc", f"-I{folder}", f"--python_out={folder}", "client_analytics.proto"]) == 0
    spec = importlib.util.spec_from_file_location("client_analytics_pb2", folder / "client_analytics_pb2.py")
    assert spec
    assert spec.loader
    made = importlib.util.module_from_spec(spec)
    sys.modules[spec.name] = made
    spec.loader.exec_module(made)
    return made


@pytest.fixture(scope="module")
def messages(tmp_path_factory: pytest.TempPathFactory) -> ModuleType:
    """What protoc makes of the file."""
    return _compiled(tmp_path_factory.mktemp("proto"))


@pytest.fixture(scope="module")
def client(messages: ModuleType, channel: grpc.Channel) -> Client:
    """A client that was built of analytics.proto alone."""
    return Client(messages, channel)


def _fields(message: Any) -> dict[str, Any]:
    return {field.name: getattr(message, field.name) for field in message.DESCRIPTOR.fields}


def test_a_user_has_what_the_function_says(client: Client, mill: Tidemill) -> None:
    """All users of the home, each field of each."""
    snapshot = readers_snapshot.newest(mill.home)
    users = [user for (user,) in mill.sql("SELECT user_id FROM user_jobs").fetchall()]
    assert len(users) > 1
    for user in users:
        assert _fields(client("GetUserAnalytics", user_id=user)) == workflows.user_analytics(snapshot, user)


def test_a_workflow_has_what_the_function_says(client: Client, mill: Tidemill) -> None:
    """All workflows of the home, asked for by their owners."""
    snapshot = readers_snapshot.newest(mill.home)
    owned = mill.sql("SELECT user_id, workflow_id FROM workflows WHERE user_id IS NOT NULL").fetchall()
    assert len(owned) > 1
    for user, workflow in owned:
        found = client("GetWorkflowAnalytics", user_id=user, workflow_id=workflow)
        assert _fields(found) == workflows.workflow_analytics(snapshot, user, workflow)


@pytest.mark.parametrize("user", ["nobody", "u-0' OR 'a'='a", "ä€\u2028", "x" * 10_000, "\x00"])
def test_an_unknown_user_has_zeros(client: Client, user: str) -> None:
    """Whatever it is called."""
    assert set(_fields(client("GetUserAnalytics", user_id=user)).values()) == {0}


def test_what_is_missing_is_said(client: Client) -> None:
    """INVALID_ARGUMENT names what is not given."""
    invalid = grpc.StatusCode.INVALID_ARGUMENT
    assert client.fault("GetUserAnalytics") == (invalid, "user_id is missing; name one")
    assert client.fault("GetWorkflowAnalytics", workflow_id="w-0") == (invalid, "user_id is missing; name one")
    assert client.fault("GetWorkflowAnalytics", user_id="u-0") == (invalid, "workflow_id is missing; name one")


def test_a_workflow_that_a_user_has_not_is_not_found(client: Client, mill: Tidemill) -> None:
    """An unknown one and another's are told apart by nothing."""
    ((owner, workflow), *_) = mill.sql("SELECT user_id, workflow_id FROM workflows ORDER BY ALL").fetchall()
    others = client.fault("GetWorkflowAnalytics", user_id=f"not {owner}", workflow_id=workflow)
    unknown = client.fault("GetWorkflowAnalytics", user_id=owner, workflow_id=f"not {workflow}")
    assert others == (grpc.StatusCode.NOT_FOUND, f'user "not {owner}" has no workflow "{workflow}"')
    assert unknown == (grpc.StatusCode.NOT_FOUND, f'user "{owner}" has no workflow "not {workflow}"')


def test_what_there_is_not_is_unimplemented(channel: grpc.Channel) -> None:
    """Another method, another service."""
    for name in (f"/{SERVICE}/GetAnalytics", "/analytics.Other/GetUserAnalytics", "/x"):
        call: Any = channel.unary_unary(name)
        with pytest.raises(grpc.RpcError) as found:
            call(b"", timeout=5)
        assert found.value.code() is grpc.StatusCode.UNIMPLEMENTED


@pytest.mark.parametrize("request_", [b"\xff\xff\xff", b"\x0a\x05abc", b"\x0a\x02\xff\xfe", b"\x00" * 100])
def test_a_message_that_is_none_is_a_fault_of_that_call(channel: grpc.Channel, client: Client, request_: bytes) -> None:
    """The next is answered."""
    call: Any = channel.unary_unary(f"/{SERVICE}/GetUserAnalytics")
    with pytest.raises(grpc.RpcError):
        call(request_, timeout=5)
    assert client("GetUserAnalytics", user_id="nobody").total_jobs == 0


def test_a_message_that_is_too_large_is_refused(client: Client) -> None:
    """As large as a request over HTTP may be, and no larger."""
    code, _ = client.fault("GetUserAnalytics", user_id="x" * (1 << 20))
    assert code is grpc.StatusCode.RESOURCE_EXHAUSTED
    assert client("GetUserAnalytics", user_id="x" * ((1 << 20) - 10)).total_jobs == 0


def test_what_is_no_grpc_harms_nobody(server: Server, client: Client) -> None:
    """HTTP of another kind, or nothing at all, on its port."""
    host, _, port = server.grpc.rpartition(":")
    with ExitStack() as stack:
        for sent in (b"GET / HTTP/1.1\r\n\r\n", b"\x00" * 1000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n", b""):
            stack.enter_context(closing(socket.create_connection((host, int(port)), 5))).sendall(sent)
        assert client("GetUserAnalytics", user_id="nobody").total_jobs == 0


def test_fifty_clients_at_once_are_answered(server: Server, messages: ModuleType) -> None:
    """Each over a connection of its own, and all the same."""

    def ask(_number: int) -> bytes:
        options = [("grpc.use_local_subchannel_pool", 1)]
        with grpc.insecure_channel(server.grpc, options=options) as own:
            found = Client(messages, own)("GetUserAnalytics", user_id="u-0")
            return bytes(found.SerializeToString())

    with ThreadPoolExecutor(50) as threads:
        assert len(set(threads.map(ask, range(50)))) == 1


def test_health_says_that_it_serves(channel: grpc.Channel) -> None:
    """The whole server and its service; of another it knows nothing."""
    stub: Any = health_pb2_grpc.HealthStub(channel)
    for name in ("", SERVICE):
        answer = stub.Check(health_pb2.HealthCheckRequest(service=name), timeout=5)
        assert answer.status == health_pb2.HealthCheckResponse.SERVING
    with pytest.raises(grpc.RpcError) as found:
        stub.Check(health_pb2.HealthCheckRequest(service="other"), timeout=5)
    assert found.value.code() is grpc.StatusCode.NOT_FOUND
    watched = stub.Watch(health_pb2.HealthCheckRequest(), timeout=5)
    assert next(watched).status == health_pb2.HealthCheckResponse.SERVING
    watched.cancel()


def _reflected(channel: grpc.Channel, **asked: Any) -> Any:
    stub: Any = reflection_pb2_grpc.ServerReflectionStub(channel)
    (answer,) = stub.ServerReflectionInfo(iter([reflection_pb2.ServerReflectionRequest(**asked)]), timeout=5)
    return answer


def test_reflection_lists_the_services(channel: grpc.Channel) -> None:
    """So grpcurl finds them without a file."""
    listed = {service.name for service in _reflected(channel, list_services="").list_services_response.service}
    assert listed == {SERVICE, "grpc.health.v1.Health", "grpc.reflection.v1alpha.ServerReflection"}


@pytest.mark.parametrize(
    "asked", [{"file_containing_symbol": SERVICE}, {"file_containing_symbol": "analytics.GetUserAnalyticsRequest"}]
)
def test_reflection_describes_them(channel: grpc.Channel, asked: dict[str, str]) -> None:
    """As protoc does the file."""
    (text,) = _reflected(channel, **asked).file_descriptor_response.file_descriptor_proto
    described = descriptor_pb2.FileDescriptorProto.FromString(text)
    (ours,) = descriptor_pb2.FileDescriptorSet.FromString((PACKAGE / "analytics.binpb").read_bytes()).file
    assert described == ours
    ((service),) = described.service
    assert [method.name for method in service.method] == ["GetUserAnalytics", "GetWorkflowAnalytics"]
    assert described.package == "analytics"


def test_the_description_is_what_protoc_makes_of_the_file(tmp_path: Path) -> None:
    """To the byte: whoever changes analytics.proto runs `make proto`."""
    source = PACKAGE.parents[1]
    made = tmp_path / "analytics.binpb"
    name = (PACKAGE / PROTO).relative_to(source)
    assert protoc.main(["protoc", f"-I{source}", f"--descriptor_set_out={made}", str(name)]) == 0
    assert made.read_bytes() == (PACKAGE / "analytics.binpb").read_bytes()


def test_those_who_keep_asking_what_there_is_keep_nobody_from_an_answer(server: Server, messages: ModuleType) -> None:
    """A stream of reflection or of health that stays open takes no place of a call."""
    ended = Event()

    def never() -> Iterator[Any]:
        yield reflection_pb2.ServerReflectionRequest(list_services="")
        ended.wait(servers.SECONDS)

    with ExitStack() as stack:
        stack.callback(ended.set)
        channels = [stack.enter_context(grpc.insecure_channel(server.grpc)) for _ in range(8)]
        streams: list[Any] = []
        for one in channels:
            reflection: Any = reflection_pb2_grpc.ServerReflectionStub(one)
            health: Any = health_pb2_grpc.HealthStub(one)
            streams += [reflection.ServerReflectionInfo(never()), health.Watch(health_pb2.HealthCheckRequest())]
        with grpc.insecure_channel(server.grpc) as other:
            assert Client(messages, other)("GetUserAnalytics", user_id="nobody").total_jobs == 0
        for stream in streams:
            assert next(stream)
            stream.cancel()


def test_watchers_that_go_at_once_stop_nothing(server: Server, messages: ModuleType) -> None:
    """However many begin to watch the server's health and change their mind."""
    for _ in range(40):
        with grpc.insecure_channel(server.grpc) as channel:
            health: Any = health_pb2_grpc.HealthStub(channel)
            for watch in [health.Watch(health_pb2.HealthCheckRequest()) for _ in range(8)]:
                watch.cancel()
    with grpc.insecure_channel(server.grpc) as channel:
        assert Client(messages, channel)("GetUserAnalytics", user_id="nobody").total_jobs == 0


def test_before_a_publish_and_after_it(tmp_path: Path, messages: ModuleType) -> None:
    """UNAVAILABLE says what to run; a new snapshot is answered from at once, without a restart."""
    mill = home(tmp_path, job("j1", "2026-02-10T09:00:00Z", user_id="u1", workflow_id="w1"))
    with servers.serving(mill) as server, grpc.insecure_channel(server.grpc) as channel:
        client = Client(messages, channel)
        health: Any = health_pb2_grpc.HealthStub(channel)
        asked = health_pb2.HealthCheckRequest(service=SERVICE)
        assert health.Check(asked, timeout=5).status == health_pb2.HealthCheckResponse.NOT_SERVING
        code, why = client.fault("GetUserAnalytics", user_id="u1")
        assert (code, "run: tidemill build" in str(why)) == (grpc.StatusCode.UNAVAILABLE, True)
        for number in (1, 2):
            if number == 2:
                feed(mill, job("j2", "2026-02-11T09:00:00Z", user_id="u1", workflow_id="w1"), event("e", "2026-02-11"))
            mill.build("user_jobs", as_of=servers.AS_OF)
            assert client("GetUserAnalytics", user_id="u1").total_jobs == number
            assert health.Check(asked, timeout=5).status == health_pb2.HealthCheckResponse.SERVING
