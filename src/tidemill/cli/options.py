"""What several rooms of the command share: options that all that reads takes, and the home that a command is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.cli.output import Format

if TYPE_CHECKING:
    from tidemill.api import Tidemill

FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format", help="What the result is written as; if not given, what the file's name says, or a table."
    ),
]


def mill_of(context: typer.Context) -> Tidemill:
    """The home that the command's --home names."""
    from tidemill.api import Tidemill

    return Tidemill(context.find_root().obj)


def elsewhere(context: typer.Context, target: Path | None) -> Path | None:
    """Where a result is to be written, which is not where the home keeps what never changes.

    Raises:
        UsageError: it is, be it through a link.
    """
    if target:
        from tidemill.errors import UsageError

        home = mill_of(context).home
        place = target.resolve()
        if any(place.is_relative_to(own.resolve()) for own in (home.tables, home.lake)):
            raise UsageError(f"{target} belongs to the home's tables or lake; name a file elsewhere")
    return target


OutputOption = Annotated[
    Path | None, typer.Option("--output", callback=elsewhere, help="The file that the result is written to.")
]
