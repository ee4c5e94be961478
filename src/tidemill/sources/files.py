"""Files as sources: how records stand in them, and what is new in them.

A file's content is its bytes and the parts of its path that the format reads. A file that grew is read
from where its last load ended, if its head is unchanged.
"""

from __future__ import annotations

import codecs
import hashlib
import json
import os
import re
import time
import urllib.parse
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from enum import StrEnum
from functools import cache
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, Final, cast

import duckdb

from tidemill.errors import SourceError
from tidemill.home.file_names import shown

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

CHUNK: Final = 8 << 20
FEW_CHUNKS: Final = 4
BUFFER: Final = 256 << 10
"""What is read at once to be digested: it stays in the processor's cache."""
MAX_DOCUMENT_BYTES: Final = 64 << 20
MAX_RAW_BYTES: Final = 1 << 20
"""How much of a refused text is kept."""
SETTLE_SECONDS: Final = 60.0
"""How long a last line without a newline, which does not parse, may wait for its rest."""


class Layout(StrEnum):
    """How records stand in a file."""

    LINES = "lines"
    DOCUMENT = "document"
    CSV = "csv"
    PARQUET = "parquet"


LAYOUTS: Final = {
    ".jsonl": Layout.LINES,
    ".ndjson": Layout.LINES,
    ".log": Layout.LINES,
    ".txt": Layout.LINES,
    ".json": Layout.DOCUMENT,
    ".csv": Layout.CSV,
    ".parquet": Layout.PARQUET,
}
_COMPRESSIONS: Final = {".gz": "gzip", ".zst": "zstd"}


@dataclass(frozen=True)
class Seen:
    """Facts about a file's last load: enough to skip it unread, or to read only what was added.

    `fields` are the fields of JSON that the format's aliases have in common with its records.
    """

    size: int
    mtime_ns: int
    inode: int
    end: int
    digest: str
    format: str
    fields: tuple[str, ...] = ()


@dataclass(frozen=True)
class Portion:
    """The bytes of a file that one load is made of: all of them, or the tail that was added."""

    path: Path
    layout: Layout
    compression: str
    start: int
    end: int
    first_line: int
    content_hash: str
    head_hash: str
    parts: dict[str, str]
    seen: Seen

    @property
    def whole(self) -> bool:
        """Whether the file can be read as it lies on the disk."""
        return self.start == 0 and self.end == self.seen.size


def suffixes(path: Path) -> tuple[str, str]:
    """How a file's name ends, in lower case: what says how records stand in it, and what says how it is packed."""
    found = [suffix.lower() for suffix in path.suffixes]
    compression = found.pop() if found and found[-1] in _COMPRESSIONS else ""
    return (found[-1] if found else "", compression)


def portion(path: Path, format_name: str, parts: Iterable[str], last: Seen | None) -> Portion | None:
    """What is new in a file since its last load, maybe no bytes: None when there is nothing in it that can be read."""
    with reading(path):
        return _portion(path, format_name, parts, last)


@contextmanager
def reading(path: Path) -> Iterator[None]:
    """Say of a file that cannot be read that it cannot, as a SourceError."""
    try:
        yield
    except PermissionError as error:
        message = f"{path} cannot be read: permission denied"
        raise SourceError(message) from error
    except OSError as error:
        message = f"{path} cannot be read: {error.strerror or error}"
        raise SourceError(message) from error


def unchanged(path: Path, last: Seen | None) -> bool:
    """Whether a file's size, mtime and inode are those of its last load, and none of its lines had to wait then."""
    if last is None:
        return False
    with reading(path):
        stat = path.stat()
    return last.end == last.size and (stat.st_size, stat.st_mtime_ns, stat.st_ino) == (
        last.size,
        last.mtime_ns,
        last.inode,
    )


def _portion(path: Path, format_name: str, parts: Iterable[str], last: Seen | None) -> Portion | None:
    suffix, packed = suffixes(path)
    compression = _COMPRESSIONS.get(packed, "none")
    layout = _layout(path, suffix, compression)
    with path.open("rb") as file:
        stat = os.fstat(file.fileno())
        grows = layout is Layout.LINES and compression == "none"
        end = _settled_end(file, stat) if grows else stat.st_size
        head = last if grows and last and last.format == format_name and 0 < last.end <= end else None
        whole, tail, head_lines = _digests(file, head, end)
        start = last.end if head and last and tail else 0
        fields = tuple(head.fields) if head and start else ()
        seen = Seen(stat.st_size, stat.st_mtime_ns, stat.st_ino, end, whole, format_name, fields)
    if end == 0:
        return None
    values = path_parts(path, parts)
    content = tail if start else whole
    if values:
        content = hashlib.sha256(json.dumps([content, values], sort_keys=True).encode()).hexdigest()
    return Portion(
        path=path,
        layout=layout,
        compression=compression,
        start=start,
        end=end,
        first_line=head_lines if start else 0,
        content_hash=content,
        head_hash=last.digest if start and last else "",
        parts=values,
        seen=seen,
    )


def _layout(path: Path, suffix: str, compression: str) -> Layout:
    layout = LAYOUTS.get(suffix)
    if layout is None:
        known = ", ".join(LAYOUTS)
        message = f"{path} is of no known type ({known}, each also .gz or .zst); rename it or name other files"
        raise SourceError(message)
    if layout is Layout.DOCUMENT and _holds_lines(path, compression):
        return Layout.LINES
    return layout


def _holds_lines(path: Path, compression: str) -> bool:
    """Whether a .json file is in fact JSON lines: its first line is an object and another follows."""
    with opened(path, compression) as file:
        first, _, rest = file.read(1 << 20).removeprefix(codecs.BOM_UTF8).lstrip().partition(b"\n")
    if not first.startswith(b"{") or not rest.strip():
        return False
    return is_json(first)


def is_json(text: bytes) -> bool:
    """Whether a text is one JSON value, as the engine sees it: Python's own reader is quick, but reads no deep ones."""
    try:
        json.loads(text)
    except (ValueError, RecursionError):
        return _is_json_to_the_engine(text)
    return True


def _is_json_to_the_engine(text: bytes) -> bool:
    try:
        return bool(_engine().cursor().execute("SELECT json_valid($1)", [text.decode()]).fetchall()[0][0])
    except UnicodeDecodeError:
        return False


@cache
def _engine() -> duckdb.DuckDBPyConnection:
    return duckdb.connect()


def opened(path: Path, compression: str) -> IO[bytes]:
    """A file's bytes, decompressed."""
    import pyarrow as pa  # for the few files that the engine does not read itself

    kinds: dict[str, Any] = {"none": None, "gzip": "gzip", "zstd": "zstd"}
    # Opened here, as the library takes only names that are UTF-8.
    return cast("IO[bytes]", pa.input_stream(path.open("rb"), compression=kinds[compression]))


def _settled_end(file: IO[bytes], stat: os.stat_result) -> int:
    """Where the last line that can be read now ends."""
    size = stat.st_size
    if size == 0 or time.time() - stat.st_mtime > SETTLE_SECONDS:
        return size
    start = _last_line(file, size)
    file.seek(start)
    last = file.read(MAX_DOCUMENT_BYTES)
    file.seek(0)
    return size if not last.strip() or is_json(last) else start


def _last_line(file: IO[bytes], size: int) -> int:
    """Where the text after the last newline begins."""
    while size:
        begin = max(0, size - CHUNK)
        file.seek(begin)
        newline = file.read(size - begin).rfind(b"\n")
        if newline >= 0:
            return begin + newline + 1
        size = begin
    return 0


def _digests(file: IO[bytes], head: Seen | None, end: int) -> tuple[str, str, int]:
    """The digest of a file up to `end`, and, when its head is as it was, that of the rest and the head's lines."""
    whole = _digest(file.fileno(), 0, end)
    if head is None or _digest(file.fileno(), 0, head.end) != head.digest:
        return whole, "", 0
    return whole, _digest(file.fileno(), head.end, end), _newlines(file.fileno(), head.end)


def _digest(descriptor: int, start: int, end: int) -> str:
    """SHA-256 over the SHA-256 of each chunk, so that all processors share the work."""

    def of_chunk(offset: int) -> bytes:
        until = min(offset + CHUNK, end)
        digest, buffer = hashlib.sha256(), memoryview(bytearray(min(BUFFER, until - offset)))
        while offset < until and (read := os.preadv(descriptor, [buffer[: until - offset]], offset)):
            digest.update(buffer[:read])
            offset += read
        return digest.digest()

    offsets = range(start, end, CHUNK)
    if len(offsets) < FEW_CHUNKS:
        return hashlib.sha256(b"".join(map(of_chunk, offsets))).hexdigest()
    with ThreadPoolExecutor() as pool:
        return hashlib.sha256(b"".join(pool.map(of_chunk, offsets))).hexdigest()


def _newlines(descriptor: int, end: int) -> int:
    return sum(os.pread(descriptor, min(CHUNK, end - offset), offset).count(b"\n") for offset in range(0, end, CHUNK))


def path_parts(path: Path, names: Iterable[str]) -> dict[str, str]:
    """The parts of a path that a format reads: `filename`, and the values of `key=value` folders and names."""
    path = Path(shown(path))
    stem = path.name
    while Path(stem).suffix.lower() in {*LAYOUTS, *_COMPRESSIONS}:
        stem = Path(stem).stem
    pairs = (re.fullmatch(r"([^=]+)=(.*)", part) for part in (*path.parts[:-1], stem))
    keys = {pair[1]: urllib.parse.unquote(pair[2]) for pair in pairs if pair}
    missing = [name for name in names if name != "filename" and name not in keys]
    if missing:
        message = f"{path} has no {missing[0]}= in its path, which the format asks for"
        raise SourceError(message)
    return {name: str(path) if name == "filename" else keys[name] for name in names}
