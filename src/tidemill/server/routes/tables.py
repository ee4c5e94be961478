"""The routes of the tables: which there are, their rows in any format, and SQL over them where that is switched on."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response
from pydantic import BaseModel, Field
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.responses import FileResponse

from tidemill.errors import UsageError
from tidemill.readers import tables
from tidemill.readers.paging import Filter, Page
from tidemill.server import bodies, examples
from tidemill.server.state import JSON, add_heads, answer, headers, is_known, not_changed, serving_of

if TYPE_CHECKING:
    from collections.abc import Iterator

    from starlette.types import Receive, Scope, Send

    from tidemill.readers.snapshot import Published
    from tidemill.server.state import Serving

PAGE_ROWS: Final = 1_000
"""Rows of a page of JSON if nobody says how many; of any other format all."""
OWN: Final = frozenset({"columns", "order", "limit", "cursor", "format"})
"""The parameters that are no filters."""
NEXT_CURSOR: Final = "Tidemill-Next-Cursor"
TOTAL_ROWS: Final = "Tidemill-Total-Rows"
_SPOKEN: Final = {
    "application/json": "json",
    "application/*": "json",
    "*/*": "json",
    "text/csv": "csv",
    "text/*": "csv",
    "application/x-ndjson": "jsonl",
    "application/jsonl": "jsonl",
    "application/vnd.apache.parquet": "parquet",
    "application/parquet": "parquet",
    "application/vnd.apache.arrow.stream": "arrow",
}
"""What a header Accept may name."""
_FORMATS: Final[dict[int | str, dict[str, Any]]] = {
    200: {
        "content": {media: {} for form, media in bodies.MEDIA.items() if form != "json"}
        | {JSON: {"example": examples.ROWS}}
    },
    304: {"description": "Nothing new was published"},
    404: {"description": "There is no such table, or its snapshot is not kept any more"},
    406: {"description": "None of the formats that are accepted"},
}

router: Final = APIRouter(prefix="/api/v1", tags=["tables"])


class Question(BaseModel):
    """One SELECT in DuckDB's SQL."""

    query: Annotated[str, Field(min_length=1)]  # a length is of a text that can be encoded


@router.get(
    "/tables",
    response_model=list[tables.Table],
    responses={200: {"content": {JSON: {"example": examples.TABLES}}}},
)
async def all_tables(request: Request) -> Response:
    """Every published table, with its columns."""
    return await answer(request, tables.tables)


@router.get("/tables/{name}", response_model=tables.Rows, responses=_FORMATS)
async def table(
    request: Request,
    name: str,
    *,
    columns: Annotated[str | None, Query(description="Only these, by comma.", examples=["day,events"])] = None,
    order: Annotated[
        str | None, Query(description="By these, by comma; `-` before one: descending.", examples=["-events,day"])
    ] = None,
    limit: Annotated[int | None, Query(ge=1, description="How many rows.", examples=[100])] = None,
    cursor: Annotated[str | None, Query(description="Where the page before ended, as it says.")] = None,
    format: Annotated[  # noqa: A002 - the command's word
        str | None,
        Query(description="Instead of the header Accept; `/tables/NAME.parquet` does the same.", examples=["json"]),
    ] = None,
) -> Response:
    """The rows of a table.

    Any other parameter is a filter: `user_id=u1`, `day__gte=2026-02-01` (also `gt`, `lt`, `lte`, `ne`),
    `user_id__null=true`. Pages go on over the snapshot that they began with.
    """
    serving = serving_of(request)
    name, form = _form(request, name, format)
    page = Page(
        columns=_names(columns),
        filters=tuple(Filter.of(key, value) for key, value in request.query_params.multi_items() if key not in OWN),
        order=_names(order),
        limit=limit or (min(PAGE_ROWS, serving.settings.max_rows) if form == "json" else None),
    )
    if page.limit and page.limit > serving.settings.max_rows:
        raise UsageError(f"limit is at most {serving.settings.max_rows:,}; ask for less, and go on by the cursor")
    published = await serving.newest()
    if cursor:
        snapshot, page = tables.opened(cursor, name, page)
        published = await run_in_threadpool(serving.snapshots.named, snapshot)
    tables.order_of(published, name)  # what is not there is not unchanged
    tag = f'"{published.id}.{form}"'
    if is_known(request, tag):
        return not_changed(published, tag)
    return await _page(serving, published, name, page, form=form, said=headers(published, tag))


async def _page(
    serving: Serving, published: Published, name: str, page: Page, *, form: str, said: dict[str, str]
) -> Response:
    question = (published.id, "table", name, page, form)
    if form == "json":
        body = await serving.answers.get(question, lambda: tables.text(published, name, page).encode())
        return Response(body, media_type=JSON, headers=said)
    total = int(await serving.answers.get((*question, "rows"), lambda: b"%d" % _total(published, name, page)))
    if page.limit is None and total > serving.settings.max_rows:
        raise UsageError(
            f"{name} has {total:,} such rows, and an answer at most {serving.settings.max_rows:,}; "
            "give a limit, and go on by the cursor"
        )
    said |= {TOTAL_ROWS: str(total)}
    if following := tables.next_cursor(published.id, name, page, total):
        said |= {NEXT_CURSOR: following}
    if form == "arrow":
        return await Streamed.begin(_batches(published, name, page), said)
    file = await serving.files.get(question, lambda: _file(published, name, page, form))
    return Kept(file, form, said)


def _total(published: Published, name: str, page: Page) -> int:
    with tables.chosen(published, name, Page(filters=page.filters)) as relation:
        return tables.count(relation)


def _file(published: Published, name: str, page: Page, form: str) -> bodies.Made:
    with tables.chosen(published, name, page) as relation:
        return bodies.made(relation, form)


def _batches(published: Published, name: str, page: Page) -> Iterator[Any]:
    """The parts of a stream; it is cut here, for a long LIMIT makes the engine gather and sort all rows first."""
    begins = not page.offset and not page.order
    with tables.chosen(published, name, replace(page, limit=None) if begins else page) as relation:
        yield from bodies.batches(relation, page.limit if begins else None)


@router.post(
    "/sql",
    responses={
        200: {"content": {media: {} for media in bodies.MEDIA.values()}},
        403: {"description": "SQL is not switched on"},
        406: {"description": "None of the formats that are accepted"},
    },
)
async def sql(request: Request, question: Question) -> Response:
    """The rows of one SELECT over the published tables and the lake, as an array; only where it is switched on."""
    serving = serving_of(request)
    if serving.sql is None:
        raise HTTPException(403, "SQL is not switched on; start the server with --sql")
    _, form = _form(request, "", request.query_params.get("format"))
    published = await serving.newest()
    file = await serving.sql.run(published.id, question.query, form)
    return Kept(file, form, headers(published, f'"{published.id}"') | {"Cache-Control": "no-store"})


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(part.strip() for part in text.split(",") if part.strip()) if text else ()


def _form(request: Request, name: str, asked: str | None) -> tuple[str, str]:
    """A table's name, and the format of the answer: by the name's ending, a parameter, or the header Accept."""
    stem, _, ending = name.rpartition(".")
    if stem and ending in bodies.MEDIA:
        if asked not in {None, ending}:
            raise UsageError(f"{name} asks for {ending}, and format for {asked}; ask for one")
        return stem, ending
    if asked:
        if asked not in bodies.MEDIA:
            raise UsageError.unknown("format", asked, bodies.MEDIA)
        return name, asked
    return name, _accepted(request.headers.get("accept", "*/*"))


def _accepted(accept: str) -> str:
    """The format that is liked best, of those that there are."""
    liked = sorted(filter(None, map(_like, accept.split(","))), key=lambda like: -like[0])
    if not liked:
        raise HTTPException(406, f"Accept names none of {', '.join(bodies.MEDIA.values())}")
    return liked[0][1]


def _like(part: str) -> tuple[float, str] | None:
    media, *parameters = (word.strip().lower() for word in part.split(";"))
    quality = next((word[2:] for word in parameters if word.startswith("q=")), "1")
    try:
        liked = float(quality)
    except ValueError:
        return None
    return (liked, _SPOKEN[media]) if media in _SPOKEN and liked > 0 else None


class Kept(FileResponse):
    """A result's file, of which a part may be asked for; it stays as long as it is being sent."""

    def __init__(self, file: bodies.Made, form: str, said: dict[str, str]) -> None:
        self._file = file
        super().__init__(file.path, media_type=bodies.MEDIA[form], headers=said)


class Streamed(Response):
    """A result as it comes."""

    def __init__(self, parts: Iterator[Any], first: Any, said: dict[str, str]) -> None:  # noqa: ANN401
        super().__init__(media_type=bodies.MEDIA["arrow"], headers=said)
        del self.headers["content-length"]
        self._parts, self._first = parts, first

    @classmethod
    async def begin(cls, parts: Iterator[Any], said: dict[str, str]) -> Streamed:
        """A result whose first part is there: what is wrong with the question is known by then."""
        return cls(parts, await run_in_threadpool(next, parts), said)

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:  # noqa: ARG002 - ASGI
        """Send it, part by part."""
        await send({"type": "http.response.start", "status": self.status_code, "headers": self.raw_headers})
        part = self._first
        while part is not None:
            await send({"type": "http.response.body", "body": part, "more_body": True})
            part = await run_in_threadpool(next, self._parts, None)
        await send({"type": "http.response.body", "body": b"", "more_body": False})


add_heads(router)
