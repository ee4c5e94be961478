"""Whether stored files are what was written: by size and time at a glance, by their content where there is a doubt.

The name of a data file carries the digest of its content. A file of another size is damaged. One whose time differs
may have been copied, or changed: its content decides, and if that is right the file gets its time back, so that it is
not read again for that.
"""

from __future__ import annotations

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidemill.errors import DamagedError, Fault

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence


_NAMED: Final = re.compile(r"(?:^|[-/])([0-9a-f]{24}|[0-9a-f]{40})\.parquet$")
"""Of a table's file 24 characters of the digest after a dash, of a lake's file 40 and nothing else."""


@dataclass(frozen=True)
class Stamp:
    """What is remembered of a file: its bytes, its time in milliseconds, and, if its name does not tell, its digest."""

    path: str
    size: int
    modified: int
    digest: str = ""


def digest(path: str | os.PathLike[str]) -> str:
    """SHA-256 of a file's content."""
    with Path(path).open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def promised(path: str) -> str:
    """The beginning of the digest of its content that a file's name carries; empty if it carries none."""
    found = _NAMED.search(path)
    return found[1] if found else ""


def stamp(path: Path, digest: str = "") -> Stamp:
    """What there is to remember of a file."""
    stat = path.stat()
    return Stamp(str(path), stat.st_size, _milliseconds(stat), digest)


def glanced(known: Stamp) -> Fault | None:
    """What is wrong with a file, at a glance; its content is read only if its time is another."""
    path = Path(known.path)
    try:
        stat = path.stat()
    except (FileNotFoundError, NotADirectoryError):
        return Fault(path, "is missing")
    except OSError as error:
        return Fault(path, f"cannot be read ({error.strerror})")
    if stat.st_size != known.size:
        return Fault(path, f"has {stat.st_size:,} bytes instead of {known.size:,}")
    if _milliseconds(stat) == known.modified or not (known.digest or promised(known.path)):
        return None
    fault = examined(known.path, known.digest)
    if fault is None and known.modified:
        _give_back_time(path, stat, known.modified)
    return fault


def examined(path: str, digest_of_it: str = "") -> Fault | None:
    """What is wrong with a file whose name tells its content, or whose digest is given: all of it is read."""
    expected = digest_of_it or promised(path)
    try:
        same = not expected or digest(path).startswith(expected)
    except (FileNotFoundError, NotADirectoryError):
        return Fault(Path(path), "is missing")
    except OSError as error:
        return Fault(Path(path), f"cannot be read ({error.strerror})")
    return None if same else Fault(Path(path), "was changed: its content is not the one that was written")


def glance(known: Iterable[Stamp]) -> None:
    """See that files are there, and as they were.

    Raises:
        DamagedError: some are not.
    """
    _complain([fault for one in known if (fault := glanced(one))])


def examine(paths: Iterable[str], trusted: set[str]) -> None:
    """See that the content of files is what was written, but for those that are `trusted` already; these are then, too.

    Raises:
        DamagedError: that of some is not.
    """
    new = [path for path in paths if path not in trusted and promised(path)]
    _complain([fault for path in new if (fault := examined(path))])
    trusted.update(new)


def _complain(faults: Sequence[Fault]) -> None:
    if faults:
        raise DamagedError(faults)


def _milliseconds(stat: os.stat_result) -> int:
    return stat.st_mtime_ns // 1_000_000


def _give_back_time(path: Path, stat: os.stat_result, modified: int) -> None:
    try:
        os.utime(path, ns=(stat.st_atime_ns, modified * 1_000_000))
    except OSError:  # not ours: it is read again next time
        return
