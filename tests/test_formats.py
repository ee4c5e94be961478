"""Formats of the user's own: SQL files that map raw records to jobs, events and metrics."""

from __future__ import annotations

import io
import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tidemill.errors import FormatError

if TYPE_CHECKING:
    from pathlib import Path

    from tests.conftest import Lake, Row

SELECT = "SELECT line, ts AS timestamp, kind AS type, who AS user_id FROM raw"
FORMAT = f"-- What a test reads.\n-- record: event\n{SELECT}"
LINES = [
    '{"ts": "2026-02-10", "kind": "a", "who": "u"}',
    "broken",
    "[1]",
    '{"ts": "2026-02-10", "kind": "b"}',
    '{"ts": "soon", "kind": "c", "other": 1}',
]


@dataclass(frozen=True)
class Mapped:
    """A home, and files in a format of its own."""

    lake: Lake

    def ingest(self, sql: str, name: str, content: str | bytes) -> Row:
        """Ingest a file in a format; the counts."""
        form = self.lake.put("my.sql", sql)
        return self.lake.ingest(self.lake.put(name, content), format=str(form))

    def fails(self, sql: str, name: str = "a.jsonl", content: str = "\n".join(LINES)) -> str:
        """Ingest a file in a format that cannot be used: the one line that says why; nothing is loaded."""
        form = self.lake.put("my.sql", sql)
        (report,) = self.lake.mill.ingest(self.lake.put(name, content), format=str(form))
        (failure,) = report.failures
        assert isinstance(failure, FormatError)
        assert str(form) in str(failure)
        assert report.loads == []
        return str(failure)

    def events(self, *columns: str) -> list[list[Any]]:
        """Those columns of the events, in order."""
        return [list(row.values()) for row in self.lake.query(f"SELECT {', '.join(columns)} FROM events ORDER BY ALL")]


@pytest.fixture
def mapped(home: Lake) -> Mapped:
    """A home for a format's records."""
    return Mapped(home)


class TestCounting:
    """What of a raw record becomes how many records."""

    def test_a_format_maps_each_line(self, mapped: Mapped) -> None:
        """What is no object is refused with its line, a value that is none with its field, and the rest accepted."""
        counts = mapped.ingest(FORMAT, "a.jsonl", "\n".join([*LINES, ""]))
        assert counts == {"records_read": 5, "accepted": 2, "quarantined": 3}
        assert mapped.events("type", "user_id", "attributes") == [["a", "u", "{}"], ["b", None, "{}"]]
        assert mapped.lake.refusals() == [
            (2, None, "not JSON"),
            (3, None, "not an object"),
            (5, "timestamp", "not a timestamp"),
        ]
        assert mapped.lake.column("SELECT raw FROM held ORDER BY line") == [LINES[1], LINES[2], LINES[4]]

    def test_lines_that_it_leaves_out_are_ignored(self, mapped: Mapped) -> None:
        """A record for which the select gives no row is counted as ignored."""
        counts = mapped.ingest(f"{FORMAT} WHERE kind = 'a'", "a.jsonl", "\n".join(LINES))
        assert counts == {"records_read": 5, "accepted": 1, "quarantined": 2, "ignored": 2}

    def test_a_record_may_become_several(self, mapped: Mapped) -> None:
        """Rows beyond the first of a line are counted as expanded, also those of other record kinds."""
        sql = f"{FORMAT} UNION ALL SELECT line, ts, 'more', who FROM raw WHERE who IS NOT NULL\n"
        sql += "-- record: metric\nSELECT line, ts AS timestamp, kind AS name, 1 AS value FROM raw WHERE kind <> 'c'\n"
        sql += (
            "-- record: job\nSELECT line, 'j' AS job_id, 'done' AS status, ts AS created_at FROM raw WHERE kind = 'b'"
        )
        counts = mapped.ingest(sql, "a.jsonl", "\n".join(LINES))
        assert counts == {"records_read": 5, "expanded": 4, "accepted": 6, "quarantined": 3}

    def test_elements_of_a_nested_list_become_records(self, mapped: Mapped) -> None:
        """A line with a list becomes as many records as that has elements; of an empty one it is ignored."""
        sql = (
            "-- record: event\nSELECT line, ts AS timestamp, item ->> '$.k' AS type "
            "FROM raw, unnest(from_json(items, '[\"JSON\"]')) AS t(item)"
        )
        lines = [{"ts": "2026-02-10", "items": [{"k": "a"}, {"k": "b"}, {}]}, {"ts": "2026-02-10", "items": []}]
        counts = mapped.ingest(sql, "a.jsonl", "\n".join(map(json.dumps, lines)))
        assert counts == {"records_read": 2, "expanded": 2, "accepted": 2, "quarantined": 1, "ignored": 1}

    def test_a_document_is_read_by_its_elements(self, mapped: Mapped) -> None:
        """Elements that are no objects are refused, whatever the format makes of the others."""
        counts = mapped.ingest(FORMAT, "a.json", f"[{LINES[0]}, 5, null, {LINES[3]}]")
        assert counts == {"records_read": 4, "accepted": 2, "quarantined": 2}
        assert mapped.lake.refusals() == [(2, None, "not an object"), (3, None, "not an object")]

    def test_a_document_may_begin_with_empty_lines(self, mapped: Mapped) -> None:
        """An object after them is a record like any other."""
        assert mapped.ingest(FORMAT, "a.json", f"\n \n{LINES[0]}\n") == {"records_read": 1, "accepted": 1}

    def test_rows_of_a_csv_that_are_none_are_refused(self, mapped: Mapped) -> None:
        """They count as read, and the rows around them keep their lines."""
        text = "ts,kind,who\n2026-02-10,a,u\n2026-02-10,a\nsoon,b,\n2026-02-10,left out,\n"
        counts = mapped.ingest(f"{FORMAT} WHERE kind <> 'left out'", "a.csv", text)
        assert counts == {"records_read": 4, "accepted": 1, "quarantined": 2, "ignored": 1}
        assert mapped.lake.refusals() == [(3, None, "missing columns"), (4, "timestamp", "not a timestamp")]

    def test_equal_records_are_counted_by_what_is_mapped(self, mapped: Mapped) -> None:
        """A later export with further fields that the format does not read adds nothing."""
        mapped.ingest(FORMAT, "a.jsonl", LINES[0])
        counts = mapped.ingest(FORMAT, "b.jsonl", LINES[0].replace("}", ', "new": 1}'))
        assert counts == {"records_read": 1, "duplicates": 1}

    def test_another_text_of_the_format_is_another_load(self, mapped: Mapped) -> None:
        """A changed format reads the same file again, and adds what it now maps."""
        mapped.ingest(FORMAT, "a.jsonl", LINES[0])
        assert mapped.ingest(FORMAT, "a.jsonl", LINES[0]) == {}
        changed = FORMAT.replace("kind AS type", "'new' AS type")
        assert mapped.ingest(changed, "a.jsonl", LINES[0]) == {"records_read": 1, "accepted": 1}


class TestFields:
    """What `raw` has."""

    def test_a_field_that_only_some_lines_have_is_null_in_the_others(self, mapped: Mapped) -> None:
        """A field that no line has is null, too: a file without it is no fault."""
        mapped.ingest(FORMAT, "a.jsonl", LINES[3])
        assert mapped.events("type", "user_id") == [["b", None]]

    def test_nested_fields_are_json(self, mapped: Mapped) -> None:
        """An object or array is its JSON text, of which a format takes parts; attributes may be built of any."""
        sql = (
            "-- record: event\nSELECT line, ts AS timestamp, extra ->> '$.y.z' AS type, extra AS name, "
            "{x: extra -> '$.y', n: n} AS attributes FROM raw"
        )
        mapped.ingest(sql, "a.jsonl", '{"ts": "2026-02-10", "extra": {"y": {"z": "q"}}, "n": 5}')
        assert mapped.events("type", "name", "attributes") == [["q", '{"y":{"z":"q"}}', '{"x":{"z":"q"},"n":"5"}']]

    def test_fields_may_have_any_name(self, mapped: Mapped) -> None:
        """Spaces, dashes, upper case and keywords, in quotes."""
        select = 'SELECT line, "t s" AS timestamp, "a-b" AS type, "SELECT" AS name, Kind AS user_id FROM raw'
        mapped.ingest(
            f"-- record: event\n{select}",
            "a.jsonl",
            '{"t s": "2026-02-10", "a-b": "k", "SELECT": "s", "Kind": "K", "kind": "no"}',
        )
        assert mapped.events("type", "name", "user_id") == [["k", "s", "K"]]

    def test_parts_of_the_path_are_columns(self, mapped: Mapped) -> None:
        """Those that the header asks for, and they win over a field of the same name."""
        sql = f"-- path: filename, kind\n{FORMAT.replace('who', 'parse_filename(filename)')}"
        mapped.ingest(sql, "kind=from%20path/a.jsonl", LINES[0])
        assert mapped.events("type", "user_id") == [["from path", "a.jsonl"]]

    def test_the_same_bytes_under_another_part_are_another_content(self, mapped: Mapped) -> None:
        """A file's content is its bytes and the parts of its path that are read; other parts say nothing."""
        sql = f"-- path: kind\n{FORMAT}"
        assert mapped.ingest(sql, "kind=a/day=1/a.jsonl", LINES[0])["accepted"] == 1
        assert mapped.ingest(sql, "kind=a/day=2/b.jsonl", LINES[0]) == {}
        assert mapped.ingest(sql, "kind=b/day=1/a.jsonl", LINES[0])["accepted"] == 1

    def test_columns_of_parquet_keep_their_types(self, mapped: Mapped) -> None:
        """A format computes with numbers and times as the file has them."""
        target = io.BytesIO()
        pq.write_table(pa.table({"us": [1_770_724_800_000_000], "n": [1.5]}), target)
        sql = "-- record: event\nSELECT line, make_timestamptz(us) AS timestamp, 'x' AS type, n * 2 AS value FROM raw"
        mapped.ingest(sql, "a.parquet", target.getvalue())
        assert mapped.lake.column("SELECT value + epoch_us(timestamp) FROM events") == [1_770_724_800_000_003.0]


class TestText:
    """How a format's file may look."""

    @pytest.mark.parametrize("end", [";", " ;;\n", " -- the end", ";\n-- the end\n", "\r\n"])
    def test_a_select_may_end_in_semicolons_and_comments(self, mapped: Mapped, end: str) -> None:
        """What ends a statement in an editor ends it here."""
        assert mapped.ingest(FORMAT + end, "a.jsonl", LINES[0]) == {"records_read": 1, "accepted": 1}

    @pytest.mark.parametrize(
        ("sql", "says"),
        [
            (SELECT, "has no select: put a line"),
            ("", "has no select: put a line"),
            ("-- record: event\n", "needs one select of event: it has none"),
            (f"{FORMAT}\n{FORMAT}", "needs one select of event: it has 2"),
            (FORMAT.replace(": event", ": evnt"), 'no record "evnt"; did you mean "event"'),
        ],
        ids=["no record", "empty", "no select", "twice", "unknown record"],
    )
    def test_a_file_that_is_no_format_says_why(self, mapped: Mapped, sql: str, says: str) -> None:
        """It is an error before any file is read."""
        assert says in mapped.fails(sql)

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (("user_id", "user"), 'there is no column of event "user"; did you mean'),
            (("line, ", ""), "does not return `line`"),
            (("line, ", "NULL::BIGINT AS line, "), "have no `line` of the file"),
            (("line, ", "line + 2 AS line, "), "have no `line` of the file"),
            (("line, ", "'x' AS line, "), "Conversion Error"),
            (("who AS", "error('boom') AS"), "boom"),
            (("who AS", "CAST(kind AS INTEGER) AS"), "Conversion Error"),
            (("who AS", "nothing(who) AS"), "nothing does not exist"),
            (("SELECT", "SELEC"), "syntax error"),
            (("who AS", "'who AS"), "unterminated"),
            (("raw", "rows_of_it"), "its select of event reads rows_of_it; it may read `raw` alone"),
            (("raw", "raw; SELECT 1"), "one SELECT must follow"),
            ((SELECT, "DROP VIEW raw"), "one SELECT must follow"),
        ],
        ids=lambda value: value[1][:20] if isinstance(value, tuple) else "",
    )
    def test_sql_that_fails_names_the_format_and_the_file(
        self, mapped: Mapped, change: tuple[str, str], says: str
    ) -> None:
        """A fault of the SQL is one line that names both, and nothing of the file is loaded."""
        message = mapped.fails(FORMAT.replace(*change))
        assert says in message
        assert "a.jsonl" in message
        assert "\n" not in message

    @pytest.mark.parametrize(
        ("change", "says"),
        [
            (("FROM raw", "FROM read_text('{secret}'), raw"), "calls read_text"),
            (("FROM raw", "FROM raw, '{secret}'"), "reads {secret}"),
            (("FROM raw", "FROM raw, (FROM glob('/etc/*'))"), "calls glob"),
            (("FROM raw", "FROM query('FROM raw')"), "calls query"),
            (("FROM raw", "FROM query_table('raw')"), "calls query_table"),
            (("FROM raw", "FROM raw /* of */ , -- all\n READ_csv_auto ( '{secret}' )"), "calls read_csv_auto"),
            (("FROM raw", "FROM raw WHERE who IN (SELECT content FROM read_text('{secret}'))"), "calls read_text"),
            (("FROM raw", "FROM raw ORDER BY (SELECT max(size) FROM read_blob('{secret}'))"), "calls read_blob"),
            (("FROM raw", "FROM raw, refusals"), "reads refusals"),
            (("FROM raw", "FROM temp.main.raw"), "reads temp.main.raw"),
            (("FROM raw", 'FROM (WITH "{secret}" AS (SELECT 1) FROM "{secret}") t, raw'), "reads {secret}"),
            (("FROM raw", "FROM raw, (WITH refusals AS (FROM refusals) FROM refusals)"), "reads refusals"),
            (("FROM raw", "FROM raw, (DESCRIBE refusals)"), "holds a SHOW_REF"),
            (("who AS", "current_setting('temp_directory') AS"), "calls current_setting"),
            (("who AS", "getvariable('x') AS"), "calls getvariable"),
            (("SELECT", "WITH x AS (COPY (SELECT 1) TO '{secret}') SELECT"), "writes something in its WITH"),
            (("SELECT", "WITH x AS (DELETE FROM refusals RETURNING *) SELECT"), "writes something in its WITH"),
        ],
        ids=lambda value: value[1][:50] if isinstance(value, tuple) else "",
    )
    def test_it_reads_raw_alone(self, mapped: Mapped, change: tuple[str, str], says: str) -> None:
        """What reaches for a file, another relation or the process is refused, however it is written."""
        secret = mapped.lake.put("secret.csv", "word\nhunter2\n")
        wanted = change[1].format(secret=secret)
        message = mapped.fails(FORMAT.replace(change[0], wanted))
        assert f"its select of event {says.format(secret=secret)}; it may read `raw` alone" in message
        assert "hunter2" not in message
        assert secret.read_text() == "word\nhunter2\n"

    def test_a_column_that_a_csv_lacks_is_named(self, mapped: Mapped) -> None:
        """Other than a field of JSON, a column of a table is there or the format does not fit."""
        message = mapped.fails(FORMAT, "a.csv", "ts,kind\n2026-02-10,a\n")
        assert '"who"' in message
        assert "a.csv" in message

    def test_a_file_without_what_the_path_must_say_is_no_load(self, mapped: Mapped) -> None:
        """The missing part is named."""
        form = mapped.lake.put("my.sql", f"-- path: region\n{FORMAT}")
        (report,) = mapped.lake.mill.ingest(mapped.lake.put("a.jsonl", LINES[0]), format=str(form))
        assert "has no region= in its path" in str(report.failures[0])

    @pytest.mark.parametrize(("name", "says"), [("natif", 'did you mean "native"'), ("my.sql", "does not exist")])
    def test_a_format_that_is_not_there_is_named(self, home: Lake, name: str, says: str) -> None:
        """By its name, with the nearest one, or by its path."""
        (report,) = home.mill.ingest(home.put("a.jsonl", LINES[0]), format=name)
        assert says in str(report.failures[0])

    def test_a_format_is_found_beside_the_settings(self, home: Lake) -> None:
        """A source's format is relative to the home, as its path is."""
        home.settings('[sources.app]\npath = "raw/*.jsonl"\nformat = "formats/my.sql"\n')
        for name, text in (("formats/my.sql", FORMAT), ("raw/a.jsonl", LINES[0])):
            file: Path = home.mill.home.path / name
            file.parent.mkdir()
            file.write_text(text)
        assert home.ingest("app") == {"records_read": 1, "accepted": 1}


class TestAgain:
    """Refused records of a format, fed again."""

    JOBS = "-- record: job\nSELECT line, id AS job_id, state AS status, born AS created_at FROM raw\n"

    def test_an_unknown_job_of_a_format_waits_too(self, mapped: Mapped) -> None:
        """It is mapped again by its format when the job is known, from CSV as from lines."""
        mapped.ingest(self.JOBS, "a.csv", "id,state,born\nj,running,\n")
        mapped.ingest(self.JOBS, "b.jsonl", '{"id": "j", "state": "failed"}')
        assert [row[2] for row in mapped.lake.refusals()] == ["unknown job", "unknown job"]
        counts = mapped.ingest(self.JOBS, "c.jsonl", '{"id": "j", "state": "queued", "born": "2026-02-10"}')
        assert counts == {"records_read": 3, "accepted": 3}
        assert mapped.lake.refusals() == []

    def test_a_format_that_is_gone_stops_no_other_ingest(self, mapped: Mapped) -> None:
        """What waits stays in the quarantine, the failure is reported, and the file at hand is loaded."""
        mapped.ingest(self.JOBS, "a.jsonl", '{"id": "j", "state": "failed"}')
        (mapped.lake.folder / "my.sql").unlink()
        path = mapped.lake.write("b.jsonl", {"job_id": "j", "status": "queued", "created_at": "2026-02-10"})
        reports = mapped.lake.mill.ingest(path, record="job")
        assert mapped.lake.counts(reports) == {"records_read": 1, "accepted": 1}
        assert [len(report.failures) for report in reports] == [0, 1]
        assert [row[2] for row in mapped.lake.refusals()] == ["unknown job"]

    def test_an_unknown_job_of_a_typed_column_is_mapped_again(self, mapped: Mapped) -> None:
        """A format that computes with a Parquet file's integers can be fed its refused rows, too."""
        target = io.BytesIO()
        pq.write_table(pa.table({"id": ["j"], "us": [1_770_724_800_000_000]}), target)
        columns = "line, id AS job_id, 'failed' AS status, make_timestamptz(us) AS completed_at"
        sql = f"-- record: job\nSELECT {columns} FROM raw"
        mapped.ingest(sql, "a.parquet", target.getvalue())
        path = mapped.lake.write("b.jsonl", {"job_id": "j", "status": "queued", "created_at": "2026-02-10"})
        assert mapped.lake.ingest(path, record="job") == {"records_read": 2, "accepted": 2}

    def test_one_of_two_records_of_a_line_leaves_the_quarantine_alone(self, mapped: Mapped) -> None:
        """When a line gave a job that waited and an event that is refused for good, only the event stays."""
        sql = f"{self.JOBS}-- record: event\nSELECT line, born AS timestamp, 'x' AS type FROM raw"
        mapped.ingest(sql, "a.jsonl", '{"id": "j", "state": "failed"}')
        path = mapped.lake.write("b.jsonl", {"job_id": "j", "status": "queued", "created_at": "2026-02-10"})
        mapped.lake.ingest(path, record="job")
        assert mapped.lake.refusals() == [(1, "timestamp", "missing")]
