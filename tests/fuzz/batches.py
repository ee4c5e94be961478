"""Batches of mutated lines, each made of its seed alone: which lines, in how many files, compressed how."""

from __future__ import annotations

import json
from random import Random
from typing import TYPE_CHECKING, Final

from tests.fuzz import judge, lines

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tests.fuzz.judge import Tally

SUFFIXES: Final = ("", "", "", ".gz", ".zst")
PARTS: Final = 7


def json_lines(folder: Path, seed: int, count: int) -> Tally:
    """JSON lines: of any bytes, of texts alone, or of JSON objects alone, as each is read another way."""
    random = Random(seed)
    keep = (_any, _text, _object)[seed % 3]
    made = [line for line in _mutations(random, lines.SEEDS, count) if keep(line)]
    return judged_lines(folder, random, made, seed)


def rows(folder: Path, seed: int, count: int) -> Tally:
    """Rows of CSV: every second batch of rows that everybody reads alike, which can be compared; else of anything."""
    random = Random(seed)
    made = _mutations(random, lines.CSV_SEEDS, count, lines.CSV_TOKENS)
    return judged_rows(folder, random, made, wild=bool(seed % 2))


def judged_lines(folder: Path, random: Random, made: Sequence[bytes], seed: int) -> Tally:
    """Judge JSON lines, in one file or in several."""
    lake, suffix = judge.home_in(folder), random.choice(SUFFIXES)
    files = {f"a.jsonl{suffix}": made} if suffix or seed % 2 else _spread(made, "jsonl")
    return judge.judge_lines(lake, files)


def judged_rows(folder: Path, random: Random, made: Sequence[bytes], *, wild: bool) -> Tally:
    """Judge rows of CSV."""
    lake, name = judge.home_in(folder), f"a.csv{random.choice(SUFFIXES)}"
    if wild:
        content = lines.CSV_HEADER + b"".join(line + random.choice((b"\n", b"\n", b"\n\n", b"\r\n")) for line in made)
        return judge.judge_any(lake, {name: content})
    return judge.judge_csv(lake, {name: [line for line in made if judge.tame(line)]}, lines.CSV_HEADER)


BATCHES: Final[dict[str, Callable[[Path, int, int], Tally]]] = {"jsonl": json_lines, "csv": rows}


def _mutations(
    random: Random, seeds: Sequence[bytes], count: int, tokens: Sequence[bytes] = lines.TOKENS
) -> list[bytes]:
    whole = [seed.rstrip(b"\n").replace(b"\n", b" ") for seed in seeds]
    return [lines.mutated(random, random.choice(whole), whole, tokens) for _ in range(count)]


def _spread(made: Sequence[bytes], suffix: str) -> dict[str, Sequence[bytes]]:
    """The lines in some small files, which are read together."""
    return {f"{number}.{suffix}": part for number in range(PARTS) if (part := made[number::PARTS])}


def _any(line: bytes) -> bool:
    del line
    return True


def _text(line: bytes) -> bool:
    return b"\r" not in line and b"\x01" not in line and line.decode(errors="ignore").encode() == line


def _object(line: bytes) -> bool:
    try:
        return _text(line) and isinstance(json.loads(line), dict)
    except (ValueError, RecursionError):
        return False
