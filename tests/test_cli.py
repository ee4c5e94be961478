from __future__ import annotations

import csv
import io
import json
import os
import pty
import signal
import subprocess
import sys
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Protocol

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.homes import AS_OF, built, digests, event, feed, home, job, metric
from tidemill import catalog, cli
from tidemill.output import ROWS_ON_A_TERMINAL, Format

if TYPE_CHECKING:
    from collections.abc import Callable

    from tidemill import Tidemill

COMMANDS: Final = ("init", "ingest", "build", "run", "query", "show", "path", "tables", "status", "simulate")
HEAVY: Final = ("polars", "duckdb", "pyarrow", "deltalake", "prefect", "pandas", "sqlglot", "pydantic")
RECORDS: Final = (
    event("a", "2026-02-10T10:00:00Z", session_id="s1", user_id="u1", duration_ms=10.5),
    event("b", "2026-02-11T10:00:00Z", session_id="s1", type="error_occurred"),
    job("j", "2026-02-10T09:00:00Z"),
    metric("m", "2026-02-10T09:00:00Z"),
)


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    data: bytes
    err: str

    @property
    def out(self) -> str:
        """Its standard output as text."""
        return self.data.decode()

    @property
    def fault(self) -> str:
        """The one line of a command that failed, without the command's name."""
        assert self.data == b""
        assert self.err.startswith("tidemill: ")
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("tidemill: ").strip()


class Command(Protocol):
    """Runs the command in this process."""

    def __call__(self, *arguments: object, at: Tidemill | Path | None = None) -> Said:
        """Run it with those arguments, on a home."""


@pytest.fixture
def tm(capsysbinary: pytest.CaptureFixture[bytes], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command, run in this process."""
    for name in [name for name in os.environ if name.startswith("TIDEMILL_")]:
        monkeypatch.delenv(name)

    def run(*arguments: object, at: Tidemill | Path | None = None) -> Said:
        place = [] if at is None else ["--home", str(at if isinstance(at, Path) else at.home.path)]
        capsysbinary.readouterr()
        with pytest.raises(SystemExit) as end:
            cli.main([*place, *map(str, arguments)])
        out, err = capsysbinary.readouterr()
        return Said(int(end.value.code or 0), out, err.decode())

    return run


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Tidemill:
    """A home that is built, for commands that read."""
    made = home(tmp_path_factory.mktemp("cli"), *RECORDS)
    built(made, as_of=AS_OF)
    return made


def process(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:  # noqa: ANN401 - those of Popen
    """Start the command in a process of its own."""
    return subprocess.Popen([sys.executable, "-m", "tidemill", *map(str, arguments)], stderr=subprocess.PIPE, **options)


# Help, and what it costs


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)], ids=["none", "--help", "-h"])
def test_help_names_every_command(tm: Command, arguments: tuple[str, ...]) -> None:
    """Without arguments too; each command stands there with a line of its own."""
    said = tm(*arguments)
    assert (said.code, said.err) == (0, "")
    assert [line.split()[0] for line in said.out.split("Commands:")[1].splitlines() if line.startswith("  ")] == list(
        COMMANDS
    )


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(tm: Command, name: str) -> None:
    """Its help says how it is called, by the name that people type, and explains every option."""
    said = tm(name, "--help")
    assert said.code == 0
    assert said.out.startswith(f"Usage: tidemill {name} ")
    options = [line for line in said.out.splitlines() if line.strip().startswith("--")]
    assert [line for line in options if len(line.split("  ")) < 2] == []


def test_help_imports_nothing_heavy() -> None:
    """The command's help starts none of the libraries that take their time."""
    code = f"""
import sys
from tidemill import cli
try:
    cli.main(["--help"])
except SystemExit:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stderr == "[]\n"


def test_the_package_needs_neither_prefect_nor_pandas() -> None:
    """No module of it imports them, directly or through another library."""
    code = """
import importlib, pkgutil, sys
import tidemill
for module in pkgutil.walk_packages(tidemill.__path__, "tidemill."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print([name for name in ("prefect", "pandas") if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "[]\n"


# From nothing to tables


def test_the_pipeline_by_hand(tm: Command, tmp_path: Path) -> None:
    """Init, ingest, build and the reading commands, each with its result alone on standard output."""
    place = tmp_path / "home"
    file = tmp_path / "app.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    said = tm("init", at=place)
    assert (said.code, said.out) == (0, "")
    assert said.err.startswith(f"wrote {place}/tidemill.toml")
    said = tm("ingest", file, at=place)
    assert said.code == 0
    assert said.out.split() == [
        *"source loads records_read expanded accepted duplicates quarantined ignored".split(),
        *"files 1 4 0 4 0 0 0".split(),
    ]
    said = tm("build", "--as-of", AS_OF, at=place)
    assert said.code == 0
    assert [line.split()[0] for line in said.out.splitlines()] == ["table", *catalog.tables()]
    assert "build: activity_daily\n" in said.err
    said = tm("build", "--as-of", AS_OF, at=place)
    assert (said.code, said.out) == (0, "")
    assert said.err.endswith("everything is fresh: nothing was built\n")
    said = tm("query", "SELECT job_id, status FROM job_states", at=place)
    assert (said.code, said.out.split(), said.err) == (0, ["job_id", "status", "j", "completed"], "")
    said = tm("path", "job_states", at=place)
    assert said.code == 0
    assert [path.suffix for path in (place / said.out.strip()).iterdir()] == [".parquet"]
    assert said.out == f"{(place / 'tables' / 'current').resolve()}/job_states\n"


def test_run_is_ingest_and_build(tm: Command, tmp_path: Path) -> None:
    """The configured sources are loaded, then the tables built; again, and there is nothing to do."""
    place = tmp_path / "home"
    (place / "raw").mkdir(parents=True)
    (place / "raw" / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    (place / "tidemill.toml").write_text('[sources.app]\npath = "raw/*.jsonl"\n')
    said = tm("run", "--as-of", "latest", at=place)
    assert said.code == 0
    assert said.out.splitlines()[1].split() == "app 1 4 0 4 0 0 0".split()
    said = tm("run", "--as-of", "latest", at=place)
    assert said.code == 0
    assert said.out.splitlines()[1].split() == "app 0 0 0 0 0 0 0".split()
    assert said.err.endswith("app: 1 files hold nothing new\nbuild: " + said.err.split("build: ", 1)[1])
    assert said.err.endswith("everything is fresh: nothing was built\n")


def test_run_builds_what_it_could_load(tm: Command, tmp_path: Path) -> None:
    """A source that cannot be read is an error, and the records of the others are in the tables."""
    place = tmp_path / "home"
    place.mkdir()
    (place / "good.jsonl").write_text(json.dumps(RECORDS[0]) + "\n")
    (place / "tidemill.toml").write_text('[sources.bad]\npath = "no.jsonl"\n[sources.good]\npath = "good.jsonl"\n')
    said = tm("run", at=place)
    assert said.code == 2
    assert said.err.splitlines()[-1] == f"tidemill: {place}/no.jsonl does not exist"
    assert tm("query", "SELECT events FROM activity_daily", "--format", "csv", at=place).out == "events\n1\n"


def test_a_home_without_sources_says_so(tm: Command, tmp_path: Path) -> None:
    """Ingest and run find nothing to load, and say what to do."""
    for name in ("ingest", "run"):
        said = tm(name, at=tmp_path / "home")
        assert said.code == 0
        assert said.err.startswith(
            f"no sources are configured in {tmp_path}/home/tidemill.toml; name files, or run: tidemill init\n"
        )


def test_refused_records_and_empty_files_are_counted(tm: Command, tmp_path: Path) -> None:
    """Both are said on standard error, and change nothing about the exit code."""
    (tmp_path / "bad.jsonl").write_text("{}\n")
    (tmp_path / "empty.jsonl").touch()
    said = tm("ingest", tmp_path / "bad.jsonl", tmp_path / "empty.jsonl", "--record", "event", at=tmp_path / "home")
    assert said.code == 0
    assert f"files: {tmp_path}/empty.jsonl is empty\n" in said.err
    assert "files: 1 records were quarantined" in said.err


def test_init_leaves_an_existing_file_alone(tm: Command, tmp_path: Path) -> None:
    """A tidemill.toml that is there is not written over."""
    (tmp_path / "tidemill.toml").write_text("threads = 1\n")
    said = tm("init", at=tmp_path)
    assert (said.code, said.fault) == (2, f"{tmp_path}/tidemill.toml exists already; edit it, or remove it first")
    assert (tmp_path / "tidemill.toml").read_text() == "threads = 1\n"


def test_simulate_names_the_files_that_it_wrote(tm: Command, tmp_path: Path) -> None:
    """The files alone on standard output, what to do with them beside it, and they load."""
    said = tm("simulate", "--output", tmp_path / "raw", "--events", 200, "--days", 2, at=tmp_path / "home")
    assert said.code == 0
    files = said.out.splitlines()
    assert sorted(files) == sorted(str(path) for path in (tmp_path / "raw").iterdir())
    assert f"tidemill --home {tmp_path}/home ingest {tmp_path}/raw" in said.err
    assert tm("ingest", *files, at=tmp_path / "home").code == 0


def test_a_dry_run_says_what_is_stale_and_why(tm: Command, tmp_path: Path) -> None:
    """It names table, partition and reason, builds nothing, and says so when there is nothing to build."""
    mill = home(tmp_path, *RECORDS)
    mill.build()
    before = digests(mill.home.tables)
    feed(mill, metric("late", "2026-02-10T10:00:00Z"))
    said = tm("build", "--dry-run", at=mill)
    assert (said.code, said.err) == (0, "")
    table, partition, *why = said.out.splitlines()[1].split()
    assert (table, partition, " ".join(why)) == ("metric_hourly", "2026-02-10", "its records changed")
    assert len(said.out.splitlines()) == 2
    said = tm("build", "--dry-run", "activity_daily", at=mill)
    assert (said.code, said.out, said.err) == (0, "", "everything is fresh: nothing would be built\n")
    full = tm("build", "--dry-run", "--full", "job_states", at=mill).out.splitlines()
    assert [line.split() for line in full] == [["table", "partition", "why"], ["job_states", "2026-02-10", "--full"]]
    assert digests(mill.home.tables) == before


# What a result is written as

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
def test_json_has_numbers_and_iso_instants(tm: Command, mill: Tidemill, form: str) -> None:
    """Integers of any width are numbers, instants ISO 8601 in UTC, an absent value null; json is one array."""
    said = tm("query", VALUES, "--format", form, at=mill)
    assert (said.code, said.err) == (0, "")
    assert read(said.data, form) == [EXPECTED]
    for name in ("instant", "whole"):
        assert datetime.fromisoformat(str(EXPECTED[name])).tzinfo == UTC


def test_csv_has_the_same_values_as_text(tm: Command, mill: Tidemill) -> None:
    """With a header; quotes, commas and line ends come back as they were."""
    (row,) = read(tm("query", VALUES, "--format", "csv", at=mill).data, "csv")
    assert row == {name: {None: "", True: "true"}.get(value, str(value)) for name, value in EXPECTED.items()}


@pytest.mark.parametrize("form", ["parquet", "arrow"])
def test_parquet_and_arrow_keep_types(tm: Command, mill: Tidemill, form: str) -> None:
    """PyArrow reads them from the bytes on standard output, with instants as instants."""
    (row,) = read(tm("query", VALUES, "--format", form, at=mill).data, form)
    assert row["instant"] == datetime(2026, 2, 10, 16, 0, 0, 250_000, UTC)
    assert {name: row[name] for name in ("big", "huge", "unsigned", "tenth", "yes", "nothing", "text")} == {
        name: EXPECTED[name] for name in ("big", "huge", "unsigned", "tenth", "yes", "nothing", "text")
    }


def test_json_is_json_whatever_is_in_it(tm: Command, mill: Tidemill) -> None:
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
def test_no_rows_are_a_result_too(tm: Command, mill: Tidemill, form: str) -> None:
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
        (("tables",), ["table", "family", "grain", "partition", "description"], len(catalog.tables())),
        (("status",), ["table", "partitions", "stale", "why", "rows", "built_at"], len(catalog.tables())),
    ],
    ids=["show", "tables", "status"],
)
def test_every_reading_command_speaks_every_format(
    tm: Command, mill: Tidemill, arguments: tuple[str, ...], names: list[str] | None, count: int, form: str
) -> None:
    """The rows come back as many and with the columns that they have."""
    said = tm(*arguments, "--format", form, at=mill)
    assert (said.code, said.err) == (0, "")
    found = read(said.data, form)
    assert len(found) == count
    assert list(found[0]) == (names or mill.show("activity_daily").columns)


def test_a_table_for_a_person(tm: Command, mill: Tidemill) -> None:
    """Text stands as it is, brackets and colons included; large numbers are grouped, an absent value is blank."""
    said = tm(
        "query",
        "SELECT '[/red] :smile: [x]' AS \"[/blue]\", 1234567.8 ::DOUBLE AS d, 1234567 AS i, NULL AS n, 0.25 AS q, [1] AS l",
        at=mill,
    )
    assert said.code == 0
    header, row = said.out.splitlines()
    assert header.split() == ["[/blue]", "d", "i", "n", "q", "l"]
    assert row.split() == ["[/red]", ":smile:", "[x]", "1,234,568", "1234567", "0.25", "[1]"]


def test_all_rows_go_where_no_person_looks(tm: Command, mill: Tidemill, tmp_path: Path) -> None:
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
def test_output_is_what_standard_output_would_be(tm: Command, mill: Tidemill, tmp_path: Path, form: str) -> None:
    """With --output the result is in that file alone; a file that was there is replaced."""
    file = tmp_path / "result"
    file.write_text("before")
    query = "SELECT i, i / 3 AS third FROM range(300) t(i)"
    printed = tm("query", query, "--format", form, at=mill)
    said = tm("query", query, "--format", form, "--output", file, at=mill)
    assert (said.code, said.data, said.err) == (0, b"", "")
    assert file.read_bytes() == printed.data
    assert [path.name for path in tmp_path.iterdir()] == ["result"]


@pytest.mark.parametrize("form", PROGRAMS)
def test_a_file_name_says_what_is_written(tm: Command, mill: Tidemill, tmp_path: Path, form: str) -> None:
    """Without --format the ending of --output decides."""
    file = tmp_path / f"result.{form}"
    assert tm("show", "activity_daily", "--output", file, at=mill).code == 0
    assert file.read_bytes() == tm("show", "activity_daily", "--format", form, at=mill).data


@pytest.mark.parametrize("form", [form.value for form in Format])
def test_an_output_that_cannot_be_written(tm: Command, mill: Tidemill, tmp_path: Path, form: str) -> None:
    """A folder that is not there, or one in the file's place: exit code 2, one line, nothing left lying about."""
    for target in (tmp_path / "no" / "x", tmp_path):
        said = tm("query", "SELECT 1", "--format", form, "--output", target, at=mill)
        assert said.code == 2
        assert said.fault.startswith(f"{target} cannot be written: ")
    assert list(tmp_path.iterdir()) == []


def test_a_failed_query_leaves_the_file_that_was_there(tm: Command, mill: Tidemill, tmp_path: Path) -> None:
    """Only a whole result takes the place of another."""
    file = tmp_path / "result.csv"
    file.write_text("before")
    said = tm("query", "SELECT error('boo') FROM range(3)", "--output", file, at=mill)
    assert (said.code, said.fault) == (1, "the query failed: Invalid Input Error: boo")
    assert file.read_text() == "before"
    assert list(tmp_path.iterdir()) == [file]


def test_output_may_be_a_pipe(tm: Command, mill: Tidemill, tmp_path: Path) -> None:
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


# What is refused


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["buld"], "No such command 'buld'. Did you mean 'build'?; see: tidemill --help"),
        (["build", "--ful"], "No such option: --ful (Possible options: --full); see: tidemill build --help"),
        (["query"], "Missing argument 'sql'.; see: tidemill query --help"),
        (["show", "activity_dayly"], 'there is no table "activity_dayly"; did you mean "activity_daily"?'),
        (["path", "activity_dayly"], 'there is no table "activity_dayly"; did you mean "activity_daily"?'),
        (["build", "activity_dayly"], 'there is no table "activity_dayly"; did you mean "activity_daily"?'),
        (["build", "--dry-run", "nothing_like_it_at_all"], 'there is no table "nothing_like_it_at_all"; there are: '),
        (["build", "--as-of", "noon"], "as-of takes a time like 2026-02-10T18:00Z, or latest; not noon"),
        (["query", "FROM activity_dayly"], 'Did you mean "activity_daily"?'),
        (
            ["query", "SELECT evnts FROM activity_daily"],
            'Referenced column "evnts" not found in FROM clause! Candidate bindings: "events"',
        ),
        (["query", "SELEC 1"], 'syntax error at or near "SELEC"'),
        (["query", "SELECT $1"], "Values were not provided"),
        (
            ["show", "activity_daily", "--format", "xml"],
            "'xml' is not one of 'table', 'csv', 'json', 'jsonl', 'parquet', 'arrow'",
        ),
        (["ingest", "x.jsonl", "--record", "evnt"], "record: "),
        (
            ["simulate", "--events", "0"],
            "--events': Input should be greater than or equal to 1; see: tidemill simulate --help",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_used_is_one_line(tm: Command, mill: Tidemill, arguments: list[str], fault: str) -> None:
    """It says what and where, and what was meant; the exit code is 2."""
    said = tm(*arguments, at=mill)
    assert fault in said.fault
    assert said.code == (1 if "$1" in arguments else 2)


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "COPY builds TO '{snapshot}/out.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{snapshot}/out.csv'",
        "EXPLAIN /* x */ ANALYZE -- y\n COPY (SELECT 1) TO '{snapshot}/out.csv'",
        "WITH x AS (COPY (SELECT 1) TO '{snapshot}/out.csv') FROM x",
        "with x as (copy (select 1) to '{snapshot}/out.csv') from x",
        "EXPLAIN ANALYZE WITH x AS (COPY (SELECT 1) TO '{snapshot}/out.csv') FROM x",
        "FROM query('WITH x AS (COPY (SELECT 1) TO ''{snapshot}/out.csv'') FROM x')",
        "ATTACH '{snapshot}/out.db' AS x",
        "EXPLAIN ANALYZE ATTACH '{snapshot}/out.db' AS x",
        "EXPORT DATABASE '{snapshot}/out'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "EXPLAIN ANALYZE SET threads = 1",
        "RESET lock_configuration",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "CREATE TABLE x (i INTEGER)",
        "CREATE TEMP TABLE x AS SELECT 1",
        "DROP VIEW activity_daily",
        "DELETE FROM builds",
        "BEGIN",
        "CHECKPOINT",
        "SELECT 1; SELECT 2",
        "SELECT 1; COPY (SELECT 1) TO '{snapshot}/out.csv'",
        "",
        "/* nothing */",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_blob('{folder}/tidemill.toml')",
        "SELECT * FROM '{folder}/tidemill.toml'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM read_parquet('https://localhost/x.parquet')",
        "FROM sqlite_scan('{folder}/x', 'y')",
        "FROM mill",
    ],
)
def test_query_only_reads_tables_and_lake(tm: Command, mill: Tidemill, query: str) -> None:
    """Whatever else is asked is refused, and no file appears or changes."""
    before = digests(mill.home.path)
    said = tm("query", query.format(folder=mill.home.path, snapshot=mill.snapshot()), at=mill)
    assert said.fault.startswith(("query takes one SELECT", "the query cannot be run", "the query failed"))
    assert said.code == (1 if "failed" in said.fault else 2)
    assert digests(mill.home.path) == before


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS copied, 'COPY' AS \"copy\" -- COPY",
        "FROM activity_daily;",
        "VALUES (1)",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) FROM t",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE FROM activity_daily",
        "DESCRIBE activity_daily",
        "SHOW TABLES",
        "SUMMARIZE activity_daily",
        "SELECT * FROM read_text(getvariable('x'))",
        "FROM lake.loads",
        "SELECT comment FROM duckdb_columns()",
        "SELECT 'ü' AS \"größe\", $$COPY$$",
    ],
)
def test_query_takes_any_select(tm: Command, mill: Tidemill, query: str) -> None:
    """Also those that describe and explain, and the word COPY where it is none."""
    said = tm("query", query, at=mill)
    assert said.code == 0 or "getvariable" in query
    assert said.out or "getvariable" in query


def test_a_large_query_spills_elsewhere(tm: Command, mill: Tidemill) -> None:
    """What DuckDB puts aside is outside of the snapshot, and no query may read there."""
    said = tm("query", "SELECT current_setting('temp_directory') AS t", "--format", "csv", at=mill)
    folder = said.out.splitlines()[1]
    assert not folder.startswith(str(mill.home.path))
    assert tm("query", f"FROM read_text('{folder}/../x')", at=mill).code == 2


# Homes that cannot be used


@pytest.mark.parametrize(
    "arguments", [("query", "SELECT 1"), ("show", "activity_daily"), ("path", "activity_daily")], ids=lambda a: a[0]
)
def test_nothing_is_read_where_nothing_is_published(tm: Command, tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A home that is not there, or not built, is said with what to do; none is made."""
    said = tm(*arguments, at=tmp_path / "none")
    assert (said.code, said.fault) == (2, f"nothing is published in {tmp_path}/none yet; run: tidemill build")
    assert not (tmp_path / "none").exists()


def test_a_table_that_is_not_built_is_said(tm: Command, tmp_path: Path) -> None:
    """With the command that builds it."""
    mill = home(tmp_path, *RECORDS)
    built(mill, "metric_hourly")
    said = tm("show", "activity_daily", at=mill)
    assert (said.code, said.fault) == (2, "activity_daily is not built yet; run: tidemill build activity_daily")


@pytest.mark.parametrize(
    "arguments", [("init",), ("build",), ("run",), ("ingest", "x.jsonl"), ("simulate",)], ids=lambda a: a[0]
)
def test_a_home_that_cannot_be_written(
    tm: Command, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """Where the system has no room for it, or a file stands in its place: exit code 2, and what to do."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.jsonl").write_text(json.dumps(RECORDS[0]) + "\n")
    for place in (Path("/proc/tidemill"), tmp_path / "x.jsonl"):
        said = tm(*arguments, at=place)
        assert said.code == 2
        assert f"{place}" in said.err.splitlines()[-1]
        assert "choose another --home" in said.err.splitlines()[-1] or "tidemill.toml cannot be read" in said.err


def test_a_home_with_a_question_mark_is_refused(tm: Command, tmp_path: Path) -> None:
    """DuckDB could not open a database in it."""
    said = tm("build", at=tmp_path / "what?")
    assert said.code == 2
    assert "what? cannot be a home" in said.fault


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("build",), 2), (("ingest",), 2), (("status",), 2), (("query", "SELECT 1"), 0), (("tables",), 0)],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_settings_that_cannot_be_used(tm: Command, tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    """Are said with their file by the commands that need them; reading does not."""
    mill = home(tmp_path, *RECORDS)
    built(mill, "metric_hourly")
    mill.home.settings_file.write_text('timezon = "UTC"\n')
    said = tm(*arguments, at=mill)
    assert said.code == code
    if code:
        assert (
            said.fault
            == f'{mill.home.settings_file}: there is no setting "timezon"; did you mean "timezone"? (at timezon)'
        )


def test_the_home_may_come_from_the_environment(tm: Command, mill: Tidemill, monkeypatch: pytest.MonkeyPatch) -> None:
    """TIDEMILL_HOME stands for --home, and is no setting."""
    monkeypatch.setenv("TIDEMILL_HOME", str(mill.home.path))
    assert tm("path", "builds").out == f"{mill.path('builds')}\n"
    assert tm("status").code == 0


def test_debug_shows_where(tm: Command, tmp_path: Path) -> None:
    """With --debug the traceback stands before the one line; the exit code is the same."""
    plain = tm("path", "builds", at=tmp_path)
    said = tm("--debug", "path", "builds", at=tmp_path)
    assert "Traceback" not in plain.err
    assert said.err.startswith("Traceback (most recent call last):\n")
    assert said.err.endswith(plain.err)
    assert said.code == plain.code == 2
    assert "Traceback" not in tm("path", "builds", at=tmp_path).err


def test_what_nobody_thought_of_is_one_line_too(tm: Command, tmp_path: Path) -> None:
    """An unforeseen error has its kind and text, and --debug shows where it came from; the exit code is 1."""
    mill = home(tmp_path, *RECORDS)
    built(mill, "metric_hourly")
    manifest = mill.snapshot() / "manifest.json"
    manifest.write_text("{")
    said = tm("path", "builds", at=mill)
    assert said.code == 1
    assert said.fault.startswith("JSONDecodeError: ")
    assert said.fault.endswith("(--debug shows where)")


def test_an_interrupted_build_says_so(tmp_path: Path) -> None:
    """Ctrl-C ends it with exit code 130 and one line, and what was published stays."""
    mill = home(tmp_path, *RECORDS)
    built(mill, "metric_hourly")
    before = mill.snapshot()
    running = process("--home", mill.home.path, "build", stdout=subprocess.DEVNULL)
    assert running.stderr
    first = running.stderr.readline()
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate()
    assert first.startswith(b"build: ")
    assert running.returncode == 130, rest
    assert rest.splitlines()[-1].startswith(b"tidemill: interrupted")
    assert b"Traceback" not in rest
    assert mill.snapshot() == before
    assert not list(mill.home.tables.glob("building-*"))


def test_the_module_is_the_command(mill: Tidemill) -> None:
    """`python -m tidemill` is called tidemill too, and ends with the exit code."""
    run: Callable[..., Any] = subprocess.run
    found = run(
        [sys.executable, "-m", "tidemill", "--home", mill.home.path, "show", "no"],
        capture_output=True,
        text=True,
        check=False,
    )
    assert found.returncode == 2
    assert found.stdout == ""
    assert found.stderr.startswith('tidemill: there is no table "no"; there are: ')
