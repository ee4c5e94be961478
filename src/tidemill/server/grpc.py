"""The gRPC service of analytics.proto, with health and reflection.

`analytics.binpb` is that file as protoc describes it (`make proto`): messages are made of it when this is imported, so
that any version of protobuf will do.
"""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from importlib.resources import files
from threading import Semaphore
from typing import TYPE_CHECKING, Any, Final

import grpc
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory
from grpc_health.v1 import health, health_pb2, health_pb2_grpc
from grpc_reflection.v1alpha import reflection

from tidemill.errors import NotFoundError, TidemillError, TooLongError, UsageError
from tidemill.readers import workflows
from tidemill.server.access import is_token

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from google.protobuf.message import Message

    from tidemill.server.metrics import Measures
    from tidemill.server.snapshots import Snapshots

    Handler = grpc.RpcMethodHandler[Any, Any]

SERVICE: Final = "analytics.AnalyticsService"
HEALTH: Final = "grpc.health.v1.Health"
ANSWERING: Final = 4
"""How many answers are made at the same time."""
WAITING: Final = 100
"""How many calls are taken at the same time, each in a thread: reflection and a watch of health keep one for as long as
a client likes. One more is refused as RESOURCE_EXHAUSTED."""


class Service:
    """A gRPC server over the newest snapshot; it listens from `start` to `stop`."""

    def __init__(self, snapshots: Snapshots, measures: Measures, *, token: str, max_request_bytes: int) -> None:
        self._snapshots, self._measures = snapshots, measures
        self._answering = Semaphore(ANSWERING)
        self._server = grpc.server(
            ThreadPoolExecutor(WAITING, thread_name_prefix="grpc"),
            interceptors=[_Token(token)] if token else [],
            options=[("grpc.max_receive_message_length", max_request_bytes), ("grpc.so_reuseport", 0)],
            maximum_concurrent_rpcs=WAITING,
        )
        self._health = _Health(snapshots)
        health_pb2_grpc.add_HealthServicer_to_server(self._health, self._server)
        self._server.add_generic_rpc_handlers((self._analytics(),))
        reflection.enable_server_reflection((SERVICE, HEALTH, reflection.SERVICE_NAME), self._server)

    def listen(self, host: str, port: int) -> int:
        """Take a port, any free one for 0; returns which.

        Raises:
            UsageError: somebody else has it.
        """
        address = f"[{host}]:{port}" if ":" in host else f"{host}:{port}"
        try:
            return int(self._server.add_insecure_port(address))
        except RuntimeError as error:
            raise UsageError(f"gRPC cannot listen on {address}; choose another --grpc-port") from error

    def start(self) -> None:
        """Answer from now on."""
        self._server.start()
        for name in ("", SERVICE):
            self._health.set(name, health_pb2.HealthCheckResponse.SERVING)

    def stop(self, grace: float) -> None:
        """Take no more calls; those that are being answered have some seconds to end."""
        self._health.enter_graceful_shutdown()
        self._server.stop(grace).wait(grace + 1)

    def _analytics(self) -> grpc.GenericRpcHandler:
        return grpc.method_handlers_generic_handler(
            SERVICE,
            {
                "GetUserAnalytics": self._method(
                    "GetUserAnalytics",
                    lambda asked: workflows.user_analytics(self._snapshots.newest(), asked.user_id),
                ),
                "GetWorkflowAnalytics": self._method(
                    "GetWorkflowAnalytics",
                    lambda asked: workflows.workflow_analytics(
                        self._snapshots.newest(), asked.user_id, asked.workflow_id
                    ),
                ),
            },
        )

    def _method(self, name: str, answer: Callable[[Any], Mapping[str, object]]) -> Handler:
        request, response = (_message(f"analytics.{name}{kind}") for kind in ("Request", "Response"))

        def method(asked: object, context: grpc.ServicerContext) -> object:
            try:
                with self._answering:
                    found = response(**answer(asked))
            except TidemillError as error:
                code = _code(error)
                self._measures.called(name, code.name)
                context.abort(code, str(error))
            self._measures.called(name, grpc.StatusCode.OK.name)
            return found

        return grpc.unary_unary_rpc_method_handler(
            method, request_deserializer=request.FromString, response_serializer=response.SerializeToString
        )


class _Health(health.HealthServicer):
    """Whether the server is well: it serves as soon as there is a snapshot."""

    def __init__(self, snapshots: Snapshots) -> None:
        # Otherwise it sends under a lock that the server's own thread takes when a watcher goes: both wait for ever.
        super().__init__(experimental_non_blocking=False)
        self._snapshots = snapshots

    def Check(self, request: Any, context: grpc.ServicerContext) -> Any:  # noqa: ANN401, N802 - the library's
        """The status of the server, or of one service."""
        found = super().Check(request, context)
        if found.status == health_pb2.HealthCheckResponse.SERVING and not self._snapshots.pointed():
            return health_pb2.HealthCheckResponse(status=health_pb2.HealthCheckResponse.NOT_SERVING)
        return found


class _Token(grpc.ServerInterceptor):
    """Lets nobody in without the token but who asks whether the server is well."""

    def __init__(self, token: str) -> None:
        self._token = token

        def refuse(_asked: object, context: grpc.ServicerContext) -> None:
            context.abort(grpc.StatusCode.UNAUTHENTICATED, "a valid token is needed: authorization: Bearer TOKEN")

        self._refusal: Handler = grpc.unary_unary_rpc_method_handler(refuse)

    def intercept_service(
        self,
        continuation: Callable[[grpc.HandlerCallDetails], Handler | None],
        handler_call_details: grpc.HandlerCallDetails,
    ) -> Handler | None:
        """Go on, or refuse."""
        given = dict(handler_call_details.invocation_metadata).get("authorization", "")
        scheme, _, token = str(given).partition(" ")
        known = scheme.lower() == "bearer" and is_token(token.strip(), self._token)
        if known or handler_call_details.method.startswith(f"/{HEALTH}/"):
            return continuation(handler_call_details)
        return self._refusal


def _code(error: TidemillError) -> grpc.StatusCode:
    if isinstance(error, NotFoundError):
        return grpc.StatusCode.NOT_FOUND
    if isinstance(error, TooLongError):
        return grpc.StatusCode.DEADLINE_EXCEEDED
    return grpc.StatusCode.INVALID_ARGUMENT if isinstance(error, UsageError) else grpc.StatusCode.UNAVAILABLE


def _message(name: str) -> type[Message]:
    """The class of a message of analytics.proto."""
    pool = descriptor_pool.Default()
    for file in descriptor_pb2.FileDescriptorSet.FromString(
        files("tidemill.server").joinpath("analytics.binpb").read_bytes()
    ).file:
        pool.AddSerializedFile(file.SerializeToString())  # one that is there already is not added again
    return message_factory.GetMessageClass(pool.FindMessageTypeByName(name))
