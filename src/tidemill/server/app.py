"""The HTTP application: its routes, what it says where it cannot answer, and what goes on from start to end."""

from __future__ import annotations

from contextlib import asynccontextmanager
from typing import TYPE_CHECKING, Any, Final

from fastapi import FastAPI, Request, WebSocket
from fastapi.exceptions import RequestValidationError
from fastapi.responses import JSONResponse, PlainTextResponse, Response
from pydantic import BaseModel
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware

from tidemill import __version__
from tidemill.errors import NotFoundError, TidemillError, TooLongError, UsageError
from tidemill.readers import assistants
from tidemill.server.access import Door
from tidemill.server.routes import analytics as routes_analytics
from tidemill.server.routes import tables as routes_tables
from tidemill.server.state import AS_OF, SNAPSHOT, Serving, serving_of, text
from tidemill.server.websockets import TYPE, Live

if TYPE_CHECKING:
    from collections.abc import AsyncIterator

    from tidemill.config.settings import Serve
    from tidemill.server.metrics import Measures
    from tidemill.server.snapshots import Snapshots

TOO_LONG: Final = "that took too long; ask for less, or raise serve.timeout_seconds in tidemill.toml"


NO_QUESTION: Final = 'the body must be JSON like {"query": "SELECT 1"}, with the header Content-Type: application/json'


class Problem(BaseModel):
    """Why there is no answer, in one line."""

    detail: str


PROBLEMS: Final[dict[int | str, dict[str, Any]]] = {
    401: {"model": Problem, "description": "A valid token is needed"},
    408: {"model": Problem, "description": "The rest of the request did not come"},
    413: {"model": Problem, "description": "The request is too large"},
    422: {"model": Problem, "description": "A parameter cannot be used"},
    429: {"model": Problem, "description": "Too many requests are being answered"},
    503: {"model": Problem, "description": "Nothing is published yet, or it cannot be read"},
    504: {"model": Problem, "description": "That took too long"},
}
_STATUS: Final = (
    (NotFoundError, 404),
    (UsageError, 422),
    (TooLongError, 504),
    (TimeoutError, 504),
    (TidemillError, 503),
    (Exception, 500),
)


def application(
    snapshots: Snapshots, settings: Serve, measures: Measures, *, token: str, hosts: frozenset[str] = frozenset()
) -> FastAPI:
    """The application over a home's snapshots; `hosts` are the names that it answers to, none for all."""
    serving = Serving.of(snapshots, settings)

    async def newest() -> str:
        published = await serving.newest()
        measures.published(published.manifest.published_at)
        body = await serving.answers.get(
            (published.id, "live"), lambda: text({"type": TYPE, "data": assistants.advanced(published)})
        )
        return body.decode()

    live = Live(newest, snapshots.pointed, measures, push_seconds=settings.push_seconds, most=settings.max_websockets)

    @asynccontextmanager
    async def lifespan(_app: FastAPI) -> AsyncIterator[None]:
        live.start()
        await serving.start()
        yield
        await live.stop()
        serving.stop()

    app = FastAPI(
        title="tidemill",
        version=__version__,
        description="The published tables, and what dashboards ask of them.",
        lifespan=lifespan,
        docs_url=None,  # their pages load scripts from elsewhere
        redoc_url=None,
        responses=PROBLEMS,
    )
    app.state.serving = serving
    app.include_router(routes_tables.router)
    app.include_router(routes_analytics.router)
    _add_own(app, live, measures)
    for kind, status in _STATUS:
        app.add_exception_handler(kind, _handler(status))
    app.add_exception_handler(RequestValidationError, _invalid)
    app.add_exception_handler(HTTPException, _http)
    app.add_middleware(
        Door,
        token=token,
        hosts=hosts,
        origins=frozenset(settings.cors_origins),
        seconds=settings.timeout_seconds,
        max_request_bytes=settings.max_request_bytes,
        max_requests=settings.max_requests,
        measures=measures,
    )
    if settings.cors_origins:  # outermost: a browser asks beforehand, and gives no token yet
        app.add_middleware(
            CORSMiddleware,
            allow_origins=settings.cors_origins,
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["ETag", SNAPSHOT, AS_OF, routes_tables.NEXT_CURSOR, routes_tables.TOTAL_ROWS],
        )
    return app


def _add_own(app: FastAPI, live: Live, measures: Measures) -> None:
    """The server's own routes: whether it is well, what it counts, and its WebSocket."""

    @app.get("/healthz", tags=["server"])
    async def healthz() -> dict[str, str]:
        """Whether the server runs."""
        return {"status": "ok"}

    @app.get("/readyz", tags=["server"])
    async def readyz(request: Request) -> dict[str, str]:
        """Whether there is a snapshot to answer from, and which."""
        published = await serving_of(request).newest()
        return {"status": "ready", "snapshot": published.id}

    @app.get("/metrics", tags=["server"], response_class=PlainTextResponse)
    async def metrics() -> Response:
        """What the server counts, in Prometheus' text format."""
        return Response(measures.text(), media_type="text/plain; version=0.0.4; charset=utf-8")

    for path, endpoint in (("/healthz", healthz), ("/readyz", readyz), ("/metrics", metrics)):
        app.add_api_route(path, endpoint, methods=["HEAD"], include_in_schema=False)

    @app.websocket("/ws/analytics")
    async def analytics(websocket: WebSocket) -> None:
        await live.serve(websocket)


def _handler(status: int) -> Any:  # noqa: ANN401 - what Starlette takes
    async def handle(request: Request, error: Exception) -> JSONResponse:
        if isinstance(error, (TimeoutError, TooLongError)):
            return JSONResponse({"detail": TOO_LONG}, status_code=status)
        own = isinstance(error, TidemillError)
        detail = str(error) if own else f"{type(error).__name__}; the server's log says more"
        place = f"{serving_of(request).snapshots.home.path}/"  # where the home is concerns nobody who asks
        return JSONResponse({"detail": detail.replace(place, "")}, status_code=status)

    return handle


async def _invalid(_request: Request, error: Exception) -> JSONResponse:
    """Every parameter that cannot be used, in one line."""
    faults = error.errors() if isinstance(error, RequestValidationError) else []
    if any(fault["loc"][0] == "body" for fault in faults):
        return JSONResponse({"detail": NO_QUESTION}, status_code=422)
    said = "; ".join(f"{'.'.join(map(str, fault['loc'][1:])) or fault['loc'][0]}: {fault['msg']}" for fault in faults)
    return JSONResponse({"detail": said}, status_code=422)


async def _http(_request: Request, error: Exception) -> JSONResponse:
    status, detail = (error.status_code, error.detail) if isinstance(error, HTTPException) else (500, str(error))
    status = 422 if status == 400 else status  # noqa: PLR2004 - a body that is no text is as useless as any other
    headers = error.headers if isinstance(error, HTTPException) else None
    return JSONResponse({"detail": detail}, status_code=status, headers=headers)
