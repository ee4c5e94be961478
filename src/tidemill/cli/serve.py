"""The part of the command that serves a home to other programs."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.options import mill_of
from tidemill.cli.output import note

if TYPE_CHECKING:
    from tidemill.server.run import Addresses


def serve(
    context: typer.Context,
    host: Annotated[str | None, typer.Option(help="The address to listen on; 127.0.0.1, if not given.")] = None,
    port: Annotated[int | None, typer.Option(min=0, max=65535, help="HTTP's port; 8000, if not given; 0: any.")] = None,
    grpc_port: Annotated[
        int | None, typer.Option(min=0, max=65535, help="gRPC's port; 50055, if not given; 0: any.")
    ] = None,
    token_file: Annotated[
        Path | None,
        typer.Option(help="A file with the token that everyone must give; else the variable TIDEMILL_TOKEN has it."),
    ] = None,
    insecure: Annotated[
        bool, typer.Option("--insecure", help="Let anyone who reaches the address read, without a token.")
    ] = False,
    sql: Annotated[bool | None, typer.Option("--sql/--no-sql", help="Answer POST /api/v1/sql.")] = None,
) -> None:
    """Serve the published tables over HTTP, WebSocket and gRPC, until Ctrl-C."""
    from tidemill.config import settings
    from tidemill.errors import UsageError
    from tidemill.snapshots import publish

    home = mill_of(context).home
    if not home.path.is_dir():
        raise UsageError(f"there is no home {home.path}; name it with --home, or make it: tidemill --home DIR init")
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")  # what goes wrong is said in our own words
    config = settings.load(home.path).serve
    given = {"host": host, "port": port, "grpc_port": grpc_port, "sql": sql}
    config = config.model_copy(update={name: value for name, value in given.items() if value is not None})
    try:
        from tidemill.server import run as server_run
    except ModuleNotFoundError as error:
        raise UsageError(f"serve needs {error.name}; run: pip install 'tidemill[serve]'") from error
    token = server_run.token_of(token_file)
    server_run.check(config, token, insecure=insecure)
    if not publish.current(home).id:
        note(
            f"nothing is published in {home.path} yet: the server answers as soon as there is; "
            f"run: tidemill --home {context.find_root().obj} build"
        )
    server_run.run(home, config, token=token, insecure=insecure, ready=lambda at: _say(home.path, at))


def _say(home: Path, at: Addresses) -> None:
    http, grpc = at.http, at.grpc
    note(f"serving {home} on {http} (see {http}/openapi.json), gRPC on {grpc}; Ctrl-C ends it")
