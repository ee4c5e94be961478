"""Why the engine cannot load a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import duckdb

from tidemill.engine import messages
from tidemill.errors import SourceError
from tidemill.ingest.staging.mapped import format_fault

if TYPE_CHECKING:
    from tidemill.errors import UsageError
    from tidemill.ingest.load import Load


def is_of_source(load: Load, error: duckdb.Error) -> bool:
    """Return whether an error is about the file that is read, and not about what is written beside the lake."""
    own = load.spooled or load.members or not load.readable
    return not own and load.readable in str(error)


def fault(load: Load, error: duckdb.Error) -> UsageError:
    """Return what is to be said of a file that cannot be loaded."""
    if isinstance(error, duckdb.OutOfMemoryException):
        return SourceError(f"{load.uri} cannot be loaded: {messages.unfit(error)}")
    message = str(error).splitlines()[0]
    if not load.format.native:
        return format_fault(load, message)
    return SourceError(f"{load.uri} cannot be read: {message}")
