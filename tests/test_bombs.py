"""Files of a few KB that stand for very many: refused in one line, before anything is made of them."""

from __future__ import annotations

import gzip
import io
import json
import time
from typing import TYPE_CHECKING, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.conftest import Lake, event
from tests.homes import tm

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

MIB: Final = 1 << 20
LINE: Final = json.dumps(event()).encode() + b"\n"
HUGE_WINDOW: Final = b"\x28\xb5\x2f\xfd\x00" + bytes([21 << 3]) + b"\x19\x00\x00" + b"x\n\n"
"""A zstd frame of three bytes that asks for a window of 2 GiB."""


def gzipped(block: bytes, mebibytes: int) -> bytes:
    """So many MiB of a block again and again, each MiB a member of its own, as gzip allows."""
    return gzip.compress(block * (MIB // len(block))) * mebibytes


def zstd(block: bytes, mebibytes: int) -> bytes:
    """So many MiB of a block again and again."""
    target = io.BytesIO()
    with pa.CompressedOutputStream(target, "zstd") as out:
        for _ in range(mebibytes):
            out.write(block * (MIB // len(block)))
        out.flush()
        return target.getvalue()


def parquet(rows: int, text: str = "x", *, nested: bool = False, dictionary: bool = True) -> bytes:
    """Rows that are all alike; `nested` puts as many elements into one row."""
    alike = pa.DictionaryArray.from_arrays(pa.repeat(pa.scalar(0, pa.int32()), rows), pa.array([text]))
    if nested:
        values = pa.ListArray.from_arrays(pa.array([0, rows], pa.int32()), alike)
        columns = {"timestamp": ["2026-02-10"], "type": ["x"], "extra": values}
    else:
        columns = {"timestamp": pa.repeat("2026-02-10", rows), "type": alike if dictionary else pa.repeat(text, rows)}
    target = io.BytesIO()
    pq.write_table(pa.table(columns), target, compression="zstd", use_dictionary=dictionary, row_group_size=rows)
    return target.getvalue()


def packed(home: Lake, name: str, content: bytes) -> Path:
    """A file of exactly those bytes."""
    path = home.folder / "packed" / name
    path.parent.mkdir(parents=True)
    path.write_bytes(content)
    return path


BOMBS: Final[dict[str, tuple[str, Callable[[], bytes]]]] = {
    "gzip of good lines": ("a.jsonl.gz", lambda: gzipped(LINE, 1024)),
    "gzip of one endless line": ("a.jsonl.gz", lambda: gzipped(b"x", 1024)),
    "gzip of short lines": ("a.log.gz", lambda: gzipped(b"x\n", 1024)),
    "gzip of a CSV": ("a.csv.gz", lambda: gzip.compress(b"timestamp,type\n") + gzipped(b"2026-02-10,x\n", 1024)),
    "gzip of a document": ("a.json.gz", lambda: gzip.compress(b"[1") + gzipped(b",1", 1024)),
    "zstd of good lines": ("a.jsonl.zst", lambda: zstd(LINE, 2048)),
    "zstd of one endless line": ("a.csv.zst", lambda: zstd(b"x", 2048)),
    "zstd with a window of 2 GiB": ("a.jsonl.zst", lambda: HUGE_WINDOW),
    "Parquet of equal rows": ("a.parquet", lambda: parquet(20_000_000)),
    "Parquet of one text in every row": ("a.parquet", lambda: parquet(100_000, "x" * 60_000)),
    "Parquet of one text in a nested list": ("a.parquet", lambda: parquet(10_000, "x" * 60_000, nested=True)),
    "Parquet of elements in one row": ("a.parquet", lambda: parquet(20_000_000, nested=True)),
    "Parquet of a page that is long": ("a.parquet", lambda: parquet(1, "x" * (70 * MIB), dictionary=False)),
}


@pytest.mark.parametrize("bomb", BOMBS)
def test_few_bytes_that_stand_for_many_are_refused(home: Lake, bomb: str) -> None:
    """In one line, within seconds, with nothing loaded and nothing left; the good file beside it is loaded."""
    name, content = BOMBS[bomb]
    bad, good = packed(home, name, content()), home.put("good.jsonl", LINE)
    assert bad.stat().st_size < 4 * MIB
    home.settings("memory_limit = '1GB'\nthreads = 1\n")
    started = time.monotonic()
    said = tm("ingest", "--record", "event", bad, good, at=home.mill)
    assert time.monotonic() - started < 20
    (line,) = [line for line in said.err.splitlines() if line.startswith("tidemill: ")]
    assert said.code == 2
    assert str(bad) in line
    assert any(why in line for why in ("max_expansion", "too much memory", "memory_limit"))
    assert home.column("SELECT accepted FROM loads") == [1]
    assert home.refusals() == []
    assert list(home.mill.home.staging.iterdir()) == []


def test_a_source_that_is_trusted_may_expand_further(home: Lake) -> None:
    """`max_expansion` of a source says how much; a file of up to 64 MiB may be made of however little."""
    content = gzip.compress(LINE) + gzipped(b"\n", 96)
    path = packed(home, "a.jsonl.gz", content)
    source = f"[sources.app]\npath = '{path}'\nrecord = 'event'\n"
    home.settings(source)
    assert tm("ingest", at=home.mill).code == 2
    home.settings(f"{source}max_expansion = 2000\n")
    assert home.ingest() == {"records_read": 1, "accepted": 1}
    free = path.with_name("free.jsonl.gz")
    free.write_bytes(gzip.compress(LINE * 2) + gzipped(b"\n", 60))
    assert home.ingest(free, record="event") == {"records_read": 2, "accepted": 2}


def test_a_parquet_file_without_texts_is_measured_too(home: Lake) -> None:
    """Its rows are counted, and no text."""
    target = io.BytesIO()
    pq.write_table(pa.table({"value": [1.5, 2.5]}), target)
    path = packed(home, "a.parquet", target.getvalue())
    assert home.ingest(path, record="metric") == {"records_read": 2, "quarantined": 2}
