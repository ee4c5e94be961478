"""What every route of the server works with: the snapshots, the answers that are kept, and how an answer is sent."""

from __future__ import annotations

import json
import math
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from fastapi.routing import APIRoute
from starlette.responses import Response

from tidemill.errors import UsageError
from tidemill.server.cache import Answers
from tidemill.server.sql_process import SqlProcess

if TYPE_CHECKING:
    from collections.abc import Callable

    from fastapi import APIRouter, Request

    from tidemill.config.settings import Serve
    from tidemill.readers.snapshot import Published
    from tidemill.server.bodies import Made
    from tidemill.server.snapshots import Snapshots

JSON: Final = "application/json"
SNAPSHOT: Final = "Tidemill-Snapshot"
AS_OF: Final = "Tidemill-As-Of"
MOST_BYTES: Final = 64 << 20
"""How many bytes of answers are kept."""
MOST_FILE_BYTES: Final = 1 << 30
"""How many bytes of files."""
THREADS: Final = 4
"""How many answers are made at the same time; each may use all of the engine's threads."""


@dataclass
class Serving:
    """One server's snapshots and answers."""

    snapshots: Snapshots
    settings: Serve
    answers: Answers[bytes]
    files: Answers[Made]
    openings: Answers[Published]
    sql: SqlProcess | None

    @classmethod
    def of(cls, snapshots: Snapshots, settings: Serve) -> Serving:
        """A server's own, within the limits of the settings."""
        limits = {"ttl": settings.cache_ttl, "timeout": settings.timeout_seconds}
        threads = ThreadPoolExecutor(THREADS, thread_name_prefix="answer")
        opener = ThreadPoolExecutor(1, thread_name_prefix="open")  # no long answer is waited for
        return cls(
            snapshots,
            settings,
            Answers(threads, most_bytes=MOST_BYTES, size=len, **limits),
            Answers(threads, most_bytes=MOST_FILE_BYTES, size=lambda made: made.size, **limits),
            Answers(opener, most_bytes=0, size=lambda _: 1, **limits),
            SqlProcess(snapshots.home, settings) if settings.sql else None,
        )

    async def newest(self) -> Published:
        """The newest snapshot: at once, if it is open already."""
        return self.snapshots.at_hand() or await self.openings.get(self.snapshots.pointed(), self.snapshots.newest)

    async def start(self) -> None:
        """Start the process that runs SQL, if SQL is switched on."""
        if self.sql:
            await self.sql.start()

    def stop_sql(self) -> None:
        """Kill the process that runs SQL: nobody waits for it when the server is told to end."""
        if self.sql:
            self.sql.stop()

    def stop(self) -> None:
        """Take no more questions; what is being made goes on to its end, but for SQL."""
        self.stop_sql()
        for answers in (self.answers, self.openings):
            answers.threads.shutdown(wait=False, cancel_futures=True)


def serving_of(request: Request) -> Serving:
    """What a request's server works with."""
    found: Serving = request.app.state.serving
    return found


async def answer(request: Request, function: Callable[..., object], /, **asked: object) -> Response:
    """What a function of the readers says of the newest snapshot, as JSON; 304 if whoever asks has it already."""
    _check_names(request)
    serving = serving_of(request)
    published = await serving.newest()
    tag = f'"{published.id}.json"'
    if is_known(request, tag):
        return not_changed(published, tag)
    question = (published.id, function, repr(asked))
    body = await serving.answers.get(question, lambda: text(function(published, **asked)))
    return Response(body, media_type=JSON, headers=headers(published, tag))


def _check_names(request: Request) -> None:
    """See that every parameter is one of the route's, and given once; a name that begins with _ means nothing.

    Raises:
        UsageError: one is not: the answer would be of something else than was asked for.
    """
    given = [name for name, _ in request.query_params.multi_items() if not name.startswith("_")]
    if not given:
        return
    known = {field.alias for field in request.scope["route"].dependant.query_params}
    for name in given:
        if name not in known:
            raise UsageError.unknown("parameter", name, known)
        if given.count(name) > 1:
            raise UsageError(f"{name} is given {given.count(name)} times; give it once")


def text(found: object) -> bytes:
    """An answer as JSON; a figure that is no number, as a sum of the largest there are, is null."""
    try:
        return json.dumps(found, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()
    except ValueError:
        return text(_finite(found))


def _finite(found: object) -> object:
    if isinstance(found, dict):
        return {name: _finite(value) for name, value in found.items()}
    if isinstance(found, list):
        return [_finite(value) for value in found]
    return None if isinstance(found, float) and not math.isfinite(found) else found


def headers(published: Published, tag: str) -> dict[str, str]:
    """What every answer over a snapshot says: which it is, and how to ask whether there is another."""
    windows = {AS_OF: published.as_of} if published.as_of else {}
    return {SNAPSHOT: published.id, **windows, "ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept"}


def is_known(request: Request, tag: str) -> bool:
    """Whether whoever asks has that answer already."""
    given = request.headers.get("if-none-match", "")
    return given == "*" or tag in {one.strip().removeprefix("W/") for one in given.split(",")}


def not_changed(published: Published, tag: str) -> Response:
    """That there is nothing new."""
    return Response(status_code=304, headers=headers(published, tag))


def add_heads(router: APIRouter) -> None:
    """Let the head of whatever a router answers be asked for alone."""
    for route in list(router.routes):
        if isinstance(route, APIRoute) and route.methods == {"GET"}:
            path = route.path.removeprefix(router.prefix)
            router.add_api_route(path, route.endpoint, methods=["HEAD"], include_in_schema=False)
