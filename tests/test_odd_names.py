"""Files with odd names are loaded, and one file that fails stops neither the others nor the build."""

from __future__ import annotations

import csv
import io
import json
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Lake, event
from tests.test_bad_input import unprivileged
from tidemill import Tidemill
from tidemill.errors import DamagedError, SourceError, UsageError
from tidemill.sources import discovery

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.conftest import Row

ODD = os.fsdecode(b"caf\xe9")
SHOWN = r"caf\xe9"
FORMAT = "-- path: filename\n-- record: event\nSELECT line, timestamp, type, filename AS name FROM raw"
TWO_SOURCES = (
    '[sources.aa]\npath = "../files/odd"\nrecord = "event"\n[sources.zz]\npath = "../files/good"\nrecord = "event"\n'
)


def _csv(*records: Row) -> bytes:
    text = io.StringIO()
    writer = csv.DictWriter(text, list(records[0]))
    writer.writeheader()
    writer.writerows(records)
    return text.getvalue().encode()


def _parquet(*records: Row) -> bytes:
    target = io.BytesIO()
    pq.write_table(pa.Table.from_pylist(list(records)), target)
    return target.getvalue()


def _lines(*records: Row) -> bytes:
    return b"".join(json.dumps(record).encode() + b"\n" for record in records)


LAYOUTS: dict[str, Callable[..., bytes]] = {
    ".jsonl": _lines,
    ".jsonl.gz": _lines,
    ".json": lambda *records: json.dumps(records, indent=1).encode(),
    ".csv": _csv,
    ".csv.gz": _csv,
    ".parquet": _parquet,
}


def tidemill(home: Path, *words: str | Path, **environment: str) -> subprocess.CompletedProcess[str]:
    """Run the command in a process of its own."""
    return subprocess.run(
        [sys.executable, "-m", "tidemill", "--home", home, *words],
        check=False,
        capture_output=True,
        text=True,
        env=os.environ | environment,
    )


class TestBytes:
    """A name that is not UTF-8."""

    @pytest.mark.parametrize("form", [None, FORMAT], ids=["native", "format"])
    @pytest.mark.parametrize("suffix", LAYOUTS)
    def test_a_file_of_any_layout_is_loaded(self, home: Lake, suffix: str, form: str | None) -> None:
        """The ledger, the quarantine and `filename` hold the name with the byte escaped."""
        path = home.put(f"{ODD}/{ODD}{suffix}", LAYOUTS[suffix](event(), event(timestamp="soon")))
        options = {"format": str(home.put("my.sql", form))} if form else {"record": "event"}
        shown = str(home.folder / SHOWN / f"{SHOWN}{suffix}")
        assert home.ingest(path, **options) == {"records_read": 2, "accepted": 1, "quarantined": 1}
        assert home.column("SELECT uri FROM loads UNION ALL SELECT uri FROM held") == [shown, shown]
        assert home.column("SELECT name FROM events") == [shown if form else None]

    @pytest.mark.parametrize("pattern", ["", "*/*.jsonl", f"{ODD}/{ODD}.jsonl"])
    def test_it_is_found_by_folder_glob_and_name(self, home: Lake, pattern: str) -> None:
        """An unchanged file is not read again, and of one that grew the tail alone."""
        path = home.put(f"{ODD}/{ODD}.jsonl", _lines(event(name="a")))
        assert home.ingest(home.folder / pattern, record="event") == {"records_read": 1, "accepted": 1}
        (report,) = home.mill.ingest(home.folder / pattern, record="event")
        assert report.unchanged == 1
        with path.open("ab") as file:
            file.write(_lines(event(name="b")))
        assert home.ingest(home.folder / pattern, record="event") == {"records_read": 1, "accepted": 1}

    def test_its_records_are_fed_again(self, home: Lake) -> None:
        """The escaped name is enough for that."""
        home.put(f"{ODD}.jsonl", _lines({"id": "j", "state": "failed"}))
        select = "SELECT line, id AS job_id, state AS status, born AS created_at, filename AS name FROM raw"
        form = home.put("my.sql", f"-- path: filename\n-- record: job\n{select}")
        home.ingest(home.folder / f"{ODD}.jsonl", format=str(form))
        known = home.write("b.jsonl", {"job_id": "j", "status": "queued", "created_at": "2026-02-10"})
        assert home.ingest(known, record="job") == {"records_read": 2, "accepted": 2}

    def test_a_failure_of_it_is_one_line(self, home: Lake) -> None:
        """The line names the file with the byte escaped, whatever the locale; the others are loaded."""
        home.put(f"odd/{ODD}.parquet", b"no Parquet")
        home.put(f"odd/{ODD}.csv", b"\n")
        home.put(f"odd/{ODD}.jsonl", b"")
        home.put("odd/plain.jsonl", _lines(event()))
        ended = tidemill(home.mill.home.path, "ingest", "--record", "event", home.folder / "odd", LC_ALL="C")
        assert ended.returncode == 2
        first, *others = sorted(line for line in ended.stderr.splitlines() if SHOWN in line)
        assert first == f"files: {home.folder}/odd/{SHOWN}.jsonl is empty"
        assert [line.partition(": ")[0] for line in others] == ["tidemill"] * 2
        assert home.column("SELECT count(*) FROM events") == [1]

    def test_of_equal_files_the_readable_name_is_kept(self, home: Lake) -> None:
        """Equal content is one load, and the ledger names the file with the plain name."""
        for name in (ODD, "plain"):
            home.put(f"{name}.jsonl", _lines(event()))
        (report,) = home.mill.ingest(home.folder, record="event")
        assert ([load["uri"] for load in report.loads], report.unchanged) == ([str(home.folder / "plain.jsonl")], 1)

    def test_a_home_cannot_have_it(self, home: Lake) -> None:
        """One line says so."""
        with pytest.raises(UsageError, match=r"caf\\xe9 cannot be a home: its path is not UTF-8; rename the folder"):
            Tidemill(home.folder / ODD)

    def test_run_loads_and_builds(self, home: Lake) -> None:
        """All sources are loaded, and the tables are published."""
        home.settings(TWO_SOURCES)
        for number, name in enumerate((f"odd/{ODD}.jsonl", "odd/plain.jsonl", "good/g.jsonl")):
            home.put(name, _lines(event(name=f"e{number}")))
        ended = tidemill(home.mill.home.path, "run", "--as-of", "latest")
        assert ended.returncode == 0, ended.stderr
        assert [
            row["events"] for row in home.mill.sql("FROM activity_daily SELECT events").to_arrow_table().to_pylist()
        ] == [3]


NAMES = (
    *("{a,b}", "a{1}b", "a[1]", "a*b", "a?b", "a\\b", "a'b\"c", "~x", "-x", "a%20b", "a#b", "$HOME", "${X}"),
    *("a\nb", "a\x1b[31mb", " lead", "trail ", "a=b", "é", ".hidden", "a..b", "s3:x", "file:x", "a,b;c", "x" * 240),
)


@pytest.mark.parametrize("suffix", LAYOUTS)
def test_names_of_any_characters_are_names(home: Lake, suffix: str) -> None:
    """Each file is loaded, and no other for it."""
    for name in NAMES:
        home.put(f"odd/{name}{suffix}", LAYOUTS[suffix](event(name=name)))
    counts = home.ingest(home.folder / "odd", record="event")
    assert counts == {"records_read": len(NAMES), "accepted": len(NAMES)}
    assert sorted(home.column("SELECT name FROM events")) == sorted(NAMES)


def test_a_failure_of_a_name_with_a_newline_is_one_line(home: Lake) -> None:
    """Control characters of a name are escaped, so that it can neither break the line nor paint the terminal."""
    home.put("a\nb\x1b[31m.parquet", b"no Parquet")
    ended = tidemill(home.mill.home.path, "ingest", "--record", "event", home.folder)
    (said,) = [line for line in ended.stderr.splitlines() if line.startswith("tidemill: ")]
    assert r"a\x0ab\x1b[31m.parquet" in said


class TestOneFails:
    """One file fails, and the others go on."""

    def test_an_unexpected_failure_names_the_file(self, home: Lake) -> None:
        """The other sources are loaded, the build runs, and the file is tried again."""
        home.settings(TWO_SOURCES)
        home.put("odd/bad.csv", "timestamp,type," + "x" * 200_000 + "\n")  # Python's reader of CSV refuses such a name
        home.put("odd/plain.jsonl", _lines(event(name="a")))
        home.put("good/g.jsonl", _lines(event(name="b")))
        for _ in range(2):
            ended = tidemill(home.mill.home.path, "run", "--as-of", "latest")
            assert ended.returncode == 1
            (said,) = [line for line in ended.stderr.splitlines() if line.startswith("tidemill: ")]
            assert said.startswith(
                f"tidemill: {home.mill.home.path}/../files/odd/bad.csv cannot be loaded: unexpected "
            )
            assert said.endswith("; the next ingest tries it again, and --debug shows the traceback")
        assert home.column("SELECT name FROM events ORDER BY 1") == ["a", "b"]
        assert (home.mill.home.tables / "current").exists()
        assert "Traceback" in tidemill(home.mill.home.path, "--debug", "run").stderr

    @pytest.mark.parametrize("records", [1, 20_000], ids=["small", "large"])
    def test_a_file_that_vanishes_is_told(self, home: Lake, records: int) -> None:
        """Between being looked at and being read; small files are read together, and the others still are loaded."""
        paths = [home.put(f"{n}.jsonl", _lines(event(name=str(n))) * records) for n in range(3)]

        def remove(_source: str, done: int, _all: int) -> None:
            if done == len(paths) - 1:
                paths[0].unlink()

        (report,) = home.mill.ingest(home.folder, record="event", progress=remove)
        assert [type(failure) for failure in report.failures] == [SourceError]
        assert str(paths[0]) in str(report.failures[0])
        assert home.column("SELECT DISTINCT name FROM events ORDER BY 1") == ["1", "2"]

    def test_a_link_to_itself_is_told(self, home: Lake) -> None:
        """Beside others, and by itself; in a folder it is no file."""
        home.put("a.jsonl", _lines(event()))
        loop = home.folder / "loop.jsonl"
        loop.symlink_to("loop.jsonl")
        (report,) = home.mill.ingest(loop, home.folder / "a.jsonl", record="event")
        assert str(report.failures[0]) == f"{loop} is a link that leads nowhere; mend it, or name the file itself"
        assert len(report.loads) == 1
        assert discovery.find([str(home.folder)]) == [home.folder / "a.jsonl"]

    @pytest.mark.parametrize("mode", [0o000, 0o400], ids=["no right", "no right to open files"])
    def test_a_folder_that_cannot_be_searched_is_told(self, home: Lake, mode: int) -> None:
        """The files beside it are loaded."""
        home.put("a.jsonl", _lines(event()))
        locked = home.put("locked/b.jsonl", _lines(event())).parent
        locked.chmod(mode)
        ended = unprivileged(home.mill.home.path, home.folder)
        locked.chmod(0o700)
        why = "Permission denied; its files are left out"
        assert (ended.code, ended.said) == (2, [f"tidemill: {locked} cannot be searched: {why}"])
        assert home.column("SELECT count(*) FROM events") == [1]

    def test_a_file_that_loses_its_permission_is_told(self, home: Lake) -> None:
        """Though the engine meets it: it is no refusal of the home's disk."""
        home.settings('[sources.aa]\npath = "../files/odd"\nrecord = "event"\n')
        bad = home.put("odd/bad.parquet", _parquet(event()))
        home.put("odd/good.jsonl", _lines(event()))
        program = f"""
import sys
from pathlib import Path
from tidemill import Tidemill
bad = Path({str(bad)!r})
(report,) = Tidemill(sys.argv[1]).ingest(progress=lambda source, done, files: done and bad.chmod(0))
print(len(report.loads), *report.failures)
"""
        ended = unprivileged(home.mill.home.path, program=program)
        bad.chmod(0o600)
        assert ended.out.startswith(f"1 {home.mill.home.path}/../files/odd/bad.parquet cannot be read: "), ended
        assert home.column("SELECT count(*) FROM events") == [1]


def test_what_is_of_the_home_is_no_failure_of_a_file(home: Lake) -> None:
    """A lake that cannot be read stops the ingest at once."""
    home.ingest(home.put("a.jsonl", _lines(event(name="a"))), record="event")
    (log,) = home.mill.home.lake.glob("loads/_delta_log/*1.json")
    log.write_text("{")
    with pytest.raises(DamagedError):
        home.mill.ingest(home.put("b.jsonl", _lines(event(name="b"))), record="event")
