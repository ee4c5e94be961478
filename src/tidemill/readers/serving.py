"""What every route of the server works with: the snapshots, the answers that are kept, and how an answer is sent."""

from __future__ import annotations

import json
from collections.abc import AsyncIterator, Callable, Hashable, Iterator, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from starlette.responses import Response

from tidemill.readers.answers import Answers

if TYPE_CHECKING:
    from fastapi import Request

    from tidemill.readers.published import Published
    from tidemill.readers.snapshots import Snapshots
    from tidemill.settings import Serve

JSON: Final = "application/json"
SNAPSHOT: Final = "Tidemill-Snapshot"
MOST_BYTES: Final = 64 << 20
"""How many bytes of answers are kept."""


@dataclass
class Serving:
    """One server's snapshots and answers."""

    snapshots: Snapshots
    settings: Serve
    answers: Answers[bytes]

    @classmethod
    def of(cls, snapshots: Snapshots, settings: Serve) -> Serving:
        """A server's own, within the limits of the settings."""
        answers: Answers[bytes] = Answers(
            ttl=settings.cache_ttl, timeout=settings.timeout_seconds, most_bytes=MOST_BYTES, size=len
        )
        return cls(snapshots, settings, answers)

    async def newest(self) -> Published:
        """The newest snapshot: at once, if it is open already."""
        return self.snapshots.at_hand() or await self.answers.run(self.snapshots.newest)  # type: ignore[arg-type]


def serving_of(request: Request) -> Serving:
    """What a request's server works with."""
    found: Serving = request.app.state.serving
    return found


async def answer(
    request: Request, name: str, make: Callable[[Published], object], *question: Hashable
) -> Response:
    """What a function of the readers says of the newest snapshot, as JSON; 304 if whoever asks has it already."""
    serving = serving_of(request)
    published = await serving.newest()
    tag = f'"{published.id}.json"'
    if is_known(request, tag):
        return not_changed(published, tag)
    body = await serving.answers.get((published.id, name, *question), lambda: text(make(published)))
    return Response(body, media_type=JSON, headers=headers(published, tag))


def text(found: object) -> bytes:
    """An answer as JSON."""
    return json.dumps(found, ensure_ascii=False, allow_nan=False, separators=(",", ":")).encode()


def headers(published: Published, tag: str) -> dict[str, str]:
    """What every answer over a snapshot says: which it is, and how to ask whether there is another."""
    return {SNAPSHOT: published.id, "ETag": tag, "Cache-Control": "no-cache", "Vary": "Accept"}


def is_known(request: Request, tag: str) -> bool:
    """Whether whoever asks has that answer already."""
    given = request.headers.get("if-none-match", "")
    return given == "*" or tag in {one.strip().removeprefix("W/") for one in given.split(",")}


def not_changed(published: Published, tag: str) -> Response:
    """That there is nothing new."""
    return Response(status_code=304, headers=headers(published, tag))
