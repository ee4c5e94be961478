"""What several rooms of the command share: options that all that reads takes, and the home that a command is about."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from tidemill.output import Format

if TYPE_CHECKING:
    from tidemill.readers.client import Tidemill

FormatOption = Annotated[
    Format | None,
    typer.Option(
        "--format", help="What the result is written as; if not given, what the file's name says, or a table."
    ),
]
OutputOption = Annotated[Path | None, typer.Option("--output", help="The file that the result is written to.")]


def mill_of(context: typer.Context) -> Tidemill:
    """The home that the command's --home names."""
    from tidemill.readers.client import Tidemill

    return Tidemill(context.find_root().obj)
