"""Names in a format's SELECT mean the same over JSON lines, JSON documents, CSV and Parquet."""

from __future__ import annotations

import csv
import io
import json
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.errors import FormatError

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.conftest import Lake

Record = dict[str, str]

RECORDS: list[Record] = [
    {"ts": "2026-02-10T09:00:00Z", "type": "answer", "name": "ann", "tool": "search", "tags": '["a","b"]'},
    {"ts": "2026-02-10T09:00:01Z", "type": "ping", "name": "bob", "tool": "none", "tags": "[]"},
    {"ts": "2026-02-10T09:00:02Z", "type": "answer", "name": "cid", "tool": "open", "tags": '["c"]'},
]


def _lines(records: Sequence[Record]) -> bytes:
    return "".join(json.dumps(record) + "\n" for record in records).encode()


def _document(records: Sequence[Record]) -> bytes:
    return json.dumps(records, indent=1).encode()


def _csv(records: Sequence[Record]) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]))
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


def _parquet(records: Sequence[Record]) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(records)), target)
    return target.getvalue()


LAYOUTS: dict[str, Callable[[Sequence[Record]], bytes]] = {
    ".jsonl": _lines,
    ".json": _document,
    ".csv": _csv,
    ".parquet": _parquet,
}

SELECTS: dict[str, tuple[str, list[list[str | None]]]] = {
    "a field in WHERE": (
        "SELECT line, ts AS timestamp, 'llm_request' AS type, tool AS name FROM raw WHERE type = 'answer'",
        [["llm_request", "search", None], ["llm_request", "open", None]],
    ),
    "a field after the alias of its name": (
        "SELECT line, ts AS timestamp, type, tool AS name, name AS user_name FROM raw",
        [["answer", "search", "ann"], ["ping", "none", "bob"], ["answer", "open", "cid"]],
    ),
    "a field before the alias of its name": (
        "SELECT line, ts AS timestamp, type, name AS user_name, tool AS name FROM raw",
        [["answer", "search", "ann"], ["ping", "none", "bob"], ["answer", "open", "cid"]],
    ),
    "an alias that is defined from its field": (
        "SELECT line, ts AS timestamp, upper(type) AS type, type || '!' AS name FROM raw WHERE type = 'ping'",
        [["PING", "ping!", None]],
    ),
    "an alias that is no field": (
        """SELECT line, ts AS timestamp, type, tool || '!' AS category, category || '?' AS name FROM raw
        WHERE category = 'open!'""",
        [["answer", "open!?", None]],
    ),
    "a field named by its table": (
        "SELECT r.line, r.ts AS timestamp, 'x' AS type, r.type AS name FROM raw AS r WHERE r.type = 'ping'",
        [["x", "ping", None]],
    ),
    "another case": (
        "SELECT line, ts AS timestamp, 'x' AS type, tool AS name, Name AS user_name FROM raw WHERE TYPE = 'ping'",
        [["x", "none", "bob"]],
    ),
    "quotes": (
        """SELECT "line", "ts" AS "timestamp", 'x' AS "type", "tool" AS "name" FROM "raw" WHERE "type" = 'ping'""",
        [["x", "none", None]],
    ),
    "GROUP BY": (
        "SELECT min(line) AS line, min(ts) AS timestamp, 'x' AS type, count(*) AS name FROM raw GROUP BY type",
        [["x", "2", None], ["x", "1", None]],
    ),
    "HAVING": (
        """SELECT min(line) AS line, min(ts) AS timestamp, 'x' AS type, count(*) AS name FROM raw
        GROUP BY raw.type HAVING max(type) = 'ping'""",
        [["x", "1", None]],
    ),
    "QUALIFY": (
        """SELECT line, ts AS timestamp, 'x' AS type, tool AS name FROM raw
        QUALIFY row_number() OVER (PARTITION BY type ORDER BY line DESC) = 1 AND type = 'answer'""",
        [["x", "open", None]],
    ),
    "ORDER BY, where an alias wins": (
        """SELECT line, ts AS timestamp, type, CASE type WHEN 'ping' THEN '1' ELSE '2' END AS name FROM raw
        ORDER BY name LIMIT 1""",
        [["ping", "1", None]],
    ),
    "a subquery in FROM": (
        """SELECT line, ts AS timestamp, type, name FROM (SELECT line, ts, 'x' AS type, tool AS name FROM raw
        WHERE type = 'ping')""",
        [["x", "none", None]],
    ),
    "a correlated subquery": (
        """SELECT line, ts AS timestamp, 'x' AS type, (SELECT max(name) FROM (SELECT type || '!' AS name)) AS name
        FROM raw WHERE EXISTS (SELECT 1 FROM raw AS other WHERE other.type = raw.type AND other.line > raw.line)""",
        [["x", "answer!", None]],
    ),
    "WITH": (
        """WITH calls AS (SELECT line, ts AS timestamp, 'x' AS type, tool AS name FROM raw WHERE type = 'answer')
        SELECT * FROM calls WHERE name = 'open' AND type = 'x'""",
        [["x", "open", None]],
    ),
    "WITH and names for its columns": (
        """WITH calls(line, timestamp, type, name) AS (SELECT line, ts, type, tool FROM raw WHERE name = 'bob')
        SELECT * FROM calls""",
        [["ping", "none", None]],
    ),
    "UNION ALL": (
        """SELECT line, ts AS timestamp, 'x' AS type, tool AS name FROM raw WHERE type = 'ping'
        UNION ALL SELECT line, ts, type, name FROM raw WHERE name = 'cid'""",
        [["x", "none", None], ["answer", "cid", None]],
    ),
    "* EXCLUDE": (
        "SELECT * EXCLUDE (ts, tool, tags), ts AS timestamp FROM raw WHERE type = 'ping'",
        [["ping", "bob", None]],
    ),
    "* REPLACE": (
        """SELECT * EXCLUDE (ts, tool, tags) REPLACE ('x' AS type, tool AS name), ts AS timestamp FROM raw
        WHERE type = 'ping'""",
        [["x", "none", None]],
    ),
    "* RENAME": (
        "SELECT * EXCLUDE (tags, name) RENAME (ts AS timestamp, tool AS name) FROM raw WHERE name = 'bob'",
        [["ping", "none", None]],
    ),
    "COLUMNS": (
        "SELECT line, ts AS timestamp, COLUMNS('^(type|name)$') FROM raw AS r WHERE type = 'ping'",
        [["ping", "bob", None]],
    ),
    "the whole row": (
        "SELECT line, ts AS timestamp, 'x' AS type, CAST(to_json(raw) ->> '$.tool' AS VARCHAR) AS name FROM raw",
        [["x", "search", None], ["x", "none", None], ["x", "open", None]],
    ),
    "a parameter of a lambda that is a field": (
        """SELECT line, ts AS timestamp, type,
        list_transform(from_json(tags, '["VARCHAR"]'), lambda tool: tool || '!')[1] AS name
        FROM raw WHERE tool = 'search'""",
        [["answer", "a!", None]],
    ),
    "a parameter of a lambda that is none": (
        """SELECT line, ts AS timestamp, type,
        list_transform(from_json(tags, '["VARCHAR"]'), lambda tag: tag || '!')[1] AS name
        FROM raw WHERE tool = 'search'""",
        [["answer", "a!", None]],
    ),
    "a part of a struct": (
        """SELECT line, ts AS timestamp, {name: tool}.name AS type, s.type AS name
        FROM (SELECT *, {type: type || '!'} AS s FROM raw) WHERE s.type = 'ping!'""",
        [["none", "ping!", None]],
    ),
    "elements of a list": (
        """SELECT line, ts AS timestamp, type, t.name AS name FROM raw,
        unnest(from_json(tags, '["VARCHAR"]')) AS t(name) WHERE raw.name <> 'cid'""",
        [["answer", "a", None], ["answer", "b", None]],
    ),
    "USING": (
        """SELECT line, ts AS timestamp, 'x' AS type, label AS name FROM raw
        JOIN (VALUES ('ping', 'p')) AS labels(type, label) USING (type)""",
        [["x", "p", None]],
    ),
    "NATURAL JOIN": (
        """SELECT line, ts AS timestamp, 'x' AS type, label AS name FROM raw
        NATURAL JOIN (VALUES ('ping', 'p')) AS labels(type, label)""",
        [["x", "p", None]],
    ),
    "WINDOW": (
        """SELECT line, ts AS timestamp, 'x' AS type, lag(type) OVER w AS name FROM raw
        WINDOW w AS (PARTITION BY type ORDER BY line)""",
        [["x", None, None], ["x", None, None], ["x", "answer", None]],
    ),
    "ORDER BY ALL": (
        "SELECT line, ts AS timestamp, type, tool AS name FROM raw WHERE name = 'bob' ORDER BY ALL",
        [["ping", "none", None]],
    ),
}


def _load(home: Lake, select: str, path: Path) -> list[list[Any]]:
    """Ingest a file by a select; the type, name and user_name of what the lake then has of it."""
    form = home.put("my.sql", f"-- record: event\n{select}")
    home.ingest(path, format=str(form))
    rows = home.query("SELECT type, name, user_name FROM events ORDER BY timestamp, name")
    return [list(row.values()) for row in rows]


@pytest.mark.parametrize("suffix", LAYOUTS)
@pytest.mark.parametrize("name", SELECTS)
def test_a_select_means_the_same_in_every_layout(home: Lake, name: str, suffix: str) -> None:
    """A field of the file wins over an alias of its name, as a column does in standard SQL."""
    select, expected = SELECTS[name]
    assert _load(home, select, home.put(f"a{suffix}", LAYOUTS[suffix](RECORDS))) == expected


@pytest.mark.parametrize("suffix", LAYOUTS)
def test_an_alias_cannot_be_used_before_it_is_defined(home: Lake, suffix: str) -> None:
    """Nor does a table have such a column; of JSON it is a field that no record has."""
    select = "SELECT line, ts AS timestamp, type, category AS name, tool AS category FROM raw"
    path = home.put(f"a{suffix}", LAYOUTS[suffix](RECORDS))
    if suffix.startswith(".json"):
        assert [row[1] for row in _load(home, select, path)] == [None] * 3
        return
    form = home.put("my.sql", f"-- record: event\n{select}")
    (report,) = home.mill.ingest(path, format=str(form))
    assert isinstance(report.failures[0], FormatError)
    assert "cannot be referenced before it is defined" in str(report.failures[0])


@pytest.mark.parametrize("suffix", LAYOUTS)
def test_parts_of_the_path_win_over_fields(home: Lake, suffix: str) -> None:
    """Also where the file has a field of that name in another case."""
    form = home.put(
        "my.sql", "-- path: Type\n-- record: event\nSELECT line, ts AS timestamp, type AS type, name FROM raw"
    )
    home.ingest(home.put(f"Type=path/a{suffix}", LAYOUTS[suffix](RECORDS[:1])), format=str(form))
    assert home.query("SELECT type, name FROM events") == [{"type": "path", "name": "ann"}]


RENAME = "SELECT line, ts AS timestamp, type, tool AS name, name AS user_name FROM raw"


def test_a_field_that_one_record_has_is_a_field_in_all(home: Lake) -> None:
    """A record without it has no value, and does not take the alias; `null` is a field, too."""
    records = [{key: value for key, value in record.items() if key != "name"} for record in RECORDS]
    lines = _lines(records) + b'{"ts": "2026-02-10T09:00:03Z", "type": "t", "tool": "u", "name": null}\n'
    assert [row[2] for row in _load(home, RENAME, home.put("a.jsonl", lines))] == [None] * 4


def test_a_field_of_the_head_is_a_field_in_the_tail(home: Lake) -> None:
    """What was read of a file before decides for what it grew by."""
    path = home.put("a.jsonl", _lines(RECORDS[:1]))
    assert _load(home, RENAME, path) == [["answer", "search", "ann"]]
    for second in ("1", "2"):  # the third load knows it from the first, too
        with path.open("a") as file:
            file.write(f'{{"ts": "2026-02-10T09:00:0{second}Z", "type": "t", "tool": "u"}}\n')
        assert _load(home, RENAME, path)[-1] == ["t", "u", None]


def test_equal_records_of_head_and_tail_stay_two(home: Lake) -> None:
    """The head is counted as it was read, though its tail brings a field that it had not."""
    select = "SELECT line, ts AS timestamp, type, tool AS name, name AS user_name FROM raw"
    path = home.put("a.jsonl", line := b'{"ts": "2026-02-10T09:00:00Z", "type": "t", "tool": "u"}\n')
    _load(home, select, path)
    with path.open("ab") as file:
        file.write(line + _lines(RECORDS[:1]))
    assert [row[2] for row in _load(home, select, path)] == ["ann", None, "u"]


@pytest.mark.parametrize("suffix", LAYOUTS)
def test_a_record_that_is_fed_again_means_the_same(home: Lake, suffix: str) -> None:
    """A field that only another record of its file has is one in the quarantine, too."""
    select = "SELECT line, ID AS job_id, 'x' AS name, state AS status, name AS user_id FROM raw"
    # Names of JSON are spelled as in the file; those of a table need not be.
    key = "ID" if suffix.startswith(".json") else "id"
    records = [{key: "j", "state": "running"}, {key: "k", "state": "running", "name": "ann"}]
    if key == "id":
        records[0]["name"] = ""
    form = home.put("my.sql", f"-- record: job\n{select}")
    home.ingest(home.put(f"a{suffix}", LAYOUTS[suffix](records)), format=str(form))
    assert [row[2] for row in home.refusals()] == ["unknown job"] * 2
    known = home.write("b.jsonl", *({"job_id": job, "status": "queued", "created_at": "2026-02-10"} for job in "jk"))
    home.ingest(known, record="job")
    rows = home.query("SELECT user_id FROM jobs WHERE status = 'running' ORDER BY job_id")
    assert [row["user_id"] or None for row in rows] == [None, "ann"]


def test_all_fields_are_some(home: Lake) -> None:
    """A `*` over records with thousands of names is refused, in one line."""
    form = home.put("my.sql", "-- record: event\nSELECT line, to_json(raw) AS attributes FROM raw")
    path = home.put("a.jsonl", json.dumps({f"k{n}": n for n in range(1_001)}))
    (report,) = home.mill.ingest(path, format=str(form))
    assert "stands for more than 1,000 fields" in str(report.failures[0])
