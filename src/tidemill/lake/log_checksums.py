"""The seals of a table's log: the digest of every commit and checkpoint, beside the table, as `sha256sum` writes them.

Delta notices neither that its newest commits are gone nor that one was cut after a line: it would answer from less.
What came to a log and is not sealed yet, since whoever wrote it was killed in between, is sealed by the next one.
"""

from __future__ import annotations

import hashlib
import os
import re
from typing import TYPE_CHECKING, Final

from tidemill.errors import Fault
from tidemill.home import format_version
from tidemill.home.fsync import sync

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

LOG: Final = "_delta_log"
_ENTRY: Final = re.compile(r"(\d{20})(?:\.json|\.checkpoint(?:\..+)?\.parquet)")
_SEAL: Final = re.compile(rf"([0-9a-f]{{64}})  [^/]+/{LOG}/({_ENTRY.pattern})\n")


def beside(folder: Path) -> Path:
    """The file of the seals of the table in a folder; a table of an older home has none."""
    return folder.with_name(f"{folder.name}.sha256")


def seal(folder: Path, *, durable: bool = False) -> None:
    """Seal what came to a log; a seal that is `durable` is on the disk then."""
    file = beside(folder)
    if not file.exists():
        return
    known = _known(file)
    new = [name for name in entries(folder) if name not in known]
    if new:
        lines = "".join(_line(folder, name) for name in new)
        whole = file.read_text(errors="replace")[-1:] in {"", "\n"}
        with file.open("a") as seals:
            seals.write(lines if whole else f"\n{lines}")
        if durable:
            sync(file)


def renew(folder: Path) -> None:
    """Forget the seals of what is gone rightly, since a later checkpoint sums it up; seal everything that is there."""
    file = beside(folder)
    known = _known(file) if file.exists() else {}
    there = entries(folder)
    first = _summed_up([*known, *there])
    kept = {name: digest for name, digest in known.items() if name in there or _version(name) >= first}
    lines = [_written(folder, name, digest) for name, digest in kept.items()]
    lines += [_line(folder, name) for name in there if name not in kept]
    new = file.with_suffix(".tmp")
    new.write_text("".join(lines))
    sync(new)  # half of it would be a log that lost its beginning
    new.rename(file)


def faults(folder: Path, *, deep: bool = False) -> list[Fault]:
    """What is wrong with the log of a table: with what is needed to read it, or if it is looked at `deep` with any."""
    file = beside(folder)
    if not file.exists():
        advice = "put it back from a copy, or, if the table is whole, run: tidemill upgrade"
        return [Fault(file, "is missing", advice)] if format_version.of_lake(folder.parent) else []
    known, there = _known(file), frozenset(entries(folder))
    first = _summed_up([*known, *there])  # one may not be sealed yet, and what it sums up be gone
    found = []
    for name, digest in known.items():
        path, needed = folder / LOG / name, _version(name) >= first
        advice = f"put it back from a copy (to go on without: remove {file}, and run: tidemill upgrade)"
        if name not in there:
            found += [Fault(path, "is missing", advice)] if needed else []
        elif (needed or deep) and _digest(path) != digest:
            found.append(Fault(path, f"was changed: it is not what {file.name} says", advice))
    return found


def _known(file: Path) -> Mapping[str, str]:
    """The digest of each sealed entry; half a line, which a killed process left, is none."""
    return {name: digest for digest, name, _ in _SEAL.findall(file.read_text(errors="replace"))}


def entries(folder: Path) -> list[str]:
    """The commits and checkpoints of a log, in their order."""
    try:
        return sorted(name for name in os.listdir(folder / LOG) if _ENTRY.fullmatch(name))  # noqa: PTH208 - names only
    except FileNotFoundError:
        return []


def _summed_up(names: Iterable[str]) -> int:
    """The version that the newest checkpoint of some entries sums up; -1 if there is none."""
    return max((_version(name) for name in names if not name.endswith(".json")), default=-1)


def _version(name: str) -> int:
    return int(name[:20])


def _line(folder: Path, name: str) -> str:
    return _written(folder, name, _digest(folder / LOG / name))


def _written(folder: Path, name: str, digest: str) -> str:
    return f"{digest}  {folder.name}/{LOG}/{name}\n"


def _digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
