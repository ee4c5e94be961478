"""The door of the HTTP server: who may come in, how much of what, and a line for whoever did."""

from __future__ import annotations

import asyncio
import hmac
import json
import logging
import time
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import parse_qsl, urlencode, urlsplit

from starlette.exceptions import HTTPException

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, MutableMapping

    from tidemill.server.metrics import Measures

    Message = MutableMapping[str, Any]
    Receive = Callable[[], Awaitable[Message]]
    Send = Callable[[Message], Awaitable[None]]
    App = Callable[[MutableMapping[str, Any], Receive, Send], Awaitable[None]]

OPEN: Final = frozenset({"/healthz", "/readyz"})
"""What may be asked without a token: a machine looks whether the server is well."""
TOKEN: Final = "token"  # noqa: S105 - the name of a parameter
"""The parameter that carries the token of a WebSocket, where a browser can set no header."""
log: Final = logging.getLogger("tidemill.access")


class NotTakenError(Exception):
    """A client does not take its answer in time: it is left alone with what it has."""


def is_token(given: str, token: str) -> bool:
    """Whether that is the token; takes as long whatever is given."""
    return hmac.compare_digest(given.encode(), token.encode())


@dataclass
class Door:
    """Every request and every WebSocket passes it; `token` is empty where none is needed.

    It answers to the names of `hosts`, or to all if there are none: no page of another site may make its own name lead
    here. A WebSocket that a browser opens without a token must be of a page of the same host, or of one of `origins`.
    A client that neither sends nor takes anything for so many `seconds` makes room for another.
    """

    app: App
    token: str
    hosts: frozenset[str]
    origins: frozenset[str]
    seconds: float
    max_request_bytes: int
    max_requests: int
    measures: Measures
    inside: int = field(default=0, init=False)

    async def __call__(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        """Let it in, or say why not."""
        if scope["type"] == "websocket":
            await self._websocket(scope, receive, send)
        elif scope["type"] == "http":
            await self._http(scope, receive, send)
        else:
            await self.app(scope, receive, send)

    async def _websocket(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        welcome = self._known(scope) and self._is_ours(scope) and (bool(self.token) or self._is_of_our_page(scope))
        _say({"protocol": "websocket", "path": scope["path"], "status": 101 if welcome else 403})
        if welcome:
            await self.app(scope, receive, send)
        else:
            await receive()  # that it wants to connect
            await send({"type": "websocket.close", "code": 1008})

    async def _http(self, scope: MutableMapping[str, Any], receive: Receive, send: Send) -> None:
        seen = _Seen(scope, send, self.measures, self.seconds)
        try:
            if scope["path"] in OPEN:
                await self.app(scope, receive, seen.send)
            elif not self._known(scope):
                await refuse(seen.send, 401, "a valid token is needed: Authorization: Bearer TOKEN", b"Bearer")
            elif not self._is_ours(scope):
                await refuse(seen.send, 403, "this server does not answer to that name; give it a token, then it does")
            elif self.inside >= self.max_requests:
                await refuse(seen.send, 429, f"{self.max_requests} requests are being answered; ask again in a second")
            else:
                await self._inside(scope, self._counted(scope, receive), seen)
        except NotTakenError:
            pass
        finally:
            seen.tell()

    async def _inside(self, scope: MutableMapping[str, Any], receive: Receive, seen: _Seen) -> None:
        self.inside += 1
        self.measures.inside.set(self.inside)
        try:
            await self.app(scope, receive, seen.send)
        finally:
            self.inside -= 1
            self.measures.inside.set(self.inside)

    def _counted(self, scope: MutableMapping[str, Any], receive: Receive) -> Receive:
        """A request's body as it comes, as long as it does come, and is not too large."""
        too_large = HTTPException(413, f"the request is larger than {self.max_request_bytes:,} bytes")
        claimed = int(_header(scope, b"content-length") or 0)
        got, more = 0, True

        async def counted() -> Message:
            nonlocal got, more
            if claimed > self.max_request_bytes:
                raise too_large
            try:
                async with asyncio.timeout(self.seconds if more else None):
                    message = await receive()
            except TimeoutError:
                raise HTTPException(408, "the rest of the request did not come") from None
            got, more = got + len(message.get("body", b"")), message.get("more_body", False)
            if got > self.max_request_bytes:
                raise too_large
            return message

        return counted

    def _known(self, scope: MutableMapping[str, Any]) -> bool:
        if not self.token:
            return True
        scheme, _, given = _header(scope, b"authorization").partition(" ")
        if scheme.lower() != "bearer":
            given = ""
            if scope["type"] == "websocket":
                given = dict(parse_qsl(scope["query_string"].decode("latin-1"))).get(TOKEN, "")
        return is_token(given.strip(), self.token)

    def _is_ours(self, scope: MutableMapping[str, Any]) -> bool:
        host = _header(scope, b"host")  # which every browser sends
        return not self.hosts or not host or _hostname(host) in self.hosts

    def _is_of_our_page(self, scope: MutableMapping[str, Any]) -> bool:
        origin = _header(scope, b"origin")
        own = origin.partition("://")[2] == _header(scope, b"host")
        return not origin or own or bool({origin, "*"} & self.origins)


async def refuse(send: Send, status: int, detail: str, challenge: bytes = b"") -> None:
    """Answer with one line that says why not."""
    headers = [(b"content-type", b"application/json")]
    headers += [(b"www-authenticate", challenge)] if challenge else []
    headers += [(b"retry-after", b"1")] if status == 429 else []  # noqa: PLR2004 - too many requests
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": json.dumps({"detail": detail}).encode()})


class _Seen:
    """What is told of a request once it is answered."""

    def __init__(self, scope: MutableMapping[str, Any], send: Send, measures: Measures, seconds: float) -> None:
        self._scope, self._send, self._measures, self._seconds = scope, send, measures, seconds
        self._began = time.perf_counter()
        self._status, self._bytes, self._snapshot = 0, 0, ""

    async def send(self, message: Message) -> None:
        """Pass on a part of the answer.

        Raises:
            NotTakenError: the parts before are not taken in time.
        """
        if message["type"] == "http.response.start":
            self._status = message["status"]
            names = dict(message.get("headers", ()))
            self._snapshot = names.get(b"tidemill-snapshot", b"").decode()
        self._bytes += len(message.get("body", b""))
        try:
            async with asyncio.timeout(self._seconds):
                await self._send(message)
        except TimeoutError:
            raise NotTakenError from None

    def tell(self) -> None:
        """Count it, and write a line of the access log."""
        took = time.perf_counter() - self._began
        scope = self._scope
        route = getattr(scope.get("route"), "path", "none")
        self._measures.answered(scope["method"], route, self._status, took)
        _say(
            {
                "protocol": "http",
                "method": scope["method"],
                "path": scope["path"],
                "query": _without_token(scope["query_string"]),
                "status": self._status,
                "bytes": self._bytes,
                "milliseconds": round(took * 1000, 3),
                "snapshot": self._snapshot,
                "client": (scope.get("client") or ("",))[0],
            }
        )


def _hostname(host: str) -> str | None:
    try:
        return urlsplit(f"//{host}").hostname
    except ValueError:
        return None


def _say(facts: dict[str, object]) -> None:
    if log.isEnabledFor(logging.INFO):
        log.info(json.dumps({"at": datetime.now(UTC).isoformat().replace("+00:00", "Z"), **facts}))


def _without_token(query: bytes) -> str:
    text = query.decode("latin-1")
    return urlencode([(name, "***" if name == TOKEN else value) for name, value in parse_qsl(text)]) if text else ""


def _header(scope: MutableMapping[str, Any], name: bytes) -> str:
    for key, value in scope["headers"]:
        if key == name:
            return bytes(value).decode("latin-1")
    return ""
