"""Bad input of every kind, given to the command: one clear line, an exit code, good records loaded, the home whole."""

from __future__ import annotations

import gzip
import io
import json
import os
import shutil
import subprocess
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Lake, event
from tidemill.cli import main

if TYPE_CHECKING:
    from pathlib import Path

GOOD, ALSO = (json.dumps(event(name=name, id=name)) for name in ("good", "also"))
CSV = "timestamp,type,name\n2026-02-10,question,good\n"
FORMAT = "-- record: event\nSELECT line, timestamp, type, name FROM raw\n"


def parquet(**columns: object) -> bytes:
    """A Parquet file with those columns."""
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target)
    return target.getvalue()


@dataclass(frozen=True)
class Outcome:
    """What the command left: its exit code and its lines on either stream."""

    code: int
    out: str
    errors: list[str]

    @property
    def said(self) -> list[str]:
        """The lines that say what went wrong."""
        return [line for line in self.errors if line.startswith("tidemill: ")]


@dataclass(frozen=True)
class Command:
    """The command over one home, in this process."""

    lake: Lake
    capture: pytest.CaptureFixture[str]
    patch: pytest.MonkeyPatch

    def __call__(self, *arguments: str | Path, home: Path | None = None) -> Outcome:
        """Run it with those arguments."""
        words = ["tidemill", "--home", str(home or self.lake.mill.home.path), *map(str, arguments)]
        self.patch.setattr(sys, "argv", words)
        self.capture.readouterr()
        code = 0
        try:
            main.main()
        except SystemExit as end:
            code = end.code if isinstance(end.code, int) else int(end.code is not None)
        out, errors = self.capture.readouterr()
        return Outcome(code, out, errors.splitlines())

    def assert_whole(self, good: int) -> None:
        """The home works as before: so many records are in the lake, the ledger adds up, and status says so."""
        self.lake.assert_adds_up()
        assert self.lake.column("SELECT count(*) FROM events") == [good]
        ended = self("status", "--format", "json")
        assert (ended.code, ended.said) == (0, [])
        assert json.loads(ended.out)


@pytest.fixture
def tidemill(home: Lake, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch) -> Command:
    """The command, over an empty home."""
    return Command(home, capsys, monkeypatch)


def _cut(data: bytes) -> bytes:
    return data[: len(data) * 2 // 3]


UNUSABLE: dict[str, tuple[str, bytes | None]] = {
    "does not exist": ("missing.jsonl", None),
    "is a glob of nothing": ("*.nothing", None),
    "is a folder of nothing": ("folder/", None),
    "is truncated gzip": ("a.jsonl.gz", _cut(gzip.compress(os.urandom(1000)))),
    "is truncated gzip of CSV": ("a.csv.gz", _cut(gzip.compress(CSV.encode() + os.urandom(1000)))),
    "is truncated zstd": ("a.jsonl.zst", _cut(pa.compress(os.urandom(1000), codec="zstd", asbytes=True))),
    "is no gzip": ("a.json.gz", b"{}"),
    "is of no known type": ("a.xml", b"<a/>"),
    "is a cut Parquet file": ("a.parquet", _cut(parquet(timestamp=["2026-02-10"], type=["x"]))),
    "is no Parquet file": ("a.parquet", b"PAR1, but only by its beginning"),
    "is a CSV with a header that names a column twice": ("a.csv", b"timestamp,type,type\n"),
    "is a CSV without a header": ("a.csv", b"\n1,2,3\n"),
}


@pytest.mark.parametrize(
    ("names", "said"),
    [
        (["a"], "the only record was ignored: format {form} selects none of them; look at its WHERE"),
        (["a", "b"], "all 2 records were ignored: format {form} selects none of them; look at its WHERE"),
        (["a", "good"], None),
    ],
)
def test_a_format_that_ignores_every_record_says_so(tidemill: Command, names: list[str], said: str | None) -> None:
    """One line on standard error, besides the count; nothing where it took one record."""
    form = tidemill.lake.put("my.sql", f"{FORMAT} WHERE name = 'good'")
    path = tidemill.lake.write("a.jsonl", *(json.dumps(event(name=name)) for name in names))
    ended = tidemill("ingest", "--format", form, path)
    assert ended.code == 0
    assert ended.errors[1:] == ([f"files: {said.format(form=form)}"] if said else [])


@pytest.mark.parametrize("fault", UNUSABLE)
def test_a_whole_file_that_cannot_be_used(tidemill: Command, fault: str) -> None:
    """It is named in one line, with exit code 2; the good file beside it is loaded."""
    name, content = UNUSABLE[fault]
    good = tidemill.lake.write("good.jsonl", GOOD)
    bad = good.with_name(name.rstrip("/"))
    if content is not None:
        bad.write_bytes(content)
    elif name.endswith("/"):
        bad.mkdir()
    ended = tidemill("ingest", "--record", "event", good, bad)
    assert ended.code == 2
    (said,) = ended.said
    assert str(bad) in said
    assert not any("Traceback" in line for line in ended.errors)
    tidemill.assert_whole(good=1)


def test_a_file_without_permission(tidemill: Command) -> None:
    """It is named in one line, with exit code 2; the good file beside it is loaded."""
    good, bad = tidemill.lake.write("good.jsonl", GOOD), tidemill.lake.write("bad.jsonl", ALSO)
    bad.chmod(0)
    ended = unprivileged(tidemill.lake.mill.home.path, bad, good)
    assert (ended.code, ended.said) == (2, [f"tidemill: {bad} cannot be read: permission denied"])
    tidemill.assert_whole(good=1)


def test_a_home_that_cannot_be_written(tidemill: Command) -> None:
    """One line names the folder and says what to do, with exit code 2; nothing else happens."""
    good = tidemill.lake.write("good.jsonl", GOOD)
    locked = tidemill.lake.folder / "locked"
    locked.mkdir(0o555)
    ended = unprivileged(locked / "home", good)
    assert ended.code == 2
    (said,) = ended.said
    assert str(locked) in said
    assert "choose another --home" in said


def test_a_home_that_is_a_file(tidemill: Command) -> None:
    """It is no home: one line says so, with exit code 2."""
    good = tidemill.lake.write("good.jsonl", GOOD)
    ended = tidemill("ingest", "--record", "event", good, home=good)
    assert (ended.code, len(ended.said)) == (2, 1)
    assert str(good) in ended.said[0]


def unprivileged(home: Path, *names: Path, program: str = "") -> Outcome:
    """Ingest in a process that has no right to read and write everything, even if this one has; or run a program."""
    words: list[str | Path] = []
    if os.geteuid() == 0:
        setpriv = shutil.which("setpriv")
        if setpriv is None:
            pytest.skip("root reads and writes everything, and there is no setpriv to take that from it")
        words = [setpriv, "--bounding-set=-dac_override,-dac_read_search"]
    ingest: list[str | Path] = ["-m", "tidemill", "--home", home, "ingest", "--record", "event", *names]
    words += [sys.executable, *(["-c", program, str(home)] if program else ingest)]
    ended = subprocess.run(words, check=False, capture_output=True, text=True)
    return Outcome(ended.returncode, ended.stdout, ended.stderr.splitlines())


@pytest.mark.parametrize("name", ["a.jsonl", "a.json", "a.csv", "a.parquet", "a.jsonl.gz"])
def test_an_empty_file(tidemill: Command, name: str) -> None:
    """It is said to be empty, and is no failure."""
    path = tidemill.lake.folder / name
    path.parent.mkdir()
    path.touch()
    ended = tidemill("ingest", "--record", "event", path)
    assert (ended.code, ended.said) == (0, [])
    assert f"files: {path} is empty" in ended.errors
    tidemill.assert_whole(good=0)


def _line(**fields: object) -> bytes:
    return json.dumps(event(name="bad", id="bad", **fields)).encode()


REFUSED: dict[str, tuple[bytes, str | None, str]] = {
    "not JSON": (b"{'timestamp': 1}", None, "not JSON"),
    "half a line": (b'{"timestamp": "2026-02-10", ', None, "not JSON"),
    "not an object": (b'["timestamp"]', None, "not an object"),
    "not UTF-8": (b'{"timestamp": "2026-02-10", "type": "\xe9"}', None, "not UTF-8"),
    "100 MB": (b'{"type": "' + b"x" * (100 << 20) + b'"}', None, "too long"),
    "a field over 64 KiB": (_line(message="x" * 65_537), "message", "too long"),
    "no timestamp": (_line(timestamp=None), "timestamp", "missing"),
    "the year 0001": (_line(timestamp="0001-01-01T00:00:00Z"), "timestamp", "out of range"),
    "the year 9999": (_line(timestamp="9999-12-31T23:59:59Z"), "timestamp", "out of range"),
    "seconds": (_line(timestamp=1_770_724_800), "timestamp", "not a timestamp"),
    "milliseconds": (_line(timestamp=1_770_724_800_000), "timestamp", "not a timestamp"),
    "text as a timestamp": (_line(timestamp="yesterday"), "timestamp", "not a timestamp"),
    "NaN": (_line(value=float("nan")), "value", "not finite"),
    "infinity": (_line(value=float("inf")), "value", "not finite"),
    "NaN as a duration": (_line(duration_ms=float("nan")), "duration_ms", "out of range"),
    "minus infinity as a cost": (_line(cost_usd=-float("inf")), "cost_usd", "out of range"),
    "a negative duration": (_line(duration_ms=-1), "duration_ms", "out of range"),
    "a fraction of a token": (_line(input_tokens=12.5), "input_tokens", "not an integer"),
    "text as a number": (_line(cost_usd="much"), "cost_usd", "not a number"),
    "attributes that are a list": (_line(attributes=[1]), "attributes", "not an object"),
}


@pytest.mark.parametrize("fault", REFUSED)
def test_a_line_that_is_refused(tidemill: Command, fault: str) -> None:
    """It is quarantined with line, field, reason and text; the lines around it are loaded; exit code 0."""
    bad, field, reason = REFUSED[fault]
    path = tidemill.lake.write("a.jsonl", GOOD, bad, ALSO)
    ended = tidemill("ingest", "--record", "event", path)
    assert (ended.code, ended.said) == (0, [])
    assert any("1 record was quarantined" in line for line in ended.errors)
    assert tidemill.lake.refusals() == [(2, field, reason)]
    assert tidemill.lake.column("SELECT raw IS NOT NULL FROM held") == [True]
    tidemill.assert_whole(good=2)


DEEP = 100_000
NESTED = b'{"a":' * DEEP + b"1" + b"}" * DEEP
UNTOLD: dict[str, tuple[str, bytes]] = {
    "the last line without an end": ("a.jsonl", b'%s\n{"timestamp":"2026-02-10","type":"x","deep":%s}'),
    "the first line of what may be a document": ("a.json", b'{"timestamp":"2026-02-10","type":"x","deep":%s}\n%s'),
    "a line with a carriage return in it": ("a.jsonl", b'%s\n{"timestamp":"2026-02-10","type":"x",\r"deep":%s}\n'),
    "a number of ten thousand digits": ("a.jsonl", b'%s\n{"timestamp":"2026-02-10","type":"x",\r"deep":%s}'),
}


@pytest.mark.parametrize("fault", UNTOLD)
def test_json_that_python_cannot_read(tidemill: Command, fault: str) -> None:
    """What is nested too deep for Python, or too long a number, is JSON all the same, and read as any other."""
    name, content = UNTOLD[fault]
    deep = b"9" * 10_000 if "digits" in fault else NESTED
    good = GOOD.encode()
    path = tidemill.lake.put(name, content % ((deep, good) if name == "a.json" else (good, deep)))
    ended = tidemill("ingest", "--record", "event", path)
    assert (ended.code, ended.said) == (0, [])
    assert tidemill.lake.refusals() == []
    tidemill.assert_whole(good=2)


TABLES: dict[str, tuple[str, bytes, list[tuple[int | None, str | None, str | None]], int]] = {
    "a CSV without a required column": ("a.csv", b"timestamp,name\n2026-02-10,x\n", [(2, "type", "missing")], 0),
    "a CSV row with too many fields": ("a.csv", f"{CSV}1,2,3,4\n".encode(), [(3, None, "too many columns")], 1),
    "a CSV row with too few fields": ("a.csv", f"{CSV}2026-02-10\n".encode(), [(3, None, "missing columns")], 1),
    "an unclosed quote in a CSV": ("a.csv", f'{CSV}2026-02-10,"x,y\n'.encode(), [(3, None, "unquoted value")], 1),
    "a CSV row that is not UTF-8": ("a.csv", CSV.encode() + b"2026-02-10,\xe9,x\n", [(3, None, "invalid encoding")], 1),
    "a carriage return in a CSV row": (
        "a.csv",
        CSV.encode() + b"2026-02-10,qu\restion,x\n2026-02-10,question,also\n",
        [(3, None, "a carriage return in it")],
        2,
    ),
    "Parquet with a number as timestamp": (
        "a.parquet",
        parquet(timestamp=[1_770_724_800], type=["x"]),
        [(1, "timestamp", "not a timestamp")],
        0,
    ),
    "Parquet with a list as type": ("a.parquet", parquet(timestamp=["2026-02-10"], type=[["x"]]), [], 1),
    "Parquet with NaN as cost": (
        "a.parquet",
        parquet(timestamp=["2026-02-10"] * 2, type=["x"] * 2, cost_usd=[1.0, float("nan")]),
        [(2, "cost_usd", "out of range")],
        1,
    ),
}


@pytest.mark.parametrize("fault", TABLES)
def test_rows_that_are_refused(tidemill: Command, fault: str) -> None:
    """Bad rows of a table are quarantined, good ones of the same file loaded; exit code 0."""
    name, content, refusals, good = TABLES[fault]
    ended = tidemill("ingest", "--record", "event", tidemill.lake.put(name, content))
    assert (ended.code, ended.said) == (0, [])
    assert tidemill.lake.refusals() == refusals
    tidemill.assert_whole(good=good)


FORMATS: dict[str, tuple[str, str]] = {
    "unknown": ("", 'there is no format "nativ"; did you mean "native"'),
    "of an unknown record": (FORMAT.replace("event", "trace"), 'there is no record "trace"'),
    "without a record": ("SELECT 1", "has no select"),
    "with a syntax error": (FORMAT.replace("SELECT", "SELECT ,"), "syntax error"),
    "that fails": (FORMAT.replace("name FROM", "error('no') AS name FROM"), "no"),
    "with an unknown column": (FORMAT.replace("name FROM", "name AS nam FROM"), 'did you mean "name"'),
    "without line": (FORMAT.replace("line, ", ""), "does not return `line`"),
}


@pytest.mark.parametrize("fault", FORMATS)
def test_a_format_that_cannot_be_used(tidemill: Command, fault: str) -> None:
    """One line names the format, with exit code 2."""
    sql, says = FORMATS[fault]
    name = str(tidemill.lake.put("my.sql", sql)) if sql else "nativ"
    ended = tidemill("ingest", "--format", name, tidemill.lake.write("a.jsonl", GOOD))
    assert ended.code == 2
    (said,) = ended.said
    assert name in said
    assert says in said
    tidemill.assert_whole(good=0)


SETTINGS: dict[str, tuple[str, str]] = {
    "an unknown key": ("timezon = 'UTC'", 'did you mean "timezone"'),
    "an unknown key of a source": ("[sources.a]\npath = 'x'\nformt = 'native'", 'did you mean "format"'),
    "an unknown timezone": ("timezone = 'Europe/Berlim'", 'did you mean "Europe/Berlin"'),
    "an unknown record": ("[sources.a]\npath = 'x'\nrecord = 'trace'", "sources.a.record"),
    "a source without a path": ("[sources.a]\nrecord = 'event'", "sources.a.path"),
    "no TOML": ("[sources", "is not TOML"),
}


@pytest.mark.parametrize("fault", SETTINGS)
def test_settings_that_cannot_be_used(tidemill: Command, fault: str) -> None:
    """One line names the file, the key and the nearest one, with exit code 2, whatever the command is."""
    text, says = SETTINGS[fault]
    tidemill.lake.settings(text)
    file = tidemill.lake.mill.home.settings_file
    for words in (["ingest", tidemill.lake.write("a.jsonl", GOOD)], ["status"]):
        ended = tidemill(*words)
        assert ended.code == 2
        (said,) = ended.said
        assert str(file) in said
        assert says in said
    file.unlink()
    tidemill.assert_whole(good=0)


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["--record", "trace"], "record"),
        (["--timezone", "Mars/Olympus"], "timezone"),
        (["--source", "nowhere"], 'no source "nowhere"'),
    ],
    ids=lambda value: value[0] if isinstance(value, list) else "",
)
def test_options_that_cannot_be_used(tidemill: Command, words: list[str], says: str) -> None:
    """One line, exit code 2, and nothing is loaded."""
    names = [] if "--source" in words else [tidemill.lake.write("a.jsonl", GOOD)]
    ended = tidemill("ingest", *words, *names)
    assert (ended.code, len(ended.said)) == (2, 1)
    assert says in ended.said[0]
    tidemill.assert_whole(good=0)


def test_published_tables_stay_whole(tidemill: Command) -> None:
    """After a build, bad input of every kind leaves the tables as they are, and the next build adds what was good."""
    tidemill("ingest", "--record", "event", tidemill.lake.write("a.jsonl", GOOD))
    assert tidemill("build").code == 0
    before = tidemill("show", "activity_hourly", "--format", "csv").out
    bad = tidemill.lake.put("b.parquet", b"no Parquet")
    mixed = tidemill.lake.write("c.jsonl", "broken", ALSO, b"\xff")
    assert tidemill("ingest", "--record", "event", bad, mixed).code == 2
    assert tidemill("show", "activity_hourly", "--format", "csv").out == before
    assert tidemill("build").code == 0
    assert tidemill("query", "SELECT sum(events) AS n FROM activity_hourly", "--format", "csv").out == "n\n2\n"
