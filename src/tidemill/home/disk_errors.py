"""What the disk refuses, as one line: where, why, and what to do; whoever writes says it in a way of its own."""

from __future__ import annotations

import errno
import os
import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from tidemill.errors import NoRoomError, StorageError, TidemillError

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping
    from pathlib import Path

_AGAIN: Final = "then run the same command again; nothing is lost"
_ROOM: Final = f"free some room there, {_AGAIN}"
_RIGHTS: Final = f"change its permissions, or its owner, {_AGAIN}"
FAULTS: Final[Mapping[int, tuple[type[StorageError], str]]] = {
    errno.ENOSPC: (NoRoomError, _ROOM),
    errno.EDQUOT: (NoRoomError, _ROOM),
    errno.EIO: (NoRoomError, f"look at what the system says of that disk (dmesg), {_AGAIN}"),
    errno.EFBIG: (StorageError, f"raise the limit of a file's size (ulimit -f), {_AGAIN}"),
    errno.EACCES: (StorageError, _RIGHTS),
    errno.EPERM: (StorageError, _RIGHTS),
    errno.EROFS: (StorageError, f"mount it for writing, {_AGAIN}"),
}
"""Which refusals are the disk's: of what kind each is, and what its owner can do."""

_PATH: Final = re.compile(r"""["'](/[^"']+)["']|(?:file|directory:?) (/\S+)""")
_TOLD: Final = re.compile(r"\x1b\[[0-9;]*m")


@contextmanager
def guarded(place: Path) -> Iterator[None]:
    """Say what the disk refuses within as a StorageError, which names `place` where nothing says which file it was."""
    try:
        yield
    except TidemillError:
        raise
    except Exception as error:
        if found := fault(error, place):
            raise found from error
        raise


def check(error: BaseException, place: Path) -> None:
    """Raise the StorageError that an error is, if it is one; others are the caller's to explain.

    Raises:
        StorageError: the disk refused.
    """
    if found := fault(error, place):
        raise found from error


def fault(error: BaseException, place: Path) -> StorageError | None:
    """The StorageError that an error is; None if it is no fault of the disk."""
    if isinstance(error, StorageError):
        return error
    text = _TOLD.sub("", str(error))
    for number, (kind, advice) in FAULTS.items():
        if getattr(error, "errno", None) == number or os.strerror(number) in text:
            return kind(f"{_where(error, text) or place} cannot be written or read: {os.strerror(number)}; {advice}")
    return None


def _where(error: BaseException, text: str) -> str | None:
    """The file that an error names."""
    named = getattr(error, "filename2", None) or getattr(error, "filename", None)
    if named:
        return os.fsdecode(named)
    found = _PATH.search(text)
    return (found[1] or found[2]).rstrip(":") if found else None
