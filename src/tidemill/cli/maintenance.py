"""The part of the command that looks after a home: what was refused, fewer files, less history."""

from __future__ import annotations

from typing import Annotated

import typer

from tidemill.cli.options import FormatOption, OutputOption, mill_of
from tidemill.cli.output import Format

quarantine = typer.Typer(
    help="What was refused: a list of it, feeding it again, its texts.",
    no_args_is_help=True,
    rich_markup_mode=None,
)


@quarantine.command(name="list")
def list_refused(
    context: typer.Context,
    count: Annotated[bool, typer.Option("--count", help="How many records of each reason, not each record.")] = False,
    form: FormatOption = None,
    output: OutputOption = None,
) -> None:
    """List the refused records that wait, with file, line, field and reason; of each text its beginning."""
    from tidemill.cli.output import write
    from tidemill.config.settings import of_reader
    from tidemill.ingest.quarantine import counted, listed

    home = mill_of(context).home
    config = of_reader(home.path)
    write(counted(home, config) if count else listed(home, config, whole=False), form, output)


@quarantine.command()
def retry(
    context: typer.Context,
    reason: Annotated[str | None, typer.Option(help="Only what was refused for this reason.")] = None,
) -> None:
    """Feed refused records again, after a fix: what is accepted now leaves the quarantine."""
    from tidemill.cli import render
    from tidemill.cli.output import note
    from tidemill.ingest.quarantine import reasons

    mill = mill_of(context)
    found = mill.retry(reason=reason)
    if not any(report.loads or report.failures for report in found):
        note("nothing was accepted that had been refused")
    render.loads(found, reasons(mill.home, mill.settings, found))


@quarantine.command()
def export(context: typer.Context, form: FormatOption = None, output: OutputOption = None) -> None:
    """Write the refused records with their whole texts; JSON lines, unless another format is asked for."""
    from tidemill.cli.output import write
    from tidemill.config.settings import of_reader
    from tidemill.ingest.quarantine import listed

    home = mill_of(context).home
    asked = form or (Format.of(output) if output else Format.TABLE)
    write(listed(home, of_reader(home.path), whole=True), Format.JSONL if asked is Format.TABLE else asked, output)


def compact(
    context: typer.Context,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be done, and do nothing.")] = False,
    form: FormatOption = None,
    output: OutputOption = None,
) -> None:
    """Make one file of a day's small ones in the lake, and remove old files that nothing names any more."""
    from tidemill.cli import render

    render.compacted(mill_of(context).compact(dry_run=dry_run), form, output)


def upgrade(context: typer.Context) -> None:
    """Migrate a home of an older version of tidemill to this one; what was interrupted is finished."""
    from tidemill.cli.output import note

    mill_of(context).upgrade(say=note)


def prune(
    context: typer.Context,
    keep: Annotated[str, typer.Option(metavar="90d", help="How many days of records are kept.")],
    tables: Annotated[bool, typer.Option("--tables", help="Also remove what the tables say of pruned days.")] = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Say what would be removed, and remove nothing.")] = False,
    form: FormatOption = None,
    output: OutputOption = None,
) -> None:
    """Remove the lake's records of old days for good; tables keep their figures of these days."""
    from tidemill.cli import render

    render.pruned(mill_of(context).prune(keep, tables=tables, dry_run=dry_run), form, output)
