"""How much memory there is, and how much of it the engine and Python may each have."""

from __future__ import annotations

import os
import re
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SHARE: Final = 0.6
"""How much of what there is is taken when `memory_limit` says nothing."""
BESIDE: Final = 192 << 20
"""What Python, its libraries, and the engine beyond its own limit were seen to hold, however much the engine may."""
LEAST: Final = 0.4
"""Of a limit that is hardly more than that the engine gets this much all the same."""
_SIZE: Final = re.compile(r"([\d.]+) ?(\w+)")
_UNITS: Final = {
    f"{prefix}{infix}B": base**power
    for power, prefix in enumerate("KMGT", 1)
    for infix, base in (("", 1000), ("i", 1024))
}
_ROOT: Final = Path("/")


def size(text: str) -> int:
    """The bytes of a size like 8GB or 512MiB."""
    ((number, unit),) = _SIZE.findall(text)
    return int(float(number) * _UNITS[unit])


def limit(memory_limit: str | None) -> int:
    """How many bytes a command may hold in all: what the setting says, or else most of what there is."""
    return size(memory_limit) if memory_limit else int(SHARE * _of_this_machine())


def of_engine(memory_limit: str | None) -> int:
    """How many of them the engine may take for itself."""
    everything = limit(memory_limit)
    return int(max(everything - BESIDE, LEAST * everything))


@cache
def _of_this_machine() -> int:
    return available()


def available(root: Path = _ROOT) -> int:
    """How many bytes there are: of the machine, or of the group of processes that this one is in, if that has fewer."""
    machine = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    return min([machine, *_limits(root)])


def _limits(root: Path) -> Iterator[int]:
    """The limits of this process' control groups, of version 1 and 2, and of all the groups that they are in."""
    try:
        groups = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for group in groups:
        _, kinds, path = group.split(":", 2)
        if not kinds:
            yield from _of_group(root / "sys/fs/cgroup", path, "memory.max")
        elif "memory" in kinds.split(","):
            yield from _of_group(root / "sys/fs/cgroup" / "memory", path, "memory.limit_in_bytes")


def _of_group(mount: Path, path: str, name: str) -> Iterator[int]:
    """The limits of a group and of those above it; in a container its path may be the host's, and the mount its own."""
    folder = mount / path.strip("/")
    for place in (folder, *folder.parents):
        if place.is_relative_to(mount):
            try:
                yield int((place / name).read_text())
            except (OSError, ValueError):  # no such file, or the word max
                continue
