"""Atheris over lines: each input is a file's worth of them, every line of it mutated, led by the Python code reached.

Started by `python -m tests.fuzz`: python -m tests.fuzz.guided KIND LINES TALLY [libFuzzer's options].
"""

from __future__ import annotations

import json
import os
import sys
import tempfile
from pathlib import Path
from random import Random
from typing import Any, Final

import atheris

with atheris.instrument_imports(include=["tidemill.sources", "tests.fuzz"]):
    from tests.fuzz import batches, judge, lines

LINES: Final = 4_000
"""How many an input has."""
LONGEST: Final = 2_048
SEEDS: Final = {
    "jsonl": lines.SEEDS,
    "csv": tuple(seed.rstrip(b"\n").replace(b"\n", b" ") for seed in lines.CSV_SEEDS),
}
TOKENS: Final = {"jsonl": lines.TOKENS, "csv": lines.CSV_TOKENS}


def main() -> None:
    """Fuzz until as many lines were read as are asked for, or one of them shows a fault."""
    kind, wanted, told = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3])
    total = judge.Tally()

    def mutate(data: bytes, longest: int, seed: int) -> bytes:
        random = Random(seed)
        found = [*data.split(b"\n"), *SEEDS[kind]][:LINES]
        made = (_mutated(random, random.choice(random.choice((found, SEEDS[kind]))), found, kind) for _ in range(LINES))
        return b"\n".join(made)[:longest]

    def one(data: bytes) -> None:
        nonlocal total
        made = data.split(b"\n")
        seed = sum(data[:64]) + len(data)
        with tempfile.TemporaryDirectory(prefix="tidemill-fuzz-") as folder:
            if kind == "jsonl":
                total += batches.judged_lines(Path(folder), Random(seed), made, seed)
            else:
                total += batches.judged_rows(Path(folder), Random(seed), made, wild=seed % 3 == 0)
        told.write_text(json.dumps(vars(total) | {"faults": []}))
        if total.lines >= wanted:
            os._exit(0)  # libFuzzer knows no other end than a number of inputs

    options: list[Any] = [sys.argv[0], f"-max_len={LINES * 512}", *sys.argv[4:]]
    atheris.Setup(options, one, custom_mutator=mutate)
    atheris.Fuzz()


def _mutated(random: Random, line: bytes, others: list[bytes], kind: str) -> bytes:
    if random.random() < 1 / 3:
        return bytes(atheris.Mutate(line, LONGEST)).replace(b"\n", b" ")
    return lines.mutated(random, line, others, TOKENS[kind])


if __name__ == "__main__":
    main()
