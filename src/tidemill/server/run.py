"""The server: HTTP and gRPC over one home, from the first request to the last."""

from __future__ import annotations

import logging
import os
import signal
import socket
import sys
from contextlib import ExitStack, closing
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import uvicorn

from tidemill.errors import UsageError
from tidemill.server.app import application
from tidemill.server.grpc import Service
from tidemill.server.metrics import Measures
from tidemill.server.snapshots import ENGINES, WITH_SQL, Snapshots

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path
    from types import FrameType

    from tidemill.config.settings import Serve
    from tidemill.home.home import Home
    from tidemill.server.state import Serving

LOCAL: Final = frozenset({"127.0.0.1", "::1", "localhost"})
GRACE_SECONDS: Final = 10
"""How long what is being answered may take when the server is told to end."""
TOKEN_VARIABLE: Final = "TIDEMILL_TOKEN"  # noqa: S105 - a name
WAITING: Final = 2_048
"""How many connections may wait to be accepted."""
LARGEST_MESSAGE: Final = 1 << 16
"""How many bytes a WebSocket client may send at once: it need not say anything."""


@dataclass(frozen=True)
class Addresses:
    """Where the server listens."""

    http: str
    grpc: str


class _Server(uvicorn.Server):
    """uvicorn's server, which lets no SQL keep it from ending."""

    def __init__(self, config: uvicorn.Config, serving: Serving) -> None:
        super().__init__(config)
        self._serving = serving

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        """End on a signal."""
        self._serving.stop_sql()
        super().handle_exit(sig, frame)


def token_of(file: Path | None) -> str:
    """The token that a file holds, or else the environment; empty if there is none.

    Raises:
        UsageError: the file cannot be read, or holds none, or one that cannot be sent.
    """
    if file is None:
        return _sendable(os.environ.get(TOKEN_VARIABLE, "").strip(), f"the variable {TOKEN_VARIABLE}")
    try:
        token = file.read_text(encoding="utf-8").strip()
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"the token file {file} cannot be read: {error}") from error
    if not token:
        raise UsageError(f"the token file {file} is empty; write the token into it")
    return _sendable(token, f"the token file {file}")


def _sendable(token: str, where: str) -> str:
    """A token that a header can carry."""
    if not (token.isascii() and token.isprintable()):
        raise UsageError(f"{where} has what no header can carry; use one line of letters and digits")
    return token


def check(settings: Serve, token: str, *, insecure: bool) -> None:
    """See that nobody from elsewhere comes in without a token.

    Raises:
        UsageError: somebody could.
    """
    if token and insecure:
        raise UsageError("--insecure lets everyone in, and there is a token that everyone must give; choose one")
    if settings.host not in LOCAL and not token and not insecure:
        raise UsageError(
            f"whoever reaches {settings.host} could read everything: give a token (--token-file FILE, or the variable "
            f"{TOKEN_VARIABLE}), or say --insecure"
        )


def run(home: Home, settings: Serve, *, token: str, insecure: bool, ready: Callable[[Addresses], None]) -> None:
    """Serve a home until a signal comes; `ready` is called with where it listens.

    Raises:
        UsageError: an address cannot be listened on.
    """
    _log()
    engines = WITH_SQL if settings.sql else ENGINES
    snapshots = Snapshots(home, seconds=settings.timeout_seconds, engines=engines)
    measures = Measures()
    service = Service(snapshots, measures, token=token, max_request_bytes=settings.max_request_bytes)
    app = application(snapshots, settings, measures, token=token, hosts=_hosts(settings, token, insecure=insecure))
    server = _Server(
        uvicorn.Config(
            app,
            log_config=None,
            access_log=False,
            server_header=False,
            ws="websockets-sansio",
            ws_max_size=LARGEST_MESSAGE,
            ws_per_message_deflate=False,  # each client would be compressed for on its own
            timeout_graceful_shutdown=GRACE_SECONDS,
        ),
        app.state.serving,
    )
    with closing(_listen(settings.host, settings.port)) as sock:
        grpc_port = service.listen(settings.host, settings.grpc_port)
        for one in (signal.SIGINT, signal.SIGTERM):  # what ends the server is no failure of the command
            signal.signal(one, lambda *_: None)
        service.start()
        try:
            host, port = sock.getsockname()[:2]
            shown = f"[{host}]" if ":" in host else host
            ready(Addresses(f"http://{shown}:{port}", f"{shown}:{grpc_port}"))
            server.run(sockets=[sock])
        finally:
            service.stop(GRACE_SECONDS)


def _hosts(settings: Serve, token: str, *, insecure: bool) -> frozenset[str]:
    """The names that the server answers to where nobody needs a token; none for any."""
    return frozenset() if token or insecure else LOCAL | {settings.host}


def _listen(host: str, port: int) -> socket.socket:
    with ExitStack() as unless_done:
        try:
            family, kind, protocol, _, address = socket.getaddrinfo(
                host, port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
            )[0]
            sock = unless_done.enter_context(closing(socket.socket(family, kind, protocol)))
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            sock.bind(address)
            sock.listen(WAITING)
        except OSError as error:
            raise UsageError(
                f"cannot listen on {host}:{port}: {error.strerror}; choose another --host or --port"
            ) from error
        unless_done.pop_all()
    return sock


def _log() -> None:
    """Lines of the access log go to standard error as they are, and what goes wrong with them."""
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(logging.Formatter("%(message)s"))
    levels = {"tidemill.access": logging.INFO, "tidemill.sql": logging.WARNING, "uvicorn.error": logging.WARNING}
    for name, level in levels.items():
        logger = logging.getLogger(name)
        logger.handlers = [handler]
        logger.setLevel(level)
        logger.propagate = False
