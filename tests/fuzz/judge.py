"""Files of mutated lines ingested into a home of their own, and what became of them held against plain Python."""

from __future__ import annotations

import csv
import gzip
import io
from codecs import BOM_UTF8
from collections import Counter
from contextlib import suppress
from dataclasses import dataclass, field
from datetime import datetime
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa

from tests.conftest import Lake
from tests.fuzz import plain
from tests.fuzz.plain import Nested, RefusedError, Row, UnsureError
from tidemill import Tidemill
from tidemill.records import CONTRACTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

BLANK: Final = b" \t\r"
DELIMITER: Final = b"\x01"


@dataclass
class Tally:
    """What became of how many records; `unsure` of those accepted are spelt in a way that is left to the engine."""

    files: int = 0
    lines: int = 0
    accepted: int = 0
    duplicates: int = 0
    quarantined: int = 0
    compared: int = 0
    unsure: int = 0
    faults: list[str] = field(default_factory=list)

    def __add__(self, other: Tally) -> Tally:
        """Both together."""
        return Tally(**{name: value + getattr(other, name) for name, value in vars(self).items()})


def home_in(folder: Path, name: str = "home") -> Lake:
    """A home with little memory and one thread, so that several are quick."""
    lake = Lake(Tidemill(folder / name), folder / "files")
    lake.settings("threads = 1\nmemory_limit = '1GB'\n")
    return lake


def packed(name: str, content: bytes) -> bytes:
    """A file's bytes, compressed as its name says."""
    if name.endswith(".gz"):
        return gzip.compress(content, 1)
    return pa.compress(content, codec="zstd", asbytes=True) if name.endswith(".zst") else content


def ingest(lake: Lake, files: Mapping[str, bytes], **options: Any) -> Tally:
    """Ingest files that must each be a load, or refused as a whole; the ledger adds up."""
    for name, content in files.items():
        path = lake.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(packed(name, content))
    paths = [lake.folder / name for name in files]
    reports = lake.mill.ingest(*paths, **options)
    lake.assert_adds_up()
    tally = Tally(files=len(files))
    for report in reports:
        tally.faults += map(str, report.failures)
        tally.accepted += report.total("accepted")
        tally.duplicates += report.total("duplicates")
        tally.quarantined += report.total("quarantined")
        tally.lines += report.total("records_read")
    return tally


def judge_lines(lake: Lake, files: Mapping[str, Sequence[bytes]], kind: str = "event") -> Tally:
    """Ingest files of native JSON lines; every line's fate, and every stored value, is what plain Python says."""
    contents = {name: b"".join(line + b"\n" for line in lines) for name, lines in files.items()}
    readings = {
        (str(lake.folder / name), number): (line, _reading(kind, line))
        for name, content in contents.items()
        for number, line in enumerate(content.removeprefix(BOM_UTF8).split(b"\n"), 1)
        if line.strip(BLANK)
    }
    return _judge(lake, contents, kind, readings)


def judge_csv(lake: Lake, files: Mapping[str, Sequence[bytes]], header: bytes, kind: str = "event") -> Tally:
    """The same for rows of CSV files, each of which is `tame`: read the same way by everyone."""
    names = header.decode().strip().split(",")
    contents = {name: header + b"".join(line + b"\n" for line in lines) for name, lines in files.items()}
    readings = {
        (str(lake.folder / name), number): (line, _row_reading(kind, names, line))
        for name, lines in files.items()
        for number, line in enumerate((line for line in lines if line), 2)
    }
    return _judge(lake, contents, kind, readings)


def judge_any(lake: Lake, contents: Mapping[str, bytes], **options: Any) -> Tally:
    """Ingest files of anything: the ledger adds up, and whatever is refused has a text, and a line of its own."""
    tally = ingest(lake, contents, **({"record": "event"} | options))
    ((refused, lines, texts),) = (
        row.values()
        for row in lake.query(
            "SELECT count(*), count(DISTINCT (load_id, line)), "
            "count(*) FILTER (WHERE raw IS NOT NULL AND line IS NOT NULL) FROM quarantine"
        )
    )
    assert refused == lines == texts == tally.quarantined, (refused, lines, texts)
    return tally


def tame(line: bytes) -> bool:
    """Whether a CSV line is a row by itself: its quotes begin and end fields, and only there and doubled."""
    if b"\r" in line or b"\n" in line:
        return False
    try:
        text = line.decode()
        rows = list(csv.reader([text], strict=True))
    except (UnicodeDecodeError, csv.Error):
        return False
    if len(rows) != 1 or not text.strip(" \t"):
        return False
    written = io.StringIO()
    csv.writer(written, lineterminator="").writerow(rows[0])
    minimal = written.getvalue()
    return '"' not in text or minimal == text


def _judge(
    lake: Lake, contents: Mapping[str, bytes], kind: str, readings: Mapping[tuple[str, int], tuple[bytes, Row | type]]
) -> Tally:
    tally = ingest(lake, contents, record=kind)
    assert tally.faults == [], tally.faults
    assert tally.lines == len(readings), f"{tally.lines} records read, of {len(readings)}"
    held = {
        (row["uri"], row["line"]): (row["field"], row["reason"])
        for row in lake.query("SELECT uri, line, field, reason FROM quarantine")
    }
    assert len(held) == tally.quarantined
    assert held.keys() <= readings.keys(), [place for place in held if place not in readings][:3]
    by_file: dict[str, Counter[tuple[str, ...]]] = {}
    for place, (line, reading) in readings.items():
        if place in held:
            sure = isinstance(reading, dict) and held[place][1] != "conflict"
            assert not sure, f"refused as {held[place]}, though good: {line!r}"
        elif isinstance(reading, dict):
            key = _key(reading)
            found = by_file.setdefault(place[0], Counter())
            found[key] = found[key] + 1 if key[0] == "#" else 1
            tally.compared += 1
        else:
            assert reading is not RefusedError, f"accepted, though bad: {line!r}"
            tally.unsure += 1
    expected: Counter[tuple[str, ...]] = Counter()
    for found in by_file.values():  # of what several files hold, each copy is one of the file that has most
        expected |= found
    columns = ", ".join(f'"{name}"' for name in (*CONTRACTS[kind].names, "attributes"))
    actual = Counter(_key(row) for row in lake.query(f"SELECT {columns} FROM {CONTRACTS[kind].table}"))
    missing = expected - actual
    assert not missing, (
        f"not stored as read: {next(iter(missing))}\nstored: {_nearest(next(iter(missing)), actual - expected)}"
    )
    more = (actual - expected).total()
    assert more <= tally.unsure, f"{more} rows that no line is read as, of {tally.unsure} that are left to the engine"
    return tally


def _nearest(key: tuple[str, ...], stored: Counter[tuple[str, ...]]) -> tuple[str, ...]:
    return max(stored, key=lambda other: sum(a == b for a, b in zip(key, other, strict=True)), default=())


def _reading(kind: str, line: bytes) -> Row | type:
    if DELIMITER in line:
        return RefusedError
    try:
        found = plain.json_object(line)
        names = {*CONTRACTS[kind].names, "record"}
        fields = {name: plain.as_text(value) for name, value in found.items() if name in names}
        others = {name: value for name, value in found.items() if name not in {*names, "attributes"}}
        if found.repeated & others.keys():
            return UnsureError
        return plain.record(kind, fields, others, plain.as_text(found.get("attributes")))
    except (RefusedError, UnsureError) as verdict:
        return type(verdict)


def _row_reading(kind: str, names: Sequence[str], line: bytes) -> Row | type:
    (values,) = csv.reader([line.decode()], strict=True)
    while len(values) > len(names) and not values[-1]:  # an empty value too many at the end is none
        values.pop()
    if len(values) != len(names):
        return RefusedError
    texts = {name: value or None for name, value in zip(names, values, strict=True)}
    known = {*CONTRACTS[kind].names, "record", "attributes"}
    others = {name: value for name, value in texts.items() if name not in known and value is not None}
    try:
        return plain.record(kind, texts, others, texts.get("attributes"))
    except (RefusedError, UnsureError) as verdict:
        return type(verdict)


def _key(row: Row) -> tuple[str, ...]:
    """A row's values as texts that are equal only for equal values; a derived id is any."""
    own = row.get("id")
    head = "#" if not own or str(own).startswith("#") else f"={_canonical(own)}"
    return head, *(_canonical(value) for name, value in row.items() if name != "id")


def _canonical(value: Any) -> str:
    if isinstance(value, str):
        return _meaning(value) if isinstance(value, Nested) or value[:1] in {"{", "["} else repr(str(value))
    return value.isoformat()[:26] if isinstance(value, datetime) else repr(value)


def _meaning(text: str) -> str:
    with suppress(ValueError):
        return plain.meaning(str(text))
    return repr(str(text))
