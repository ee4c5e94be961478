"""Where the engine puts what does not fit in memory: a folder of this process alone, of which nothing stays.

A process holds a lock on its folder, which the kernel releases when it dies; the next one removes what it left.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import shutil
import tempfile
import uuid
from contextlib import suppress
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from tidemill.home import Home

FOLDER: Final = "spill"


def folder(home: Home) -> Path:
    """This process' folder for a home: in it, or where temporary files go if it is not there or cannot be written."""
    there = os.access(home.path, os.W_OK | os.X_OK)
    base = home.path / FOLDER if there else Path(tempfile.gettempdir(), f"tidemill-{FOLDER}-{os.getuid()}")
    return _own(base, os.getpid())


@cache
def _own(base: Path, _process: int) -> Path:
    sweep(base)
    while True:
        own = base / uuid.uuid4().hex
        own.mkdir(parents=True, mode=0o700)
        if _lock(own) is not None:
            break
    atexit.register(_leave, own, os.getpid())
    return own


def sweep(base: Path) -> None:
    """Remove the folders of processes that are dead."""
    with suppress(OSError):
        for left in [*base.iterdir()]:
            lock = _lock(left)
            if lock is not None:
                shutil.rmtree(left, ignore_errors=True)
                os.close(lock)


def _lock(own: Path) -> int | None:
    """Hold a folder for as long as this process lives; None where another holds it, or has just removed it."""
    with suppress(OSError):
        descriptor = os.open(own, os.O_RDONLY | os.O_DIRECTORY)
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            if os.stat(own).st_ino == os.fstat(descriptor).st_ino:  # noqa: PTH116 - as of the descriptor
                return descriptor
        except OSError:
            pass
        os.close(descriptor)
    return None


def _leave(own: Path, process: int) -> None:
    if os.getpid() != process:  # a fork of its owner
        return
    shutil.rmtree(own, ignore_errors=True)
    with suppress(OSError):
        own.parent.rmdir()
