"""RESULTS.md: a section for each work and size, of which a run replaces only those that it measured."""

from __future__ import annotations

import os
import platform
import re
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import TYPE_CHECKING, Final

from benchmarks.environments import own

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from benchmarks.measure import Timed

RESULTS: Final = Path(__file__).with_name("RESULTS.md")
HEAD: Final = """# Results

What `make bench` measured: the same work done by tidemill and by what one would otherwise write, side by side. Every
contender is a process of its own; its answer is checked to be equal to ours before anything is timed; contenders take
turns, each with all cores and its own defaults for memory; peak memory is the operating system's figure for the
process (for the largest, where a contender starts several). Times are medians, then the least and the most. A section
holds for the day, machine and versions that it names.
"""
_SECTION: Final = re.compile(r"<!-- (\S+) -->\n(.*?)(?=<!-- |\Z)", re.DOTALL)


@dataclass(frozen=True)
class Reach:
    """What was asked for, what was measured, and whether that is enough; None where it was not measured."""

    asked: str
    reached: str
    met: bool | None


def table(found: Sequence[Timed], limit: str, unit: str, count: int) -> list[str]:
    """A row for each contender: its times, how many units a second, memory, and its speed where the limit's is 1."""
    base = next(timed for timed in found if timed.contender.name == limit)

    def cells(timed: Timed) -> list[str]:
        speed = f"{base.wall / timed.wall:.2f}{' (limit)' if timed is base else ''}" if base.rounds else ""
        return [f"{count / timed.wall:,.0f}", f"{timed.memory:.2f}", speed]

    return _rows(found, [f"{unit}/s", "peak GiB", "speed, limit = 1"], cells)


def times(found: Sequence[Timed]) -> list[str]:
    """A row for each contender: its times, memory, and how many times as long as ours it takes."""
    return _rows(
        found,
        ["peak GiB", "time, ours = 1"],
        lambda timed: [f"{timed.memory:.2f}", f"{timed.wall / found[0].wall:.2f}"],
    )


def steps(found: Sequence[Timed], names: Sequence[str]) -> list[str]:
    """A row for each contender: its times, each of its steps, and memory."""

    def cells(timed: Timed) -> list[str]:
        return [*(f"{timed.step(number):.2f}" for number in range(len(names))), f"{timed.memory:.2f}"]

    return _rows(found, [*(f"{name} s" for name in names), "peak GiB"], cells)


def _rows(found: Sequence[Timed], heads: Sequence[str], cells: Callable[[Timed], Sequence[str]]) -> list[str]:
    rows = [f"| | median s | min-max s | {' | '.join(heads)} |", "|---" * (len(heads) + 3) + "|"]
    for timed in found:
        if timed.rounds:
            spread = f"{min(timed.walls):.2f}-{max(timed.walls):.2f}"
            rest = [f"{timed.wall:.2f}", spread, *cells(timed)]
        else:
            rest = [f"not measured: {timed.missing.replace('|', '/')}", *[""] * (len(heads) + 1)]
        rows.append(f"| {' | '.join([timed.contender.name, *rest])} |")
    return [*rows, "", *_notes(found)]


def reaches(found: Sequence[Reach]) -> list[str]:
    """What was asked for beside what was reached."""
    rows = ["| reach | reached | |", "|---|---|---|"]
    said = {True: "yes", False: "**no**", None: ""}
    rows += [f"| {reach.asked} | {reach.reached} | {said[reach.met]} |" for reach in found]
    return [*rows, ""]


def of_limit(found: Sequence[Timed], limit: str, least: float) -> Reach:
    """That ours, the first, is at least that fast where the limit is 1."""
    base = next(timed for timed in found if timed.contender.name == limit)
    speed = base.wall / found[0].wall
    return Reach(f"at least {least:g} of {limit}", f"{speed:.2f}", met=speed >= least)


def ahead(found: Sequence[Timed], name: str, times: float = 1.0) -> Reach:
    """That ours, the first, is so many times as fast as another."""
    ours, other = found[0], next(timed for timed in found if timed.contender.name == name)
    asked = f"ahead of {name}" if times == 1 else f"{times:g} times as fast as {name}"
    if not other.rounds:
        return Reach(asked, "not measured", met=None)
    return Reach(asked, f"{other.wall / ours.wall:.2f} times", met=other.wall / ours.wall >= times)


def footer(found: Sequence[Timed], rounds: int) -> str:
    """On what, when and with which versions it was measured."""
    versions = dict.fromkeys(timed.contender.version for timed in found if timed.contender.version)
    day = datetime.now(UTC).date()
    return f"{rounds} interleaved runs on {day}; {machine()}; {'; '.join([ours(), *versions])}."


def ours() -> str:
    """The versions of the project's own environment."""
    return own().versions("tidemill", "duckdb", "polars", "pyarrow", "deltalake")


def machine() -> str:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    python = platform.python_version()
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {platform.system()} {platform.machine()}, Python {python}"


def write(sections: dict[str, Sequence[str]], order: Sequence[str], path: Path = RESULTS) -> None:
    """Put sections in the place of those of the same key; a key is a work, or a work, a colon and its size."""
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    kept: dict[str, str] = dict(_SECTION.findall(text))
    kept |= {key: "\n".join(lines).strip() + "\n\n" for key, lines in sections.items()}

    def place(key: str) -> tuple[int, float]:
        work, _, size = key.partition(":")
        return order.index(work) if work in order else len(order), float(size or 0)

    parts = [f"<!-- {key} -->\n{kept[key].strip()}\n" for key in sorted(kept, key=place)]
    path.write_text("\n".join([HEAD, *parts]), encoding="utf-8")


def _notes(found: Sequence[Timed]) -> list[str]:
    notes = [f"- {timed.contender.name}: {timed.contender.note}." for timed in found if timed.contender.note]
    return [*notes, ""] if notes else []
