"""Odd files made readable: those that the engine's reader refuses, and parts of files."""

from __future__ import annotations

import json
import re
from codecs import BOM_UTF8
from itertools import chain
from typing import IO, TYPE_CHECKING, Final

from tidemill.errors import SourceError
from tidemill.sources.files import CHUNK, MAX_RAW_BYTES, Portion, is_json, opened, reading

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

BLANK: Final = b" \t\r"
"""A line of nothing else is no record."""
RETURN: Final = "a carriage return in it"
_BLANK: Final = re.compile(rb"\n\r?\n")
GZIP_AT_MOST: Final = 1032
"""How many bytes one byte of gzip can become."""


def check_whole(source: Portion, most: int) -> None:
    """Read a compressed file to its end, before anything is made of it.

    Raises:
        SourceError: that is cut off, which the engine passes over for zstd, or it holds more than `most` bytes.
    """
    if source.compression == "gzip" and source.end * GZIP_AT_MOST <= most:
        return
    size = 0
    with reading(source.path), opened(source.path, source.compression) as file:
        while chunk := file.read(CHUNK):
            size += len(chunk)
            if size > most:
                raise too_large(source, most)


def too_large(source: Portion, most: int) -> SourceError:
    """What is said of a file of few bytes that become many."""
    return SourceError(
        f"{source.path} of {source.end:,} bytes holds more than {most:,}, which is more than `max_expansion` of its "
        "source allows; raise that, or decompress it, if it is to be trusted"
    )


def spool(source: Portion, target: Path, bad: Path, max_line_bytes: int, delimiter: bytes) -> None:
    """Copy a portion of JSON lines as clean text lines, an empty one in place of each that cannot be read as text.

    For files that the engine's reader refuses: mixed line ends, bytes that are not UTF-8, control
    characters, endless lines; and for tails. Line numbers stay as they are. The lines that were left out
    stand in `bad`, each as a JSON object of line, raw (its bytes made readable) and reason.
    """
    with target.open("wb") as out, bad.open("w", encoding="utf-8") as refused:
        for number, (line, size) in enumerate(_lines(source, max_line_bytes + 1), source.first_line + 1):
            if fault := _fault(line, max_line_bytes, delimiter):
                _refuse(refused, number, _readable(line, size), fault)
                out.write(b"\n")
            else:
                out.write(line.replace(b"\r", b" ") + b"\n")


def spool_rows(
    source: Portion, target: Path, bad: Path, blanks: Path, max_line_bytes: int, *, returns: bool = True
) -> None:
    """The same for a CSV file, whose rows are counted, be it that one goes on over several lines.

    Without `returns`, a line with a carriage return in it is left out, too. The rows that are empty lines now stand in
    `blanks`, a number a line: the engine passes over them without counting.
    """
    quoted, within = False, 0
    with target.open("wb") as out, bad.open("w", encoding="utf-8") as refused, blanks.open("w") as empty:
        for number, (line, size) in enumerate(_lines(source, max_line_bytes + 1), 1):
            fault = _fault(line, max_line_bytes, b"") or (RETURN if not returns and b"\r" in line else None)
            if fault:
                _refuse(refused, number - within, _readable(line, size), fault)
            if (fault or not line) and not quoted:
                empty.write(f"{number - within}\n")
            out.write(b"\n" if fault else line + b"\n")
            quoted ^= bool(line.count(b'"') & 1)
            within += quoted


def has_blank_rows(source: Portion) -> bool:
    """Whether an empty line may stand between the rows of a CSV file."""
    end = b""
    for chunk in _chunks(source):
        if _BLANK.search(end + chunk):
            return True
        end = chunk[-2:]
    return False


def _refuse(refused: IO[str], number: int, raw: str, fault: str) -> None:
    json.dump({"line": number, "raw": raw, "reason": fault}, refused)
    refused.write("\n")


def _readable(line: bytes, size: int) -> str:
    text = line[:MAX_RAW_BYTES].decode(errors="backslashreplace")
    return text if size <= MAX_RAW_BYTES else f"{text}… ({size} bytes)"


def _fault(line: bytes, max_line_bytes: int, delimiter: bytes) -> str | None:
    if len(line) > max_line_bytes:
        return "too long"
    try:
        line.decode()
    except UnicodeDecodeError:
        return "not UTF-8"
    if delimiter and (delimiter in line or (b"\r" in line and line.strip(BLANK) and not is_json(line))):
        return "not JSON"
    return None


def _lines(source: Portion, most: int) -> Iterator[tuple[bytes, int]]:
    """Each line without its end, of an endless one no more than its first bytes; and its size."""
    head, size = b"", 0
    chunks = _chunks(source)
    first = next(chunks, b"")
    for chunk in chain([first if source.start else first.removeprefix(BOM_UTF8)], chunks):
        *ends, rest = chunk.split(b"\n")
        for end in ends:
            line = (head + end[: most - len(head)]).removesuffix(b"\r")
            yield line, size + len(end)
            head, size = b"", 0
        head += rest[: most - len(head)]
        size += len(rest)
    if size:
        yield head.removesuffix(b"\r"), size


def _chunks(source: Portion) -> Iterator[bytes]:
    with reading(source.path), opened(source.path, source.compression) as file:
        if source.start:
            file.seek(source.start)
        left = source.end - source.start if source.compression == "none" else None
        while chunk := file.read(CHUNK if left is None else min(CHUNK, left)):
            left = None if left is None else left - len(chunk)
            yield chunk
