"""The part of the command that reads a home: queries, tables over windows, what is fresh and what the checks find."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.options import FormatOption, OutputOption, mill_of
from tidemill.cli.output import note

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.api import Tidemill
    from tidemill.build.outcome import Outcome


def query(
    context: typer.Context,
    sql: Annotated[str, typer.Argument(help="One SELECT in DuckDB's SQL.")],
    form: FormatOption = None,
    output: OutputOption = None,
) -> None:
    """Ask the published tables and the lake with SQL, read-only."""
    from tidemill.cli.output import write

    write(mill_of(context).sql(sql), form, output)


def show(
    context: typer.Context,
    table: Annotated[str, typer.Argument(help="The table's name.")],
    since: Annotated[
        str | None, typer.Option(metavar="36h|7d", help="Over the hours or days up to --as-of, of the lake's records.")
    ] = None,
    as_of: Annotated[
        str | None, typer.Option("--as-of", metavar="TIME|latest", help="When --since ends; now, if not given.")
    ] = None,
    from_: Annotated[
        str | None, typer.Option("--from", metavar="TIME", help="Over the lake's records from this time on.")
    ] = None,
    to: Annotated[str | None, typer.Option(metavar="TIME", help="And before this time; now, if not given.")] = None,
    where: Annotated[
        list[str] | None,
        typer.Option(
            metavar="COLUMN=VALUE",
            help="Only what equals that: of a window's records, or else of the table's rows. As often as needed.",
        ),
    ] = None,
    form: FormatOption = None,
    output: OutputOption = None,
) -> None:
    """Show a table as it is published, or the same select over a window of the lake's records."""
    from tidemill.cli.output import write
    from tidemill.query.window import Asked

    mill, filters = mill_of(context), _filters(where or [])
    asked = Asked(since=since, as_of=as_of, from_=from_, to=to)
    if not asked:
        write(mill.published(table, filters), form, output)
        return
    shown = mill.over(table, asked, filters)
    for said in shown.notes:
        note(said)
    write(shown.rows, form, output)


def _filters(where: Sequence[str]) -> dict[str, str]:
    from tidemill.errors import UsageError

    found: dict[str, str] = {}
    for text in where:
        column, equals, value = text.partition("=")
        if not equals:
            raise UsageError(f"where takes column=value; not {text}")
        if column in found:
            raise UsageError(f"where names {column} twice; a column equals one value")
        found[column] = value
    return found


def path(context: typer.Context, table: Annotated[str, typer.Argument(help="The table's name.")]) -> None:
    """Print the folder of a table's files in the newest snapshot."""
    typer.echo(mill_of(context).path(table))


def tables(
    context: typer.Context,
    table: Annotated[str | None, typer.Argument(help="One table, to be described.")] = None,
    form: FormatOption = None,
    output: OutputOption = None,
) -> None:
    """List the tables that there are, or say all about one: columns, key, freshness and size."""
    from tidemill.cli import describe, render
    from tidemill.home.home import Home

    if table:
        describe.write(mill_of(context).describe(table), form, output)
    else:
        Home.at(context.find_root().obj)  # a newer one may have other tables
        render.tables(form, output)


def status(context: typer.Context, form: FormatOption = None, output: OutputOption = None) -> None:
    """Say what is fresh, stale or sealed, and which thresholds are breached."""
    from tidemill.cli import render

    mill = mill_of(context)
    render.status(mill.status(), [*mill.setbacks(), *mill.breaches(), *mill.late(), *mill.moved()], form, output)


def check(
    context: typer.Context,
    deep: Annotated[
        bool,
        typer.Option("--deep", help="Over all that is published, not just the newest build; read every stored file."),
    ] = False,
    form: FormatOption = None,
    output: OutputOption = None,
) -> None:
    """Run the checks over what is published; exit code 1 if one fails. With --deep every stored file is read, too."""
    from tidemill.cli import render

    mill = mill_of(context)
    damage = _damage(mill) if deep else []
    found = [*damage, *([] if any(one.forbids for one in damage) else mill.check(deep=deep))]
    render.checks(found, form, output)
    if any(outcome.forbids for outcome in found):
        raise typer.Exit(1)


def _damage(mill: Tidemill) -> list[Outcome]:
    """Read every stored file; what is damaged is said in a line each, and what is built of it needs no checks."""
    from tidemill.build.checks.run import of_files
    from tidemill.cli.progress import progress
    from tidemill.home import format_version

    with progress("check") as report:
        faults = mill.damage(progress=report)
    for fault in faults:
        note(f"tidemill: {fault}")
    if format_version.of_lake(mill.home.lake) < format_version.FORMAT and mill.home.lake.is_dir():
        note(
            "the lake's files were read, but an older version's names do not tell their content; run: tidemill upgrade"
        )
    return of_files(faults)
