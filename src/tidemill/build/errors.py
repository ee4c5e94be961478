"""Errors of a build."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tidemill.build.outcome import Built, Outcome
from tidemill.errors import TableError, TidemillError


class BuildError(TidemillError):
    """Some tables could not be built; the others are published: `built`. `failures`, and the notes, say why."""

    def __init__(self, built: Sequence[Built], failures: Sequence[TableError], waiting: Sequence[str]) -> None:
        self.built = built
        self.failures = failures
        count = "1 table" if len(failures) == 1 else f"{len(failures)} tables"
        waits = f"; what reads such tables stays as it was: {', '.join(waiting)}" if waiting else ""
        super().__init__(f"{count} could not be built{waits}; everything else is published")
        for failure in failures:
            self.add_note(str(failure))


class CheckError(TidemillError):
    """A check found what must not be, or cannot be run; nothing is published. `outcomes` are what those found."""

    def __init__(self, message: str = "", outcomes: Sequence[Outcome] = ()) -> None:
        self.outcomes = outcomes
        super().__init__(message)
