"""Files as they come: every layout and compression, found by name, folder or glob, and what is wrong in them."""

from __future__ import annotations

import gzip
import io
import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import TYPE_CHECKING, Any, ClassVar

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Lake, event, job, metric
from tidemill.errors import SourceError
from tidemill.sources import discovery, files

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

GOOD, ALSO = (json.dumps(event(name=name)) for name in ("good", "also"))
HEADER = "timestamp,type,name,extra\n"


def row(name: str, extra: str = "") -> str:
    """A good row of a CSV file."""
    return f"2026-02-10T12:00:00Z,question,{name},{extra}\n"


def compressed(content: bytes, how: str) -> bytes:
    """Bytes as gzip or zstd."""
    return gzip.compress(content) if how == "gz" else pa.compress(content, codec="zstd", asbytes=True)


def parquet(columns: dict[str, Any]) -> bytes:
    """A Parquet file with those columns."""
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target)
    return target.getvalue()


def names(home: Lake) -> list[str]:
    """The names of the stored events, sorted."""
    found: list[str] = home.column("SELECT name FROM events ORDER BY name")
    return found


def refused(home: Lake) -> list[tuple[int | None, str | None]]:
    """Line and reason of what is in the quarantine."""
    return [(line, reason) for line, _, reason in home.refusals()]


MEASURED = """
import re, resource, sys
from pathlib import Path
from tidemill import Tidemill
(report,) = Tidemill(sys.argv[1]).ingest(sys.argv[2], record="event")
assert not report.failures
status = Path("/proc/self/status")  # of this program alone: a process inherits the peak of its parent
peak = re.search(r"VmHWM:\\s+(\\d+)", status.read_text()) if status.exists() else None
print(peak[1] if peak else resource.getrusage(resource.RUSAGE_SELF).ru_maxrss // 1024 ** (sys.platform == "darwin"))
"""


class TestFinding:
    """What a path, a folder or a glob names."""

    @pytest.fixture
    def tree(self, tmp_path: Path) -> Path:
        """A folder with hive keys, files of several kinds, and others."""
        for name in (
            "day=1/a.jsonl",
            "day=1/b.csv.gz",
            "day=2/c.parquet",
            "day=2/notes.md",
            "d.json",
            "_SUCCESS",
            "e.zst",
        ):
            (tmp_path / name).parent.mkdir(exist_ok=True)
            (tmp_path / name).touch()
        return tmp_path

    @pytest.mark.parametrize(
        ("pattern", "expected"),
        [
            ("", ["d.json", "day=1/a.jsonl", "day=1/b.csv.gz", "day=2/c.parquet"]),
            ("day=1", ["day=1/a.jsonl", "day=1/b.csv.gz"]),
            ("*/*.jsonl", ["day=1/a.jsonl"]),
            ("**/*.[jc]s*", ["d.json", "day=1/a.jsonl", "day=1/b.csv.gz"]),
            ("day=2/notes.md", ["day=2/notes.md"]),
        ],
    )
    def test_folders_and_globs_are_searched(self, tree: Path, pattern: str, expected: list[str]) -> None:
        """A folder stands for its files of known types, at any depth; a glob or name for what it says; all sorted."""
        assert [str(path.relative_to(tree)) for path in discovery.find([str(tree / pattern)])] == expected

    def test_a_file_that_is_named_twice_is_found_once(self, tree: Path) -> None:
        """Overlapping patterns find each file once."""
        assert len(discovery.find([str(tree), str(tree / "d.json"), str(tree / "*.json")])) == 4

    def test_a_name_with_the_characters_of_a_glob_is_a_name(self, tmp_path: Path) -> None:
        """A file that exists is itself, brackets and stars in its name or not."""
        path = tmp_path / "a[1]*.jsonl"
        path.touch()
        assert discovery.find([str(path)]) == [path]

    @pytest.mark.parametrize(
        ("patterns", "astray"),
        [
            (["in"], ["in/out.jsonl"]),
            (["in/*.jsonl"], ["in/out.jsonl"]),
            (["in/**/*.jsonl"], ["in/deep/x.jsonl", "in/out.jsonl"]),
            (["in/out.jsonl"], []),
            (["in", "in/out.jsonl"], []),
            (["in/*.jsonl", "out"], []),
            (["link"], ["link/out.jsonl"]),
        ],
        ids=" ".join,
    )
    def test_links_that_lead_out_of_a_folder_are_told(
        self, tmp_path: Path, patterns: list[str], astray: list[str]
    ) -> None:
        """Of a folder or glob; a link within it, one that is named itself, or one into another path, is meant."""
        for name in ("in/a.jsonl", "out/x.jsonl"):
            (tmp_path / name).parent.mkdir()
            (tmp_path / name).touch()
        (tmp_path / "in" / "out.jsonl").symlink_to(tmp_path / "out" / "x.jsonl")
        (tmp_path / "in" / "same.jsonl").symlink_to("a.jsonl")
        (tmp_path / "in" / "deep").symlink_to(tmp_path / "out")
        (tmp_path / "link").symlink_to("in")
        named = [str(tmp_path / pattern) for pattern in patterns]
        found = discovery.astray(named, discovery.find(named))
        assert [str(path.relative_to(tmp_path)) for path in found] == astray

    @pytest.mark.parametrize("make", [os.mkfifo, lambda path: path.symlink_to("/dev/zero")])
    def test_what_is_no_file_is_not_waited_for(self, tmp_path: Path, make: Callable[[Path], None]) -> None:
        """A pipe or a device that is named is an error, not a reading without end."""
        path = tmp_path / "a.jsonl"
        make(path)
        with pytest.raises(SourceError, match="is no file that can be read again"):
            discovery.find([str(path)])

    @pytest.mark.parametrize("pattern", ["missing.jsonl", "*.csv", "day=3", "d.json/x"])
    def test_what_names_nothing_is_an_error(self, tree: Path, pattern: str) -> None:
        """A path or glob without a file is named in the error."""
        with pytest.raises(SourceError, match="does not exist"):
            discovery.find([str(tree / pattern)])

    def test_a_folder_without_records_is_an_error(self, tmp_path: Path) -> None:
        """So is a folder that holds no file of a known type."""
        with pytest.raises(SourceError, match="is a folder without"):
            discovery.find([str(tmp_path)])

    def test_parts_of_the_path_are_hive_keys(self, tmp_path: Path) -> None:
        """Keys stand in folders or in the file's own name, in URL encoding."""
        path = tmp_path / "region=eu%2Fwest" / "model=a.b.jsonl.gz"
        assert files.path_parts(path, ["region", "model"]) == {"region": "eu/west", "model": "a.b"}
        with pytest.raises(SourceError, match="has no day= in its path"):
            files.path_parts(path, ["day"])


class TestLayouts:
    """The same records in every layout and compression."""

    @pytest.mark.parametrize("how", ["", "gz", "zst"])
    def test_each_layout_may_be_compressed(self, home: Lake, how: str) -> None:
        """JSON lines, documents and CSV give the same records, plain, as gzip and as zstd."""
        texts = {
            "a.jsonl": f"{GOOD}\n{ALSO}\n",
            "b.NDJSON": f"{GOOD}\r\n{ALSO}",
            "lines.json": f"\ufeff{GOOD}\n{ALSO}\n",
            "array.json": f"\ufeff[{GOOD},\n{ALSO}]",
            "c.csv": HEADER + row("good") + row("also"),
        }
        folder = home.put("x", "").parent
        for name, text in texts.items():
            data = compressed(text.encode(), how) if how else text.encode()
            (folder / f"{name}{'.' * bool(how)}{how}").write_bytes(data)
        counts = home.ingest(folder, record="event")
        assert counts == {"records_read": 10, "accepted": 2, "duplicates": 8}
        assert names(home) == ["also", "good"]

    def test_a_gzip_of_several_members_is_one_file(self, home: Lake) -> None:
        """Rotated logs that were concatenated are read to their end."""
        path = home.put("a.jsonl", "").with_suffix(".jsonl.gz")
        path.write_bytes(gzip.compress(f"{GOOD}\n".encode()) + gzip.compress(f"{ALSO}\n".encode()))
        assert home.ingest(path, record="event") == {"records_read": 2, "accepted": 2}

    @pytest.mark.parametrize("how", ["gz", "zst"])
    @pytest.mark.parametrize("left", [0.5, 0.99])
    def test_a_truncated_file_is_refused_whole(self, home: Lake, how: str, left: float) -> None:
        """A compressed file that breaks off is an error that names it, and nothing of it is loaded."""
        lines = [json.dumps(event(id=str(n), text=os.urandom(40).hex())) for n in range(200)]
        texts = {"jsonl": "\n".join(lines), "json": f"[{','.join(lines)}]", "csv": HEADER + "".join(map(row, lines))}
        paths = [home.put("x", "").with_name(f"a.{layout}.{how}") for layout in texts]
        for path, text in zip(paths, texts.values(), strict=True):
            data = compressed(text.encode(), how)
            path.write_bytes(data[: int(len(data) * left)])
        (report,) = home.mill.ingest(*paths, record="event")
        assert [type(failure) for failure in report.failures] == [SourceError] * 3
        assert all(any(str(path) in str(failure) for failure in report.failures) for path in paths)
        assert home.column("SELECT count(*) FROM loads") == [0]

    def test_empty_files_hold_no_records(self, home: Lake) -> None:
        """No bytes at all are no load; a file of none but blank lines, or of a header, is a load of no records."""
        nothing = [home.put(name, "") for name in ("a.jsonl", "a.json", "a.csv", "a.parquet")]
        (report,) = home.mill.ingest(*nothing, record="event")
        assert (report.empty, report.loads, report.failures) == ([str(path) for path in nothing], [], [])
        blank = {"b.jsonl": "\n \n\t\r\n", "b.json": " \n", "c.json": "[]", "b.csv": HEADER, "d.jsonl.gz": ""}
        assert home.ingest(*(home.put(name, text) for name, text in blank.items()), record="event") == {}
        assert home.column("SELECT count(*) FROM quarantine") == [0]


class TestJsonLines:
    """Lines, and what may stand in them."""

    def test_line_numbers_count_every_line(self, home: Lake) -> None:
        """Blank lines are no records but lines."""
        path = home.put("a.jsonl", f"\n\n{GOOD}\n  \t\n\r\nbroken\n\n{ALSO}\n[1]\n")
        assert home.ingest(path, record="event") == {"records_read": 4, "accepted": 2, "quarantined": 2}
        assert refused(home) == [(6, "not JSON"), (9, "not an object")]

    @pytest.mark.parametrize("record", ["event", None])
    def test_json_that_is_no_object_is_said_to_be_none(self, home: Lake, record: str | None) -> None:
        """Numbers, texts, arrays, booleans and null are JSON, but no objects; the rest is not JSON."""
        good = json.dumps(event(record="event"))
        path = home.put(
            "a.jsonl", "\n".join(["5", '"x"', "[1]", "null", "true", '{"a":', "{'a': 1}", "\ufffd", good, ""])
        )
        assert home.ingest(path, record=record) == {"records_read": 9, "accepted": 1, "quarantined": 8}
        assert refused(home) == [(line, "not an object") for line in range(1, 6)] + [
            (line, "not JSON") for line in range(6, 9)
        ]

    @pytest.mark.parametrize(
        ("bad", "reason", "kept"),
        [
            (b'{"type": "\xfc"}', "not UTF-8", '{"type": "\\xfc"}'),
            (b"\xff\xfe", "not UTF-8", "\\xff\\xfe"),
            (b"\x00", "not JSON", "\x00"),
            (b'{"type": "a\x00b"}', "not JSON", '{"type": "a\x00b"}'),
            (b'{"type": "a\x01b"}', "not JSON", '{"type": "a\x01b"}'),
            (b"\x01", "not JSON", "\x01"),
            (b"{}\x01", "not JSON", "{}\x01"),
            (b"a\rb", "not JSON", "a\rb"),
            (b'{"type": "\\ud800"}', "not JSON", '{"type": "\\ud800"}'),
        ],
    )
    def test_a_line_of_odd_bytes_is_refused_alone(self, home: Lake, bad: bytes, reason: str, kept: str) -> None:
        """Bytes that are not UTF-8 and control characters spoil their own line only; its text is kept."""
        content = b"\n".join([GOOD.encode(), b"broken", bad, ALSO.encode(), b""])
        path = home.put("a.jsonl.gz" if reason == "not UTF-8" else "a.jsonl", content)
        assert home.ingest(path, record="event") == {"records_read": 4, "accepted": 2, "quarantined": 2}
        assert refused(home) == [(2, "not JSON"), (3, reason)]
        assert home.column("SELECT raw FROM held ORDER BY line") == ["broken", kept]

    @pytest.mark.parametrize("how", ["event", "job", "mixed", "format"])
    def test_no_line_is_taken_for_a_blank_one(self, home: Lake, how: str) -> None:
        """A line that only holds the byte that the reader takes for a delimiter is a record, however it is read."""
        line = json.dumps(job() if how == "job" else event(record="event"))
        path = home.put("a.jsonl.gz", f"{line}\n\x01\n")
        form = home.put("my.sql", "-- record: event\nSELECT line, timestamp, type FROM raw")
        options = {"mixed": {}, "format": {"format": str(form)}}.get(how, {"record": how})
        assert home.ingest(path, **options) == {"records_read": 2, "accepted": 1, "quarantined": 1}

    def test_line_ends_may_be_mixed(self, home: Lake) -> None:
        """Lines may end in either way, and a carriage return within JSON is white space."""
        third = GOOD.replace('"good"', '"third"').replace(", ", ",\r")
        path = home.put("a.jsonl", f"\ufeff{GOOD}\r\n{ALSO}\n\r\nbroken\r\n{third}\n")
        assert home.ingest(path, record="event") == {"records_read": 4, "accepted": 3, "quarantined": 1}
        assert refused(home) == [(4, "not JSON")]
        assert names(home) == ["also", "good", "third"]

    def test_escaped_control_characters_are_text(self, home: Lake) -> None:
        """What JSON escapes is stored as it was meant."""
        home.ingest(home.write("a.jsonl", event(name="a\x00b\x01c\r\n\u2028é")), record="event")
        assert names(home) == ["a\x00b\x01c\r\n\u2028é"]

    def test_equal_lines_that_are_broken_are_all_refused(self, home: Lake) -> None:
        """Each has its own line."""
        path = home.put("a.jsonl", f"broken\n{GOOD}\nbroken\n{{}}\n{{}}\n")
        assert home.ingest(path, record="event") == {"records_read": 5, "accepted": 1, "quarantined": 4}
        assert [line for line, _ in refused(home)] == [1, 3, 4, 5]

    def test_many_broken_lines_take_no_time_each(self, home: Lake) -> None:
        """A file in another encoding is refused by the batch."""
        path = home.put("a.jsonl", b"\xe4\n" * 50_000 + GOOD.encode() + b"\n")
        assert home.ingest(path, record="event") == {"records_read": 50_001, "accepted": 1, "quarantined": 50_000}

    def test_a_deep_object_is_an_attribute_or_refused(self, home: Lake) -> None:
        """Nesting without end hurts nobody but its own line."""
        deep = GOOD[:-1] + ', "deep": ' + "[" * 5_000 + "]" * 5_000 + "}"
        assert home.ingest(home.write("a.jsonl", deep, ALSO), record="event")["records_read"] == 2

    def test_a_line_of_100_mb_is_refused_in_bounded_memory(self, home: Lake) -> None:
        """It is too long, its first MiB and its length are kept, and the lines around it are loaded."""
        path = home.put("a.jsonl", "")
        with path.open("wb") as file:
            file.write(GOOD.encode() + b'\n{"type": "')
            for _ in range(100):
                file.write(b"x" * (1 << 20))
            file.write(b'"}\n' + ALSO.encode() + b"\n")
        words = [sys.executable, "-c", MEASURED, str(home.mill.home.path), str(path)]
        peak = subprocess.run(words, check=True, capture_output=True, text=True).stdout
        assert int(peak) < 1 << 20, "KiB, so a GiB"
        home.assert_adds_up()
        assert (names(home), refused(home)) == (["also", "good"], [(2, "too long")])
        (kept,) = home.column("SELECT raw FROM held")
        assert len(kept) < (1 << 20) + 100
        assert kept.endswith(f"({(100 << 20) + 12} bytes)")

    def test_a_line_of_carriage_returns_is_blank(self, home: Lake) -> None:
        """It is no record, beside a line that is not UTF-8 as in a file without."""
        content = f"{GOOD}\n\r \r\n\r\r\n".encode()
        assert home.ingest(home.put("a.jsonl", content), record="event") == {"records_read": 1, "accepted": 1}
        odd = home.ingest(home.put("b.jsonl", content + b"\xff\n"), record="event", source="b")
        assert odd == {"records_read": 2, "accepted": 1, "quarantined": 1}


class TestDocuments:
    """A JSON document: an array, or one object."""

    def test_an_object_over_several_lines_is_one_record(self, home: Lake) -> None:
        """A document that is an object is one record, however it is laid out."""
        path = home.put("a.json", json.dumps(event(name="x", attributes={"a": [1]}), indent=2))
        assert home.ingest(path, record="event") == {"records_read": 1, "accepted": 1}

    def test_elements_are_numbered_as_they_stand(self, home: Lake) -> None:
        """The line of an element is its place; what is no object is refused alone."""
        path = home.put("a.json", f'[1, null, "x", [], {GOOD}, {{}}]')
        assert home.ingest(path, record="event") == {"records_read": 6, "accepted": 1, "quarantined": 5}
        assert [line for line, _ in refused(home)] == [1, 2, 3, 4, 6]
        assert {reason for line, reason in refused(home) if line in {1, 2, 4}} == {"not an object"}

    def test_a_broken_document_is_one_broken_record(self, home: Lake) -> None:
        """A document that is not JSON is kept whole in the quarantine."""
        assert home.ingest(home.put("a.json", f"[{GOOD},"), record="event") == {"records_read": 1, "quarantined": 1}
        assert home.query("SELECT line, raw FROM held") == [{"line": 1, "raw": f"[{GOOD},"}]

    def test_a_document_of_more_than_64_mib_is_refused(self, home: Lake) -> None:
        """It says what to do instead."""
        path = home.put("a.json", "[")
        os.truncate(path, (64 << 20) + 1)
        (report,) = home.mill.ingest(path, record="event")
        assert "write it as JSON lines" in str(report.failures[0])

    def test_a_file_of_lines_that_is_called_json_is_read_as_lines(self, home: Lake) -> None:
        """It grows like one, too, also from a first line that was a document by itself."""
        path = home.put("a.json", f"{GOOD}\n")
        assert home.ingest(path, record="event")["accepted"] == 1
        with path.open("a") as file:
            file.write(f"{GOOD}\nbroken\n{ALSO}\n")
        assert home.ingest(path, record="event") == {"records_read": 3, "accepted": 2, "quarantined": 1}
        assert refused(home) == [(3, "not JSON")]


class TestCsv:
    """CSV with a header, and rows that are none."""

    @pytest.mark.parametrize(
        ("delimiter", "newline"),
        [(",", "\n"), (";", "\r\n"), ("\t", "\r"), ("|", "\r\n")],
        ids=["comma", "semicolon", "tab", "bar"],
    )
    def test_delimiters_and_line_ends_are_found_in_the_header(self, home: Lake, delimiter: str, newline: str) -> None:
        """Commas, semicolons, tabs and bars, a byte order mark and any line end; other columns are attributes."""
        text = "\ufeff" + (HEADER + row("good", "x") + row("also")).replace(",", delimiter).replace("\n", newline)
        assert home.ingest(home.put("a.csv", text), record="event") == {"records_read": 2, "accepted": 2}
        assert home.column("SELECT attributes FROM events ORDER BY name") == ["{}", '{"extra":"x"}']

    def test_quoted_values_hold_anything(self, home: Lake) -> None:
        """Delimiters, quotes and newlines in quotes belong to the value."""
        home.ingest(home.put("a.csv", HEADER + row('"a,""b""\nc"')), record="event")
        assert names(home) == ['a,"b"\nc']

    def test_rows_of_other_lengths_are_refused_alone(self, home: Lake) -> None:
        """Too many and too few fields are refused with the row's text, and every record keeps its own line."""
        rows = [
            row("good"),
            "1,2,3,4,5\n",
            row("a").replace("2026", "x"),
            row("also"),
            "x,y\n",
            row("b").replace("2026", "y"),
        ]
        path = home.put("a.csv", HEADER + "".join(rows))
        assert home.ingest(path, record="event") == {"records_read": 6, "accepted": 2, "quarantined": 4}
        assert refused(home) == [
            (3, "too many columns"),
            (4, "not a timestamp"),
            (6, "missing columns"),
            (7, "not a timestamp"),
        ]
        texts = home.column("SELECT raw FROM held ORDER BY line")
        assert (texts[0], texts[2]) == ("1,2,3,4,5", "x,y")
        assert [json.loads(text)["name"] for text in (texts[1], texts[3])] == ["a", "b"]

    def test_a_conflict_among_rejected_rows_keeps_its_line(self, home: Lake) -> None:
        """What only settling can tell has the same line numbers."""
        path = home.put("a.csv", "id,timestamp,type\n1,2026-02-10,a\nx\n1,2026-02-10,b\n")
        assert home.ingest(path, record="event") == {"records_read": 3, "accepted": 1, "quarantined": 2}
        assert home.query("SELECT line, reason, raw FROM held WHERE line = 4") == [
            {"line": 4, "reason": "conflict", "raw": '{"id":"1","timestamp":"2026-02-10","type":"b"}'}
        ]

    def test_an_unclosed_quote_swallows_what_follows_it_only(self, home: Lake) -> None:
        """The rows before it are loaded, and the swallowed text is kept."""
        path = home.put("a.csv", HEADER + row("good") + row('"open') + row("swallowed"))
        assert home.ingest(path, record="event") == {"records_read": 2, "accepted": 1, "quarantined": 1}
        (text,) = home.column("SELECT raw FROM held")
        assert "open" in text
        assert "swallowed" in text

    def test_a_row_that_is_not_utf8_is_refused_alone(self, home: Lake) -> None:
        """The rows around it are loaded."""
        path = home.put("a.csv", (HEADER + row("good") + row("ü") + row("also")).encode("latin-1"))
        assert home.ingest(path, record="event") == {"records_read": 3, "accepted": 2, "quarantined": 1}
        assert names(home) == ["also", "good"]

    def test_a_missing_column_is_missing_in_every_row(self, home: Lake) -> None:
        """A header without a required column refuses each row for it."""
        path = home.put("a.csv", "timestamp,name\n2026-02-10,a\n2026-02-10,b\n")
        assert home.ingest(path, record="event") == {"records_read": 2, "quarantined": 2}
        assert home.refusals() == [(2, "type", "missing"), (3, "type", "missing")]

    @pytest.mark.parametrize(
        ("header", "fault"),
        [
            ("timestamp,type,name,name", "names name twice"),
            ("timestamp,type,id,ID", "names id twice"),
            ("timestamp,,type", "has a column without a name"),
            ("", "is missing"),
        ],
        ids=["twice", "case", "unnamed", "blank"],
    )
    def test_a_header_that_cannot_be_used_is_an_error(self, home: Lake, header: str, fault: str) -> None:
        """The file and the fault are named."""
        path = home.put("a.csv", f"{header}\n2026-02-10,x,y,z\n")
        (report,) = home.mill.ingest(path, record="event")
        assert str(report.failures[0]).startswith(f"{path}: the header {fault}")

    def test_columns_may_have_names_that_the_reader_uses_itself(self, home: Lake) -> None:
        """`line`, `raw` and the like are columns as any other."""
        text = "timestamp,type,line,raw,day,source,load_id,refusal\n2026-02-10,x,9,8,7,6,5,4\n"
        home.ingest(home.put("a.csv", text), record="event")
        (attributes,) = home.column("SELECT attributes FROM events")
        assert json.loads(attributes) == {
            "line": "9", "raw": "8", "day": "7", "source": "6", "load_id": "5", "refusal": "4"
        }  # fmt: skip
        assert home.column("SELECT source FROM events") == ["files"]

    def test_an_endless_value_is_refused_alone(self, home: Lake) -> None:
        """A value over 64 KiB is too long; a row beyond all measure is none."""
        path = home.put("a.csv", HEADER + row("good") + row("x" * 70_000) + row("y" * (17 << 20)) + row("also"))
        assert home.ingest(path, record="event") == {"records_read": 4, "accepted": 2, "quarantined": 2}
        assert [line for line, _ in refused(home)] == [3, 4]

    def test_a_csv_does_not_say_by_itself_which_record_it_is(self, home: Lake) -> None:
        """Without --record and without a column `record` it cannot be used."""
        (report,) = home.mill.ingest(home.put("a.csv", HEADER + row("good")))
        assert "which record is it?" in str(report.failures[0])

    def test_empty_lines_are_counted_and_are_no_rows(self, home: Lake) -> None:
        """A row that is refused has the line that it stands on, however many empty lines stand before it."""
        bad = ["soon,question,a,", "2026-02-10,question,b,,too,many", "soon,question,c,"]
        lines = [row("good").strip(), "", bad[0], "", "", bad[1], row("also").strip(), "", bad[2], ""]
        counts = home.ingest(home.put("a.csv", HEADER + "\r\n".join(lines)), record="event")
        assert counts == {"records_read": 5, "accepted": 2, "quarantined": 3}
        assert home.refusals() == [
            (4, "timestamp", "not a timestamp"),
            (7, None, "too many columns"),
            (10, "timestamp", "not a timestamp"),
        ]

    def test_what_cannot_be_read_has_a_line_of_its_own(self, home: Lake) -> None:
        """Where broken quotes hide what a row is, too, a retry feeds each refused row again."""
        lines = [row("good"), 'x"\n', '2026-02-10,"a\n', "2026-02-10,\r,x,\n", "soon,question,a,\n", 'b",c"",\n']
        content = HEADER.encode() + "".join(lines).encode() + b"2026-02-10,\xff,x,\n" * 3 + row("also").encode()
        home.ingest(home.put("a.csv", content), record="event")
        found = home.column("SELECT line FROM held")
        assert len(found) == len(set(found)) > 3
        before = len(found)
        home.mill.retry()
        home.assert_adds_up()
        assert len(home.refusals()) == before


class TestParquet:
    """Parquet, whatever its columns' types."""

    BASE: ClassVar[dict[str, Any]] = {"timestamp": pa.array([1_770_724_800_123_456], pa.timestamp("us")), "type": ["x"]}

    def put(self, home: Lake, **columns: Any) -> Path:
        """A file of one good event with further columns."""
        return home.put("a.parquet", parquet(self.BASE | columns))

    def test_values_of_any_type_are_the_values_that_they_mean(self, home: Lake) -> None:
        """Integers, decimals, floats and booleans of every width are cast by their value."""
        path = self.put(
            home,
            duration_ms=[Decimal("1.50")],
            input_tokens=pa.array([3], pa.int32()),
            output_tokens=[4.0],
            cost_usd=pa.array([0.1], pa.float32()),
            success=[True],
            name=pa.array(["n"]).dictionary_encode(),
            user_id=pa.array([17], pa.uint8()),
        )
        home.ingest(path, record="event")
        found = home.query("SELECT duration_ms, total_tokens, cost_usd, success, name, user_id FROM events")
        assert list(found[0].values()) == [1.5, 7, 0.1, True, "n", "17"]

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (pa.array([1_770_724_800_123_456], pa.timestamp("us")), datetime(2026, 2, 10, 11, 0, 0, 123_456, UTC)),
            (pa.array([1_770_724_800_123_456_789], pa.timestamp("ns")), datetime(2026, 2, 10, 11, 0, 0, 123_456, UTC)),
            (pa.array([1_770_724_800], pa.timestamp("s")), datetime(2026, 2, 10, 11, tzinfo=UTC)),
            (pa.array([1_770_724_800], pa.timestamp("s", "America/New_York")), datetime(2026, 2, 10, 12, tzinfo=UTC)),
            (pa.array([date(2026, 2, 10)]), datetime(2026, 2, 9, 23, tzinfo=UTC)),
            (pa.array(["2026-02-10T12:00:00Z"]), datetime(2026, 2, 10, 12, tzinfo=UTC)),
        ],
        ids=["us", "ns", "s", "zoned", "date", "text"],
    )
    def test_naive_timestamps_are_of_the_timezone_of_the_source(
        self, home: Lake, values: pa.Array[Any], expected: datetime
    ) -> None:
        """A naive column is local time; one with a zone is what it is; digits beyond microseconds are cut."""
        home.ingest(self.put(home, timestamp=values), record="event", timezone="Europe/Berlin")
        assert home.column("SELECT timestamp FROM events") == [expected]

    def test_numbers_are_no_timestamps(self, home: Lake) -> None:
        """Seconds and milliseconds since 1970 are refused: nobody can tell which they are."""
        path = home.put("a.parquet", parquet({"timestamp": [1_770_724_800, 1_770_724_800_000], "type": ["x", "x"]}))
        assert home.ingest(path, record="event") == {"records_read": 2, "quarantined": 2}
        assert home.refusals() == [(1, "timestamp", "not a timestamp"), (2, "timestamp", "not a timestamp")]

    @pytest.mark.parametrize("kind", [pa.float32(), pa.float64()], ids=str)
    def test_numbers_that_are_not_finite_are_refused(self, home: Lake, kind: pa.DataType) -> None:
        """NaN and the infinities are out of range also where a file's statistics hide them."""
        values = pa.array([0.5, float("nan"), float("inf"), -float("inf")], kind)
        path = home.put(
            "a.parquet",
            parquet({"timestamp": self.BASE["timestamp"].to_pylist() * 4, "type": ["x"] * 4, "cost_usd": values}),
        )
        assert home.ingest(path, record="event") == {"records_read": 4, "accepted": 1, "quarantined": 3}
        assert home.refusals() == [(line, "cost_usd", "out of range") for line in (2, 3, 4)]

    def test_other_columns_are_attributes_as_they_are(self, home: Lake) -> None:
        """Nested values, numbers and booleans stay such in the attributes, nulls are left out."""
        path = self.put(
            home,
            n=[5],
            x=[1.5],
            yes=[True],
            none=pa.array([None], pa.string()),
            tags=[["a", "b"]],
            nested=[{"x": [1, 2], "y": {"z": "t"}}],
            line=[7],
            attributes=[{"given": 1}],
        )
        home.ingest(path, record="event")
        (attributes,) = home.column("SELECT attributes FROM events")
        assert json.loads(attributes) == {
            "n": 5, "x": 1.5, "yes": True, "tags": ["a", "b"], "nested": {"x": [1, 2], "y": {"z": "t"}}, "line": 7,
            "given": 1,
        }  # fmt: skip

    def test_labels_may_be_a_map_or_a_struct(self, home: Lake) -> None:
        """Both become an object of text with sorted keys."""
        for number, labels in enumerate(
            (pa.array([[("b", "1"), ("a", "2")]], pa.map_(pa.string(), pa.string())), [{"b": 1, "a": "2"}])
        ):
            columns = {"timestamp": self.BASE["timestamp"], "name": [str(number)], "value": [1], "labels": labels}
            home.ingest(home.put(f"{number}.parquet", parquet(columns)), record="metric")
        assert home.column("SELECT labels FROM metrics") == ['{"a":"2","b":"1"}'] * 2

    def test_the_same_records_as_lines_are_duplicates(self, home: Lake) -> None:
        """A record means the same in Parquet and in JSON lines, attributes included."""
        home.ingest(self.put(home, n=[5], nested=[{"a": [1]}], input_tokens=[3], x=[0.5]), record="event")
        lines = event(type="x", timestamp="2026-02-10T12:00:00.123456Z", n=5, nested={"a": [1]}, input_tokens=3, x=0.5)
        assert home.ingest(home.write("b.jsonl", lines), record="event") == {"records_read": 1, "duplicates": 1}

    def test_rows_may_say_which_record_they_are(self, home: Lake) -> None:
        """A column `record` mixes events and metrics in a file."""
        columns = {"record": ["event", "metric"], "timestamp": ["2026-02-10"] * 2, "type": ["x", None]}
        path = home.put("a.parquet", parquet(columns | {"name": ["n", "cpu"], "value": [None, 1.0]}))
        assert home.ingest(path) == {"records_read": 2, "accepted": 2}

    @pytest.mark.parametrize("cut", [30, 400], ids=str)
    def test_a_file_that_is_cut_off_is_refused_whole(self, home: Lake, cut: int) -> None:
        """Without its end a Parquet file cannot be read; the error names it."""
        data = parquet(self.BASE)
        path = home.put("a.parquet", data[:-cut])
        (report,) = home.mill.ingest(path, record="event")
        assert str(path) in str(report.failures[0])


def test_a_metric_of_every_layout_is_one_metric(home: Lake) -> None:
    """Lines, a document, CSV and Parquet of one metric are one record."""
    lines = home.write("a.jsonl", metric(id="1", labels={"b": 1, "a": "x"}))
    document = home.put("b.json", json.dumps(metric(id="1", labels={"a": "x", "b": "1"}, kind="gauge"), indent=1))
    table = home.put(
        "c.csv", 'id,timestamp,name,value,labels\n1,2026-02-10 12:00,cpu,1.50,"{""a"":""x"",""b"":""1""}"\n'
    )
    columns = {"id": [1], "timestamp": ["2026-02-10 12:00:00+00"], "name": ["cpu"], "value": [Decimal("1.5")]}
    columnar = home.put("d.parquet", parquet(columns | {"labels": [{"b": 1, "a": "x"}]}))
    counts = home.ingest(lines, document, table, columnar, record="metric")
    assert counts == {"records_read": 4, "accepted": 1, "duplicates": 3}
