"""The command: every argument checked, every error one line, the result alone on standard output."""

from __future__ import annotations

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.errors import TidemillError
from tidemill.output import Format

if TYPE_CHECKING:
    from tidemill.ingest import Report
    from tidemill.readers.client import Tidemill

app = typer.Typer(
    name="tidemill",
    help="Raw records of jobs, events and metrics in, published tables out.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    context_settings={"help_option_names": ["-h", "--help"]},
)

FormatOption = Annotated[Format, typer.Option("--format", help="What the result is written as.")]
OutputOption = Annotated[Path | None, typer.Option("--output", help="The file that the result is written to.")]
AsOf = Annotated[str | None, typer.Option("--as-of", metavar="TIME|latest", help="When windows end; now, if not given.")]
Full = Annotated[bool, typer.Option("--full", help="Build everything, stale or not.")]


@app.callback()
def _options(
    context: typer.Context,
    home: Annotated[
        Path, typer.Option(envvar="TIDEMILL_HOME", help="Where tidemill.toml, the lake and the tables are.")
    ] = Path("data"),
    debug: Annotated[bool, typer.Option("--debug", help="Show the traceback of an error.")] = False,
) -> None:
    context.obj = home
    if debug:
        os.environ[_DEBUG] = "1"


_DEBUG = "TIDEMILL_TRACEBACK"


def _mill(context: typer.Context) -> Tidemill:
    from tidemill.readers.client import Tidemill

    return Tidemill(context.obj)


def _note(text: str) -> None:
    sys.stderr.write(text + "\n")


@app.command()
def init(context: typer.Context) -> None:
    """Write a tidemill.toml that explains itself."""
    from tidemill.errors import UsageError
    from tidemill.settings import EXAMPLE

    home = _mill(context).home
    if home.settings_file.exists():
        raise UsageError(f"{home.settings_file} exists already; edit it, or remove it first")
    home.make(home.path)
    home.settings_file.write_text(EXAMPLE, encoding="utf-8")
    _note(f"wrote {home.settings_file}: name your sources in it, then run: tidemill run")


@app.command()
def ingest(
    context: typer.Context,
    names: Annotated[list[str] | None, typer.Argument(metavar="[SOURCE | FILE ...]", help="Sources or files; all sources, if none is named.")] = None,
    form: Annotated[str | None, typer.Option("--format", help="native, a name in sql/records, or a format's SQL file.")] = None,
    record: Annotated[str | None, typer.Option(help="What the records are: job, event or metric.")] = None,
    source: Annotated[str | None, typer.Option(help="The source that named files belong to.")] = None,
    timezone: Annotated[str | None, typer.Option(help="The timezone of times that carry no offset.")] = None,
    reread: Annotated[bool, typer.Option("--reread", help="Read files again that have not changed.")] = False,
) -> None:
    """Load what is new in the configured sources, or in the files named here."""
    from tidemill.progress import progress

    mill = _mill(context)
    with progress("ingest") as report:
        found = mill.ingest(
            *(names or []), record=record, format=form, source=source, timezone=timezone, reread=reread, progress=report
        )
    if not found:
        _note(f"no sources are configured in {mill.home.settings_file}; name files, or run: tidemill init")
    _say_loads(found)


def _say_loads(reports: list[Report]) -> None:
    from tidemill.engines import export
    from tidemill.output import write

    counts = ("records_read", "expanded", "accepted", "duplicates", "quarantined", "ignored")
    columns = {"source": "VARCHAR", "loads": "BIGINT"} | dict.fromkeys(counts, "BIGINT")
    rows = [[r.source, len(r.loads), *(r.total(name) for name in counts)] for r in reports]
    if rows:
        write(export.rows(columns, rows), Format.TABLE, None)
    for report in reports:
        for path in report.empty:
            _note(f"{report.source}: {path} is empty")
        if report.unchanged:
            _note(f"{report.source}: {report.unchanged} files hold nothing new")
        if quarantined := report.total("quarantined"):
            _note(f"{report.source}: {quarantined} records were quarantined; see: tidemill query \"SELECT * FROM lake.quarantine\"")
    failures = [failure for report in reports for failure in report.failures]
    for failure in failures[:-1]:
        _note(f"tidemill: {failure}")
    if failures:
        raise failures[-1]


@app.command()
def build(
    context: typer.Context,
    tables: Annotated[list[str] | None, typer.Argument(metavar="[TABLE ...]", help="Tables; all, if none is named.")] = None,
    full: Full = False,
    as_of: AsOf = None,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what is stale and why, and build nothing.")] = False,
) -> None:
    """Build what is stale, and publish it all at once."""
    mill = _mill(context)
    if dry_run:
        from tidemill import build as building
        from tidemill.engines import export
        from tidemill.output import write

        todo = building.plan(mill.home, mill.settings, as_of=as_of, full=full)
        wanted = building.with_inputs(tables or [])
        columns = dict.fromkeys(("table", "partition", "why"), "VARCHAR")
        write(export.rows(columns, [row for row in todo if row[0] in wanted]), Format.TABLE, None)
        return
    _build(mill, tables or [], full=full, as_of=as_of)


def _build(mill: Tidemill, tables: list[str], *, full: bool, as_of: str | None) -> None:
    from tidemill.engines import export
    from tidemill.output import write
    from tidemill.progress import progress

    with progress("build") as report:
        built = mill.build(*tables, full=full, as_of=as_of, progress=report)
    columns = {"table": "VARCHAR", "partitions": "BIGINT", "rows": "BIGINT", "seconds": "DOUBLE"}
    if built:
        write(export.rows(columns, [[b.table, len(b.partitions), b.rows, b.seconds] for b in built]), Format.TABLE, None)
    else:
        _note("everything is fresh: nothing was built")


@app.command()
def run(context: typer.Context, full: Full = False, as_of: AsOf = None) -> None:
    """Ingest every source, then build: the whole pipeline once."""
    from tidemill.progress import progress

    mill = _mill(context)
    with progress("ingest") as report:
        found = mill.ingest(progress=report)
    try:
        _say_loads(found)
    finally:
        _build(mill, [], full=full, as_of=as_of)


@app.command()
def query(
    context: typer.Context,
    sql: Annotated[str, typer.Argument(help="One SELECT in DuckDB's SQL.")],
    form: FormatOption = Format.TABLE,
    output: OutputOption = None,
) -> None:
    """Ask the published tables and the lake with SQL, read-only."""
    from tidemill.output import write

    write(_mill(context).sql(sql), form, output)


@app.command()
def show(
    context: typer.Context,
    table: Annotated[str, typer.Argument(help="The table's name.")],
    form: FormatOption = Format.TABLE,
    output: OutputOption = None,
) -> None:
    """Show a table."""
    from tidemill.engines.quoting import identifier
    from tidemill.output import write

    mill = _mill(context)
    mill.path(table)
    write(mill.sql(f"FROM {identifier(table)}"), form, output)


@app.command()
def path(context: typer.Context, table: Annotated[str, typer.Argument(help="The table's name.")]) -> None:
    """Print the folder of a table's files in the newest snapshot."""
    typer.echo(_mill(context).path(table))


@app.command()
def tables(context: typer.Context, form: FormatOption = Format.TABLE, output: OutputOption = None) -> None:
    """List the tables that there are."""
    from tidemill import catalog
    from tidemill.engines import export
    from tidemill.output import write

    found = catalog.tables().values()
    rows = [[t.name, t.family, t.grain, t.partition, t.description] for t in sorted(found, key=lambda t: (t.family, t.name))]
    columns = dict.fromkeys(("table", "family", "grain", "partition", "description"), "VARCHAR")
    write(export.rows(columns, rows), form, output)


@app.command()
def status(context: typer.Context, form: FormatOption = Format.TABLE, output: OutputOption = None) -> None:
    """Say what is fresh and what is stale."""
    from tidemill.engines import export
    from tidemill.output import write

    columns = {"table": "VARCHAR", "partitions": "BIGINT", "stale": "BIGINT", "why": "VARCHAR", "rows": "BIGINT", "built_at": "TIMESTAMP WITH TIME ZONE"}
    rows = [[s.table, s.partitions, s.stale, s.why or None, s.rows, s.built_at or None] for s in _mill(context).status()]
    write(export.rows(columns, rows), form, output)


@app.command()
def simulate(
    context: typer.Context,
    output: Annotated[Path | None, typer.Option("--output", help="The folder for the files; HOME/raw, if not given.")] = None,
    events: Annotated[int, typer.Option(min=1, help="How many events.")] = 100_000,
    jobs: Annotated[int | None, typer.Option(min=0, help="How many jobs; a tenth of the events, if not given.")] = None,
    metrics: Annotated[int | None, typer.Option(min=0, help="How many metrics; a tenth of the events, if not given.")] = None,
    days: Annotated[int, typer.Option(min=1, help="Over how many days.")] = 30,
    seed: Annotated[int, typer.Option(help="The same seed gives the same bytes.")] = 0,
) -> None:
    """Write sample jobs, events and metrics, as many as you ask for."""
    from tidemill.simulate import simulate as generate

    home = _mill(context).home
    folder = output or home.path / "raw"
    home.make(folder)
    for file in generate(folder, events=events, jobs=jobs, metrics=metrics, days=days, seed=seed):
        typer.echo(file)
    _note(f"load them with: tidemill --home {context.obj} ingest {folder}")


def main() -> None:
    """Run the command; a failure is one line on standard error and an exit code."""
    try:
        app()
    except TidemillError as error:
        if os.environ.get(_DEBUG):
            raise
        _note(f"tidemill: {error}")
        sys.exit(error.exit_code)
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except Exception as error:
        if os.environ.get(_DEBUG):
            raise
        _note(f"tidemill: {type(error).__name__}: {str(error).splitlines()[0] if str(error) else ''} (--debug shows where)")
        sys.exit(1)
