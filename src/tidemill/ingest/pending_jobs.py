"""Whether what waits for a job is to be fed again: it is since new jobs came, until an ingest has done so.

An ingest that is killed between both leaves that to the next one, which may have nothing new to load.
"""

from __future__ import annotations

import uuid
from typing import TYPE_CHECKING, Final

from tidemill.lake import commits

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill.home.home import Home

FILE: Final = "waiting"
"""It names the newest commit of jobs after which nothing was fed again."""


def begin(home: Home) -> None:
    """Say that jobs are about to come; call it under the lake's lock."""
    commits.replace(_file(home), uuid.uuid4().hex)


def due(home: Home) -> str | None:
    """What names the newest jobs after which nothing was fed again; None if there are none."""
    try:
        return _file(home).read_text()
    except FileNotFoundError:
        return None


def end(home: Home, done: str | None) -> None:
    """Say that all that waited was fed again after the jobs that were due then; others may have come since."""
    if done is not None:
        with home.lock("lake"):
            if due(home) == done:
                _file(home).unlink()


def _file(home: Home) -> Path:
    return home.lake / FILE
