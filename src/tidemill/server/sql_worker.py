"""Child process of the server that runs users' SQL: a question a line on standard input, an answer a line back.

A statement can crash the engine, or hang where no time limit reaches it. Then this process dies, and not the server.
"""

from __future__ import annotations

import json
import os
import resource
import signal
import sys
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, TypedDict

from tidemill.engine import export
from tidemill.errors import NotFoundError, TidemillError, TooLongError, UsageError
from tidemill.home.home import Home
from tidemill.readers import sql
from tidemill.server.snapshots import WITH_SQL, Snapshots

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa

SPARE_SECONDS: Final = 2.0
"""A process whose server is gone ends itself so long after the deadline."""
LONGEST_MESSAGE: Final = 2_000
"""Letters of an error's message that are sent: it may quote a whole query."""
ERRORS: Final[dict[str, type[TidemillError]]] = {
    kind.__name__: kind for kind in (NotFoundError, UsageError, TooLongError, TidemillError)
}
"""The errors that the server tells apart, the special ones first."""


class Question(TypedDict):
    """One SELECT over a snapshot, and the file that its rows go to."""

    snapshot: str
    query: str
    format: str
    path: str
    max_rows: int


def main(home: str, seconds: str) -> None:
    """Answer questions until standard input ends.

    Args:
        home: The folder of the home.
        seconds: The time that one question may take.
    """
    # The pipe to the server must carry answers only, whatever a library prints.
    answers = os.fdopen(os.dup(sys.stdout.fileno()), "wb", buffering=0)
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    # A crash must not fill the disk with the image of its memory.
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    snapshots = Snapshots(Home.at(home), seconds=float(seconds), engines=WITH_SQL)
    serve(snapshots, sys.stdin.buffer, answers, float(seconds))


def serve(snapshots: Snapshots, questions: Iterable[bytes], answers: IO[bytes], seconds: float) -> None:
    """Answer each question; the kernel ends the process if one takes much longer than it may."""
    for line in questions:
        # The server kills this process at the deadline. The alarm is for the case that the server was killed itself:
        # it ends the process even where the engine holds the interpreter's lock.
        signal.setitimer(signal.ITIMER_REAL, seconds + SPARE_SECONDS)
        answer = json.dumps(_answer(snapshots, json.loads(line)))
        signal.setitimer(signal.ITIMER_REAL, 0)
        answers.write(f"{answer}\n".encode())


def _answer(snapshots: Snapshots, question: Question) -> dict[str, Any]:
    try:
        _write(snapshots, question)
    except TidemillError as error:
        kind = next(name for name, kind in ERRORS.items() if isinstance(error, kind))
        return {"error": kind, "message": str(error)[:LONGEST_MESSAGE]}
    return {}


def _write(snapshots: Snapshots, question: Question) -> None:
    """Write the rows of a question to its file."""
    most = question["max_rows"]
    with sql.beside(snapshots.named(question["snapshot"]).tables) as connection:
        rows: pa.Table = export.arrow(sql.select(connection, question["query"]).limit(most + 1))
    if rows.num_rows > most:
        raise UsageError(f"the query returns more than {most:,} rows; add a LIMIT")
    export.write(rows, question["format"], Path(question["path"]))


if __name__ == "__main__":
    main(*sys.argv[1:])
