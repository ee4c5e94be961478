"""Fuzz the readers of JSON lines and CSV with mutated lines, many to a file: python -m tests.fuzz [--help].

With atheris where it is installed, else with mutations of our own; what became of every line is held against plain
Python. A crash, a hang, a ledger that does not add up, or a value that is not what it was, ends it with exit code 1.
"""

from __future__ import annotations

import argparse
import importlib.util
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from tests.fuzz.judge import Tally

ROOT = Path(__file__).parents[2]
BATCH = 5_000
A_PROCESS = 40
"""How many batches one process does: what it takes is then given back."""
HANG_SECONDS = 300
KEPT = ROOT / "build" / "fuzz-faults"


def main() -> int:
    """Fuzz as is asked for, and print what became of it."""
    parser = argparse.ArgumentParser(prog="make fuzz ARGS=", description=__doc__)
    parser.add_argument("--lines", type=int, default=1_000_000, help="how many mutated lines in all (1,000,000)")
    parser.add_argument("--kind", choices=("jsonl", "csv"), action="append", help="JSON lines or CSV; both")
    parser.add_argument("--seed", type=int, default=1, help="where chance begins (1)")
    parser.add_argument("--plain", action="store_true", help="without atheris, though it is there")
    asked = parser.parse_args()
    kinds = asked.kind or ["jsonl", "csv"]
    led = importlib.util.find_spec("atheris") is not None and not asked.plain
    if not led and not asked.plain:
        print("atheris is not installed here: lines are mutated by chance alone", file=sys.stderr)
    for kind in kinds:
        share = -(-asked.lines // len(kinds))
        started = time.monotonic()
        tally, fault = (_led if led else _by_chance)(kind, share, asked.seed)
        seconds = time.monotonic() - started
        print(_summary(kind, tally, seconds, how="atheris" if led else "chance"))
        if fault:
            print(fault, file=sys.stderr)
            return 1
    return 0


def _led(kind: str, count: int, seed: int) -> tuple[Tally, str]:
    """One process that atheris leads; it ends with the first fault."""
    KEPT.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory() as folder:
        told = Path(folder, "tally.json")
        options = [f"-seed={seed}", f"-timeout={HANG_SECONDS}", "-rss_limit_mb=6000", f"-artifact_prefix={KEPT}/"]
        words = [sys.executable, "-m", "tests.fuzz.guided", kind, str(count), str(told), *options]
        ended = subprocess.run(words, cwd=ROOT, check=False, capture_output=True, text=True)
        tally = Tally(**json.loads(told.read_text())) if told.exists() else Tally()
    why = ended.stdout.partition("=== Uncaught")[2][:4000] or ended.stderr[-4000:]
    return (
        tally,
        "" if ended.returncode == 0 else f"{why}\n{kind}: exit code {ended.returncode}; the input is in {KEPT}",
    )


def _by_chance(kind: str, count: int, seed: int) -> tuple[Tally, str]:
    """Processes of some batches each."""
    total, first = Tally(), seed
    while total.lines < count:
        words = [
            sys.executable,
            "-m",
            "tests.fuzz.__main__",
            "batches",
            kind,
            str(first),
            str(A_PROCESS),
            str(count - total.lines),
        ]
        try:
            ended = subprocess.run(
                words, cwd=ROOT, check=False, capture_output=True, text=True, timeout=HANG_SECONDS * A_PROCESS
            )
        except subprocess.TimeoutExpired:
            return total, f"{kind}: hangs at a seed from {first} on"
        if ended.returncode:
            return total, f"{ended.stderr[-4000:]}\n{kind}: exit code {ended.returncode} at a seed from {first} on"
        total += Tally(**json.loads(ended.stdout))
        first += A_PROCESS
    return total, ""


def _batches(kind: str, first: str, processes: str, wanted: str) -> int:
    """Some batches one after the other, and their tally as JSON."""
    from tests.fuzz.batches import BATCHES

    total = Tally()
    for seed in range(int(first), int(first) + int(processes)):
        if total.lines >= int(wanted):
            break
        with tempfile.TemporaryDirectory(prefix="tidemill-fuzz-") as folder:
            try:
                total += BATCHES[kind](Path(folder), seed, BATCH)
            except BaseException:
                print(f"{kind}: seed {seed}", file=sys.stderr)
                raise
    print(json.dumps(vars(total)))
    return 0


def _summary(kind: str, tally: Tally, seconds: float, how: str) -> str:
    counts = f"{tally.accepted:,} accepted, {tally.duplicates:,} duplicates, {tally.quarantined:,} quarantined"
    return (
        f"{kind}: {tally.lines:,} mutated lines in {tally.files:,} files by {how}: {counts}; "
        f"{tally.compared:,} compared with plain Python, {tally.unsure:,} left to the engine; {seconds:.0f} s"
    )


if __name__ == "__main__":
    sys.exit(_batches(*sys.argv[2:]) if sys.argv[1:2] == ["batches"] else main())
