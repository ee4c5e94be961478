"""Failures of single files: each is reported, and the other files go on."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.errors import SourceError, TidemillError, UnexpectedError, UsageError
from tidemill.home import disk_errors
from tidemill.home.file_names import shown

if TYPE_CHECKING:
    from pathlib import Path

_INTERRUPTED: Final = "Query interrupted"


def of_reading(error: Exception, path: Path) -> TidemillError:
    """Return why a file cannot be looked at.

    Raises:
        TidemillError: the failure is not the file's, but the home's.
    """
    if isinstance(error, OSError):
        told: TidemillError = SourceError(f"{shown(path)} cannot be read: {error.strerror or error}")
        told.__cause__ = error
        return told
    return _of_file(error, shown(path))


def of_staging(error: Exception, uri: str, folder: Path) -> TidemillError:
    """Return why a file cannot be staged in a folder of the home.

    Raises:
        StorageError: the disk of the home refuses.
        TidemillError: the failure is not the file's, but the home's.
    """
    if not isinstance(error, TidemillError):
        disk_errors.check(error, folder)
    return _of_file(error, uri)


def _of_file(error: Exception, uri: str) -> TidemillError:
    if isinstance(error, UsageError):
        return error
    # Whoever interrupts one file means all of them.
    if isinstance(error, (TidemillError, duckdb.InterruptException)) or str(error) == _INTERRUPTED:
        raise error
    first = str(error).partition("\n")[0]
    told = UnexpectedError(
        f"{uri} cannot be loaded: unexpected {type(error).__name__}{first and f' ({first})'}; "
        "the next ingest tries it again, and --debug shows the traceback"
    )
    told.__cause__ = error
    return told
