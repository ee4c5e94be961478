"""The records that are measured: lines made by SQL from their numbers, the same on every machine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

COLUMNS: Final = {
    "id": "VARCHAR",
    "timestamp": "TIMESTAMP",
    "type": "VARCHAR",
    "name": "VARCHAR",
    "session_id": "VARCHAR",
    "user_id": "VARCHAR",
    "success": "BOOLEAN",
    "duration_ms": "DOUBLE",
    "input_tokens": "BIGINT",
    "output_tokens": "BIGINT",
    "model": "VARCHAR",
    "cost_usd": "DOUBLE",
}
"""The fields of a line, as every contender is told them who asks; a timestamp is of UTC."""
FIRST: Final = "2026-02-01"
DAYS: Final = 5
"""Lines are of that many days from FIRST on, in order."""
WIDE_FIELDS: Final = 200
FILE_LINES: Final = 100
"""How many lines a small file has."""

_RECORD: Final = """
    {id} AS id,
    strftime(TIMESTAMP '{first}' + to_microseconds(CAST(i * {step} AS BIGINT)), '%Y-%m-%dT%H:%M:%S.%fZ') AS timestamp,
    ['llm_request', 'tool_use', 'step', 'function_call'][1 + i % 4] AS type,
    'name' || (hash(i) % 100) AS name,
    's' || (i // 20) AS session_id,
    'u' || (hash(i // 20) % 5000) AS user_id,
    (hash(i + 7) % 10) > 0 AS success,
    (hash(i + 1) % 100000) / 10.0 AS duration_ms,
    (hash(i + 2) % 1000)::INTEGER AS input_tokens,
    (hash(i + 3) % 1000)::INTEGER AS output_tokens,
    'gpt-4o' AS model,
    (hash(i + 4) % 1000) / 10000.0 AS cost_usd
"""
_WRITE: Final = "COPY ({select}) TO '{path}' (FORMAT json)"
_WRITE_TEXT: Final = "COPY ({select}) TO '{path}' (FORMAT csv, HEADER false, QUOTE '', ESCAPE '')"


def clean(path: Path, count: int) -> str:
    """The SQL that writes lines of which every one is good."""
    return _WRITE.format(select=f"SELECT {_record(count)} FROM range({count}) AS t(i)", path=path)


def bad(path: Path, count: int) -> str:
    """The SQL that writes lines of which one in a hundred is bad: cut off, without its timestamp, a word for a number.

    The ids of bad lines begin with bad-, as far as a line has one.
    """
    record = _record(count, name="if(i % 100 = 50, 'bad-', '') || md5(i::VARCHAR)")
    line = f"""
        SELECT CASE WHEN i % 100 <> 50 THEN text
            WHEN i % 300 = 50 THEN text[:length(text) // 2]
            WHEN i % 300 = 150 THEN replace(text, '"timestamp"', '"at"')
            ELSE regexp_replace(text, '"duration_ms":[0-9.]+', '"duration_ms":"soon"')
        END AS line
        FROM (SELECT i, to_json(r)::VARCHAR AS text FROM (SELECT i, struct_pack({_packed()}) AS r
            FROM (SELECT i, {record} FROM range({count}) AS t(i))))
    """
    return _WRITE_TEXT.format(select=line, path=path)


def wide(path: Path, count: int) -> str:
    """The SQL that writes lines of 200 fields: those of COLUMNS, eight more that we know, and 180 that nobody does."""
    known = [f"'{name}' || (hash(i + {n}) % 50) AS {name}" for n, name in enumerate(_more_names(), 10)]
    fields = [f"'value ' || (hash(i * 200 + {n}) % 10000) AS field_{n}" for n in range(unknown_fields())]
    select = f"SELECT {_record(count)}, {', '.join([*known, *fields])} FROM range({count}) AS t(i)"
    return _WRITE.format(select=select, path=path)


def late(path: Path, count: int, days: Sequence[str]) -> str:
    """The SQL that writes records of some old days, evenly spread over them."""
    listed = ", ".join(f"'{day}'" for day in days)
    record = _record(count, name="'late-' || i")
    select = f"""
        SELECT * EXCLUDE (i) REPLACE ([{listed}][1 + i % {len(days)}] || timestamp[11:] AS timestamp), 'event' AS record
        FROM (SELECT i, {record} FROM range({count}) AS t(i))
    """
    return _WRITE.format(select=select, path=path)


def small(folder: Path, files: int) -> str:
    """The SQL that writes many files of a hundred lines: one COPY each, through one connection."""
    count = files * FILE_LINES
    made = f"CREATE TEMP TABLE lines AS SELECT i, {_record(count)} FROM range({count}) AS t(i)"
    copies = (
        _WRITE.format(
            select=f"SELECT * EXCLUDE (i) FROM lines WHERE i BETWEEN {n * FILE_LINES} AND {(n + 1) * FILE_LINES - 1}",
            path=folder / f"{n:06}.jsonl",
        )
        for n in range(files)
    )
    return ";\n".join([made, *copies])


def unknown_fields() -> int:
    """How many fields of a wide line no column takes."""
    return WIDE_FIELDS - len(COLUMNS) - len(_more_names())


def _more_names() -> Sequence[str]:
    return ("user_name", "agent_id", "assistant_id", "tool_name", "project", "request_id", "category", "provider")


def _record(count: int, *, name: str = "md5(i::VARCHAR)") -> str:
    return _RECORD.format(id=name, first=FIRST, step=DAYS * 86_400_000_000 // count)


def _packed() -> str:
    return ", ".join(f"{name} := {name}" for name in COLUMNS)
