from __future__ import annotations

import csv
import io
import json
import os
import pty
import subprocess
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.homes import AS_OF, built, event, home, process, tm
from tidemill.catalog import tables as catalog_tables
from tidemill.cli.output import ROWS_ON_A_TERMINAL, Format, _fitted

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill import Tidemill

STATUS: Final = ["table", "partitions", "stale", "why", "rows", "built_at", "sealed", "breaches"]


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Tidemill:
    """A home that is built, for commands that read."""
    made = home(tmp_path_factory.mktemp("read"), event("a", "2026-02-10T10:00:00Z"), event("b", "2026-02-11T10:00:00Z"))
    built(made, as_of=AS_OF)
    return made


VALUES: Final = """
SELECT
    TIMESTAMPTZ '2026-02-10 18:00:00.25+02' AS instant,
    TIMESTAMPTZ '2026-02-10 18:00:00+00' AS whole,
    TIMESTAMP '2026-02-10 18:00:00' AS naive,
    DATE '2026-02-10' AS day,
    9007199254740993 AS big,
    170141183460469231731687303715884105727::HUGEINT AS huge,
    18446744073709551615::UBIGINT AS unsigned,
    0.1::DOUBLE AS tenth,
    true AS yes,
    NULL::VARCHAR AS nothing,
    '' AS empty,
    'a "quoted", [/bold] ünïcode :smile:' || chr(10) || 'line' AS text
"""
EXPECTED: Final = {
    "instant": "2026-02-10T16:00:00.25Z",
    "whole": "2026-02-10T18:00:00Z",
    "naive": "2026-02-10T18:00:00",
    "day": "2026-02-10",
    "big": 9007199254740993,
    "huge": 170141183460469231731687303715884105727,
    "unsigned": 18446744073709551615,
    "tenth": 0.1,
    "yes": True,
    "nothing": None,
    "empty": "",
    "text": 'a "quoted", [/bold] ünïcode :smile:\nline',
}


def read(data: bytes, form: str) -> list[dict[str, Any]]:
    """The rows of a result in one of the formats for programs."""
    if form == "parquet":
        return pq.read_table(io.BytesIO(data)).to_pylist()
    if form == "arrow":
        with pa.ipc.open_stream(data) as stream:
            return stream.read_all().to_pylist()
    text = data.decode()
    if form == "csv":
        return list(csv.DictReader(io.StringIO(text)))
    found: list[dict[str, Any]] = (
        json.loads(text) if form == "json" else [json.loads(line) for line in text.splitlines()]
    )
    return found


PROGRAMS: Final = [form.value for form in Format if form is not Format.TABLE]


@pytest.mark.parametrize("form", ["json", "jsonl"])
def test_json_has_numbers_and_iso_instants(mill: Tidemill, form: str) -> None:
    """Integers of any width are numbers, instants ISO 8601 in UTC, an absent value null; json is one array."""
    said = tm("query", VALUES, "--format", form, at=mill)
    assert (said.code, said.err) == (0, "")
    assert read(said.data, form) == [EXPECTED]
    for name in ("instant", "whole"):
        assert datetime.fromisoformat(str(EXPECTED[name])).tzinfo == UTC


def test_csv_has_the_same_values_as_text(mill: Tidemill) -> None:
    """With a header; quotes, commas and line ends come back as they were."""
    (row,) = read(tm("query", VALUES, "--format", "csv", at=mill).data, "csv")
    assert row == {
        name: "" if value is None else "true" if value is True else str(value) for name, value in EXPECTED.items()
    }


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_parquet_and_arrow_keep_types(mill: Tidemill, form: str) -> None:
    """PyArrow reads them from the bytes on standard output, with instants as instants."""
    (row,) = read(tm("query", VALUES, "--format", form, at=mill).data, form)
    assert row["instant"] == datetime(2026, 2, 10, 16, 0, 0, 250_000, UTC)
    assert {name: row[name] for name in ("big", "huge", "unsigned", "tenth", "yes", "nothing", "text")} == {
        name: EXPECTED[name] for name in ("big", "huge", "unsigned", "tenth", "yes", "nothing", "text")
    }


def test_json_is_json_whatever_is_in_it(mill: Tidemill) -> None:
    """What JSON has no number for is null, also within lists and structs, where instants are ISO 8601 too."""
    instant = "TIMESTAMPTZ '2026-02-10 18:00:00+00'"
    nested = f"[{instant}, NULL] AS l, {{'at': {instant}, 'x': [['nan'::DOUBLE]]}} AS s, MAP {{'k': {instant}}} AS m"
    said = tm(
        "query",
        f"SELECT 'nan'::DOUBLE AS n, 'inf'::FLOAT AS i, {nested}, NULL::DOUBLE[] AS none",
        "--format",
        "json",
        at=mill,
    )
    iso = "2026-02-10T18:00:00Z"
    found = json.loads(said.out, parse_constant=pytest.fail)
    assert found == [
        {"n": None, "i": None, "l": [iso, None], "s": {"at": iso, "x": [[None]]}, "m": {"k": iso}, "none": None}
    ]


@pytest.mark.parametrize("form", PROGRAMS)
def test_no_rows_are_a_result_too(mill: Tidemill, form: str) -> None:
    """An empty array, no lines, or the columns alone."""
    said = tm("query", "SELECT 1 AS x WHERE false", "--format", form, at=mill)
    assert said.code == 0
    assert read(said.data, form) == []
    if form == "csv":
        assert said.out == "x\n"
    if form == "parquet":
        assert pq.read_schema(io.BytesIO(said.data)).names == ["x"]


@pytest.mark.parametrize("form", PROGRAMS)
@pytest.mark.parametrize(
    ("arguments", "names", "count"),
    [
        (("show", "activity_daily"), None, 2),
        (("tables",), ["table", "family", "grain", "partition", "description"], len(catalog_tables.tables())),
        (
            ("status",),
            [*["table", "partitions", "stale", "why", "rows", "built_at", "sealed", "breaches"]],
            len(catalog_tables.tables()),
        ),
    ],
    ids=["show", "tables", "status"],
)
def test_every_reading_command_speaks_every_format(
    mill: Tidemill, arguments: tuple[str, ...], names: list[str] | None, count: int, form: str
) -> None:
    """The rows come back as many and with the columns that they have."""
    said = tm(*arguments, "--format", form, at=mill)
    assert (said.code, said.err) == (0, "")
    found = read(said.data, form)
    assert len(found) == count
    assert list(found[0]) == (names or mill.show("activity_daily").columns)


def test_a_table_for_a_person(mill: Tidemill) -> None:
    """Text stands as it is, brackets and colons included; large numbers are grouped, an absent value is blank."""
    text = "SELECT '[/red] :smile: [x]' AS \"[/blue]\", [1] AS l, NULL AS n"
    said = tm("query", f"{text}, 1234567.8::DOUBLE AS d, 1234567 AS i, 0.25 AS q", at=mill)
    assert said.code == 0
    header, row = said.out.splitlines()
    assert header.split() == ["[/blue]", "l", "n", "d", "i", "q"]
    assert row.split() == ["[/red]", ":smile:", "[x]", "[1]", "1,234,568", "1234567", "0.25"]


def test_all_rows_go_where_no_person_looks(mill: Tidemill, tmp_path: Path) -> None:
    """In a pipe and in a file a table has all its rows."""
    many = ROWS_ON_A_TERMINAL + 50
    said = tm("query", f"FROM range({many})", at=mill)
    assert (len(said.out.splitlines()), said.err) == (many + 1, "")
    tm("query", f"FROM range({many})", "--output", tmp_path / "rows.txt", at=mill)
    assert (tmp_path / "rows.txt").read_text() == said.out


def test_a_terminal_shows_the_first_rows(mill: Tidemill) -> None:
    """And standard error says that there are more, and how to get them."""
    leader, follower = pty.openpty()
    shown = process("--home", mill.home.path, "query", f"FROM range({ROWS_ON_A_TERMINAL + 1})", stdout=follower)
    os.close(follower)
    out = b""
    while not out.count(b"\n") > ROWS_ON_A_TERMINAL:
        out += os.read(leader, 65536)
    _, err = shown.communicate()
    os.close(leader)
    assert shown.returncode == 0
    assert out.decode().split()[-1] == str(ROWS_ON_A_TERMINAL - 1)
    assert err.decode() == f"the first {ROWS_ON_A_TERMINAL} rows are shown; --format csv or --output FILE gives all\n"


@pytest.mark.parametrize("form", [form.value for form in Format])
def test_output_is_what_standard_output_would_be(mill: Tidemill, tmp_path: Path, form: str) -> None:
    """With --output the result is in that file alone; a file that was there is replaced."""
    file = tmp_path / "result"
    file.write_text("before")
    query = "SELECT i, i / 3 AS third FROM range(300) t(i)"
    printed = tm("query", query, "--format", form, at=mill)
    said = tm("query", query, "--format", form, "--output", file, at=mill)
    assert (said.code, said.data, said.err) == (0, b"", "")
    assert plain(form, file.read_bytes()) == plain(form, printed.data)
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


def plain(form: str, data: bytes) -> object:
    """What is compared of a result: of Arrow's format its rows, since bytes that only fill up may be anything."""
    return pa.ipc.open_stream(data).read_all() if form == Format.ARROW else data


@pytest.mark.parametrize("form", PROGRAMS)
def test_a_file_name_says_what_is_written(mill: Tidemill, tmp_path: Path, form: str) -> None:
    """Without --format the ending of --output decides."""
    file = tmp_path / f"result.{form}"
    assert tm("show", "activity_daily", "--output", file, at=mill).code == 0
    assert plain(form, file.read_bytes()) == plain(form, tm("show", "activity_daily", "--format", form, at=mill).data)


@pytest.mark.parametrize("form", [form.value for form in Format])
def test_an_output_that_cannot_be_written(mill: Tidemill, tmp_path: Path, form: str) -> None:
    """A folder that is not there, or one in the file's place: exit code 2, one line, nothing left lying about."""
    for target in (tmp_path / "no" / "x", tmp_path):
        said = tm("query", "SELECT 1", "--format", form, "--output", target, at=mill)
        assert said.code == 2
        assert said.fault.startswith(f"{target} cannot be written: ")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_query_leaves_the_file_that_was_there(mill: Tidemill, tmp_path: Path) -> None:
    """Only a whole result takes the place of another."""
    file = tmp_path / "result.csv"
    file.write_text("before")
    said = tm("query", "SELECT error('boo') FROM range(3)", "--output", file, at=mill)
    assert (said.code, said.fault) == (1, "the query failed: Invalid Input Error: boo")
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_output_may_be_a_pipe(mill: Tidemill, tmp_path: Path) -> None:
    """What is no file gets the bytes, and stays what it is."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    reader = subprocess.Popen(["cat", str(pipe)], stdout=subprocess.PIPE)
    assert tm("query", "SELECT 1 AS x", "--format", "csv", "--output", pipe, at=mill).code == 0
    assert reader.communicate()[0] == b"x\n1\n"
    assert pipe.is_fifo()


@pytest.mark.parametrize("form", ["table", "csv"])
def test_a_reader_that_has_enough_is_no_error(mill: Tidemill, form: str) -> None:
    """When the pipe is closed the command ends in silence."""
    writer = process("--home", mill.home.path, "query", "FROM range(100000)", "--format", form, stdout=subprocess.PIPE)
    assert writer.stdout
    writer.stdout.close()
    assert writer.stderr
    assert (writer.stderr.read(), writer.wait()) == (b"", 0)
    writer.stderr.close()


def test_a_full_disk_is_said(mill: Tidemill) -> None:
    """Where standard output takes nothing more: exit code 2 and one line."""
    with open("/dev/full", "wb") as full:  # noqa: PTH123
        writer = process("--home", mill.home.path, "query", "FROM range(100000)", "--format", "csv", stdout=full)
        _, err = writer.communicate()
    assert writer.returncode == 2
    assert err == b"tidemill: standard output cannot be written: No space left on device\n"


@pytest.mark.parametrize(
    ("width", "lines"),
    [
        (40, ["long_name  words        number", "a b        c d e        1,234,568"]),
        (14, ["-- row 1", "long_name  a b", "words      c d e", "number     1,234,568"]),
    ],
)
def test_numbers_and_names_are_never_cut_on_a_terminal(
    monkeypatch: pytest.MonkeyPatch, width: int, lines: list[str]
) -> None:
    """Where a table does not fit, texts of several words are folded, or each row stands upright."""
    monkeypatch.setenv("COLUMNS", str(width))
    cells = [["a b", "c d e", "1,234,568"]]
    text = _fitted(["long_name", "words", "number"], [False, False, True], cells)
    assert [" ".join(line.split()) for line in text.splitlines()] == [" ".join(line.split()) for line in lines]


def test_a_result_without_rows_says_so(mill: Tidemill) -> None:
    """To a person; a program sees that for itself."""
    said = tm("query", "SELECT 1 AS x WHERE false", at=mill)
    assert (said.out, said.err) == ("x\n", "no rows\n")
    assert tm("query", "SELECT 1 AS x WHERE false", "--format", "csv", at=mill).err == ""
