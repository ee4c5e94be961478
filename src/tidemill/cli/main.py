"""The command: every argument checked, every error one line, the result alone on standard output."""

from __future__ import annotations

import io
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Final

import typer

from tidemill.cli import maintenance, query, serve
from tidemill.cli.options import elsewhere, mill_of
from tidemill.cli.output import note
from tidemill.errors import TidemillError, redacted
from tidemill.home import disk_errors

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.api import Tidemill
    from tidemill.ingest.queue import Report

INTERRUPTED: Final = 130

app = typer.Typer(
    name="tidemill",
    help="Raw records of jobs, events and metrics in, published tables out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

AsOf = Annotated[
    str | None, typer.Option("--as-of", metavar="TIME|latest", help="When windows end; now, if not given.")
]
Despite = Annotated[
    list[str] | None,
    typer.Option(metavar="CHECK", help="Publish although this check fails. As often as needed."),
]
Full = Annotated[bool, typer.Option("--full", help="Build everything, stale or not.")]


def _version(asked: bool) -> None:
    if asked:
        from tidemill import __version__

        typer.echo(f"tidemill {__version__}")
        raise typer.Exit


@app.callback()
def _options(
    context: typer.Context,
    home: Annotated[
        Path, typer.Option(envvar="TIDEMILL_HOME", help="Where tidemill.toml, the lake and the tables are.")
    ] = Path("data"),
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,  # noqa: ARG001 - main
    version: Annotated[  # noqa: ARG001 - its callback
        bool, typer.Option("--version", is_eager=True, callback=_version, help="Say which version this is.")
    ] = False,
) -> None:
    context.obj = home


@app.command()
def init(context: typer.Context) -> None:
    """Write a tidemill.toml that explains itself."""
    from tidemill.config.example import EXAMPLE
    from tidemill.errors import UsageError

    home = mill_of(context).home
    if home.settings_file.exists():
        raise UsageError(f"{home.settings_file} exists already; edit it, or remove it first")
    home.make(home.path)
    home.settings_file.write_text(EXAMPLE, encoding="utf-8")
    note(f"wrote {home.settings_file}: name your sources in it, then run: tidemill run")


@app.command()
def ingest(
    context: typer.Context,
    names: Annotated[
        list[str] | None,
        typer.Argument(metavar="[SOURCE | FILE ...]", help="Sources or files; all sources, if none is named."),
    ] = None,
    form: Annotated[
        str | None, typer.Option("--format", help="native, a name in sql/records, or a format's SQL file.")
    ] = None,
    record: Annotated[str | None, typer.Option(help="What the records are: job, event or metric.")] = None,
    source: Annotated[str | None, typer.Option(help="The source that named files belong to.")] = None,
    timezone: Annotated[str | None, typer.Option(help="The timezone of times that carry no offset.")] = None,
    reread: Annotated[bool, typer.Option("--reread", help="Read files again that have not changed.")] = False,
) -> None:
    """Load what is new in the configured sources, or in the files named here."""
    mill = mill_of(context)
    options = {"record": record, "format": form, "source": source, "timezone": timezone}
    from tidemill.cli import render
    from tidemill.ingest import quarantine

    found = _ingest(mill, names or [], reread=reread, **options)
    render.loads(found, quarantine.reasons(mill.home, mill.settings, found), debug=_is_debug(context))


def _is_debug(context: typer.Context) -> bool:
    return bool(context.find_root().params["debug"])


def _ingest(mill: Tidemill, names: Sequence[str], *, reread: bool = False, **options: str | None) -> list[Report]:
    from tidemill.cli.progress import progress

    with progress("ingest") as report:
        found = mill.ingest(*names, reread=reread, progress=report, **options)
    if not found:
        note(f"no sources are configured in {mill.home.settings_file}; name files, or run: tidemill init")
    return found


@app.command()
def build(
    context: typer.Context,
    tables: Annotated[
        list[str] | None, typer.Argument(metavar="[TABLE ...]", help="Tables; all, if none is named.")
    ] = None,
    full: Full = False,
    as_of: AsOf = None,
    despite: Despite = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is stale and why, and build nothing.")] = False,
) -> None:
    """Build what is stale, check it, and publish it all at once."""
    mill = mill_of(context)
    if dry_run:
        _plan(mill, tables or [], full=full, as_of=as_of)
    else:
        _build(mill, tables or [], full=full, as_of=as_of, despite=despite or [])


def _plan(mill: Tidemill, tables: Sequence[str], *, full: bool, as_of: str | None) -> None:
    from tidemill.build.plan import plan
    from tidemill.cli import render

    steps = plan(mill.home, mill.settings, names=tables, as_of=as_of, full=full)
    render.steps(steps)
    if not steps:
        note("everything is fresh: nothing would be built")


def _build(
    mill: Tidemill, tables: Sequence[str], *, full: bool, as_of: str | None, despite: Sequence[str] = ()
) -> None:
    from tidemill.build.errors import BuildError
    from tidemill.cli import render
    from tidemill.cli.progress import progress

    try:
        with progress("build") as report:
            built = mill.build(*tables, full=full, as_of=as_of, despite=despite, progress=report, say=_warn)
    except BuildError as error:
        render.built(error.built)
        raise
    render.built(built)
    if not built:
        note("everything is fresh: nothing was built")
    elif as_of is None:
        from tidemill.build.plan import emptiness

        for line in emptiness(mill.home):
            note(line)


def _warn(text: str) -> None:
    note(f"tidemill: {text}")


@app.command()
def run(context: typer.Context, full: Full = False, as_of: AsOf = None) -> None:
    """Ingest every source, then build: the whole pipeline once."""
    from tidemill.cli import render
    from tidemill.ingest import quarantine

    mill = mill_of(context)
    found = _ingest(mill, [])
    try:
        render.loads(found, quarantine.reasons(mill.home, mill.settings, found), debug=_is_debug(context))
    finally:
        _build(mill, [], full=full, as_of=as_of)


app.command()(query.query)
app.command()(query.show)
app.command()(query.path)
app.command()(query.tables)
app.command()(query.status)
app.command()(query.check)
app.add_typer(maintenance.quarantine, name="quarantine")
app.command()(maintenance.compact)
app.command()(maintenance.prune)
app.command()(maintenance.upgrade)
app.command()(serve.serve)


@app.command()
def simulate(
    context: typer.Context,
    output: Annotated[
        Path | None,
        typer.Option("--output", callback=elsewhere, help="The folder for the files; HOME/raw, if not given."),
    ] = None,
    events: Annotated[int, typer.Option(min=1, help="How many events.")] = 100_000,
    jobs: Annotated[int | None, typer.Option(min=0, help="How many jobs; a tenth of the events, if not given.")] = None,
    metrics: Annotated[
        int | None, typer.Option(min=0, help="How many metrics; a tenth of the events, if not given.")
    ] = None,
    days: Annotated[int, typer.Option(min=1, help="Over how many days.")] = 30,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Write sample jobs, events and metrics, as many as you ask for."""
    from tidemill.simulation.simulate import simulate as generate

    home = mill_of(context).home
    folder = output or home.path / "raw"
    home.make(folder)
    for file in generate(folder, events=events, jobs=jobs, metrics=metrics, days=days, seed=seed):
        typer.echo(file)
    note(f"load them with: tidemill --home {context.obj} ingest {folder}")


def main(arguments: Sequence[str] | None = None) -> None:
    """Run the command; a failure is one line on standard error and an exit code."""
    given = sys.argv[1:] if arguments is None else list(arguments)
    if isinstance(sys.stdout, io.TextIOWrapper):
        # A locale that has not all letters is no failure.
        sys.stdout.reconfigure(errors="backslashreplace")
    sys.exit(_run(given or ["--help"]))


def _run(arguments: list[str]) -> int:
    context = None
    try:
        with typer.main.get_command(app).make_context("tidemill", arguments) as context:
            context.command.invoke(context)
        sys.stdout.flush()
    except typer.Exit as end:
        return end.exit_code
    except BrokenPipeError:  # who reads has enough
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except (Exception, KeyboardInterrupt) as error:  # noqa: BLE001 - whatever it is, one line says it
        if context and context.params["debug"]:
            traceback.print_exception(error)
        return _say_failure(error, context.params["home"] if context else Path.cwd())
    return 0


def _of_engine(error: BaseException, what: str) -> str:
    """What to do about a failure of the engine that nobody nearer to it explained."""
    import duckdb

    from tidemill.engine import messages

    if isinstance(error, duckdb.OutOfMemoryException):
        return f"what this command does lacks memory: {messages.unfit(error)}"
    return f"{what} (what is damaged is named by: tidemill check --deep)"


def _say_failure(error: BaseException, home: Path) -> int:
    """Say in one line what went wrong; returns the exit code."""
    if isinstance(error, TidemillError):
        note(f"tidemill: {error}")
        return error.exit_code
    if isinstance(error, typer.TyperException):
        where = getattr(getattr(error, "ctx", None), "command_path", "tidemill")
        note(f"tidemill: {error.format_message().rstrip('.')}; see: {where} --help")
        return error.exit_code
    if isinstance(error, KeyboardInterrupt) or str(error) == "Query interrupted":
        note("tidemill: interrupted; what was begun is finished or dropped by the next run")
        return INTERRUPTED
    if refused := disk_errors.fault(error, home):
        note(f"tidemill: {refused}")
        return refused.exit_code
    what = redacted(str(error).splitlines()[0]) if str(error) else ""
    if type(error).__module__ == "_duckdb":  # which takes long to import
        note(f"tidemill: {_of_engine(error, what)}")
        return 1
    note(f"tidemill: {type(error).__name__}: {what} (--debug shows where)")
    return 1
