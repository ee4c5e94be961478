"""Sample jobs, events and metrics in the native format: as many as asked for, the same for the same seed.

The SQL in `simulation/` makes every line from its number: a row's random figures are hashes of seed, row and
purpose. What happens are stories (a job's run, a conversation, an agent's session), told again and again with
other people, models, durations and outcomes; see `simulation/stories.sql`. The bytes depend on the arguments and
on DuckDB's version (its `hash`), and on nothing else.
"""

from __future__ import annotations

import shutil
from bisect import bisect_left, bisect_right
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from importlib.resources import files
from itertools import pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

import duckdb

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

UNTIL: Final = datetime(2026, 3, 1, tzinfo=UTC)
"""Where the period ends unless it is told otherwise: fixed, so that a seed gives the same bytes on any day."""

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_SECOND: Final = 1_000_000
_STEP: Final = 900 * _SECOND
"""A quarter of an hour: as fine as the rhythm of day and week is told (`simulation/period.sql`)."""
_LATEST: Final = 96 * 3600 * _SECOND
"""No record arrives this long after its story began: 8 hours of story, 72 of delay, one until it is repeated."""
_LONGEST: Final = 12 * 3600 * _SECOND
"""Nor does one that is not late: 8 hours of story, one until it is repeated."""
_LINES_PER_ROW: Final = {"jobs": 4, "events": 1, "metrics": 1}
_WRITE: Final = """
COPY (SELECT line FROM arrivals WHERE day IS NOT DISTINCT FROM $day) TO $path
(FORMAT csv, HEADER false, QUOTE '', ESCAPE '')
"""


def simulate(
    folder: Path,
    *,
    events: int = 100_000,
    jobs: int | None = None,
    metrics: int | None = None,
    days: int = 30,
    until: datetime | None = None,
    seed: int = 0,
    threads: int | None = None,
    at_once: int = 1_000_000,
) -> list[Path]:
    """Write jobs.jsonl, events-<UTC day>.jsonl and metrics.jsonl into a folder.

    Args:
        folder: Made if it is not there; files of the same names are replaced.
        events: How many distinct valid events; repeated (0.5 %) and broken lines (1 in 5,000, at least 3) come on top.
        jobs: How many jobs, each observed about 3.3 times; default a tenth of the events.
        metrics: How many distinct samples; default a tenth of the events.
        days: Length of the period, in days of 24 hours.
        until: Its end, which nothing reaches; naive is UTC; default `UNTIL`.
        seed: Other seeds tell other stories.
        threads: How many threads DuckDB may use; default all cores. The bytes are the same.
        at_once: About how many lines are held in memory at once. The bytes are the same.

    Returns:
        The files written: jobs, then events by day, then metrics. A record without lines has no file, nor has a day.

    Raises:
        ValueError: A count is negative, or the period is shorter than a day.
    """
    counts = {
        "jobs": events // 10 if jobs is None else jobs,
        "events": events,
        "metrics": events // 10 if metrics is None else metrics,
    }
    if days < 1 or min(counts.values()) < 0:
        raise ValueError(f"cannot simulate {counts} over {days} days: counts are 0 or more, days 1 or more")
    ends = _micros(until or UNTIL)
    period = {"start": ends - days * 86_400 * _SECOND, "until": ends}
    folder.mkdir(parents=True, exist_ok=True)
    with TemporaryDirectory(prefix=".simulate-", dir=folder) as scratch, _engine(scratch, threads) as engine:
        for name in ("chance", "names", "broken", "stories", "period"):
            _run(engine, name, counts | period | {"seed": seed})
        paths = [
            path
            for table, rows in counts.items()
            if rows
            for span in _spans(engine, table, at_once)
            for path in _write(engine, table, span, scratch)
        ]
        return [path.replace(folder / path.name) for path in dict.fromkeys(paths)]


@dataclass(frozen=True)
class _Span:
    """The records that arrive from one instant to before another, in microseconds, and the rows among which they are.

    From row `first` on they may be late; from row `recent` on a story may still be going on.
    """

    begins: int
    ends: int
    first: int
    recent: int
    last: int


def _micros(instant: datetime) -> int:
    aware = instant if instant.tzinfo else instant.replace(tzinfo=UTC)
    return (aware - _EPOCH) // timedelta(microseconds=1)


def _engine(scratch: str, threads: int | None) -> duckdb.DuckDBPyConnection:
    settings: dict[str, str | bool | int | float | list[str]] = {"temp_directory": scratch, "memory_limit": "1500MB"}
    engine = duckdb.connect(config=settings | ({"threads": threads} if threads else {}))
    engine.execute("SET enable_progress_bar = false")
    return engine


def _run(engine: duckdb.DuckDBPyConnection, name: str, values: Mapping[str, int]) -> None:
    sql = (files("tidemill") / "simulation" / f"{name}.sql").read_text(encoding="utf-8")
    for statement in engine.extract_statements(sql):
        engine.execute(statement, {name: values[name] for name in statement.named_parameters})


def _spans(engine: duckdb.DuckDBPyConnection, table: str, at_once: int) -> Iterator[_Span]:
    """Cut the period into spans of about so many lines each, and find each span's rows with room to spare."""
    plan: dict[str, int] = _value(engine, "SELECT getvariable('plan')")
    rows = plan[table]
    spare = {
        "jobs": 2 * (plan["slots"] + plan["strayed"]) * rows // plan["length"] + 2,
        "events": plan["slots"] + plan["strayed"],
        "metrics": 2 * plan["series"],
    }[table]
    instants = _instants(engine, plan, table)
    steps = len(instants) - 1
    pieces = min(steps, -(-rows * _LINES_PER_ROW[table] // at_once))

    def since(instant: int) -> int:
        return max(0, rows * max(0, bisect_right(instants, instant) - 1) // steps - spare)

    for begins, ends in pairwise(instants[piece * steps // pieces] for piece in range(pieces + 1)):
        last = min(rows, rows * bisect_left(instants, ends) // steps + spare)
        yield _Span(begins, ends, since(begins - _LATEST), since(begins - _LONGEST), last)


def _instants(engine: duckdb.DuckDBPyConnection, plan: Mapping[str, int], table: str) -> Sequence[int]:
    """Between each two of them equal shares of the rows happen: samples are regular, the rest keeps office hours."""
    if table == "metrics":
        return range(plan["start"], plan["until"] + 1, _STEP)
    return [*_value(engine, "SELECT list(instant ORDER BY step) FROM clock"), plan["until"]]


def _value(engine: duckdb.DuckDBPyConnection, sql: str) -> Any:  # noqa: ANN401 - a value of SQL may be anything
    return engine.execute(sql).fetchall()[0][0]


def _write(engine: duckdb.DuckDBPyConnection, table: str, span: _Span, scratch: str) -> Iterator[Path]:
    _run(engine, table, vars(span))
    for (day,) in engine.execute("SELECT DISTINCT day FROM arrivals ORDER BY day").fetchall():
        path = Path(scratch, f"{table}-{day}.jsonl" if day else f"{table}.jsonl")
        chunk = Path(scratch, "chunk")
        engine.execute(_WRITE, {"day": day, "path": str(chunk)})
        _append(chunk, path)
        yield path
    engine.execute("DROP TABLE arrivals")


def _append(chunk: Path, path: Path) -> None:
    if not path.exists():
        chunk.rename(path)
        return
    with chunk.open("rb") as source, path.open("ab") as target:
        shutil.copyfileobj(source, target, 1 << 20)
