"""A folder held by one process alone: a lock of the kernel's, and beside it who holds it and since when.

The kernel lets go when the holder dies, however it dies; the text is only for those who wait. It is emptied before
the lock is let go, so what stands there is the holder's, or that of one who was killed while it held the folder.
"""

from __future__ import annotations

import fcntl
import logging
import os
import re
import time
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from tidemill.errors import LockTimeoutError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

PAUSE_SECONDS: Final = 0.02
NOTICE_SECONDS: Final = 2.0
"""After how long whoever waits says so, once."""
WORD_SECONDS: Final = 1.0
"""How much longer is waited for a holder that has not said who it is."""
_log: Final = logging.getLogger(__name__)
_SAID: Final = re.compile(r"(process (\d+) since \S+Z)\n")


@contextmanager
def hold(folder: Path, limit: Callable[[], float]) -> Iterator[None]:
    """Hold a folder alone. How many seconds are waited at most is only asked when it is held by somebody else.

    Raises:
        LockTimeoutError: it still is; the message says by whom and since when.
    """
    with (folder / ".lock").open("a+") as file:
        descriptor = file.fileno()
        if not _take(descriptor):
            _wait(descriptor, folder, limit())
        try:
            _say(descriptor, f"process {os.getpid()} since {datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}\n")
            yield
        finally:
            _say(descriptor, "")


def _take(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _wait(descriptor: int, folder: Path, seconds: float) -> None:
    began = time.monotonic()
    said = False
    while not _take(descriptor):
        waited = time.monotonic() - began
        if waited >= NOTICE_SECONDS and not said:
            said = True
            _log.warning("waiting up to %g s: %s is held by %s", seconds, folder, _holder(descriptor)[1])
        late = waited - seconds
        if late >= 0:
            known, holder = _holder(descriptor)
            if known or late >= WORD_SECONDS:
                raise LockTimeoutError(f"{folder} is held by {holder}; try again when it has finished")
        time.sleep(PAUSE_SECONDS)


def _say(descriptor: int, text: str) -> None:
    """Say who holds the lock, in one write, so that nobody reads half of it."""
    with suppress(OSError):  # the disk is full: whoever waits is told less, and nothing else is lost
        os.ftruncate(descriptor, 0)
        os.write(descriptor, text.encode())


def _holder(descriptor: int) -> tuple[bool, str]:
    """Who holds the lock, by its own word, and whether that is known: the word may be that of one who was killed."""
    said = _SAID.match(os.pread(descriptor, 100, 0).decode())
    if not said:
        return False, "another process"
    if runs(int(said[2])):
        return True, said[1]
    return False, f"another process than the last that said so ({said[1]}), which does not run here"


def runs(process: int) -> bool:
    """Whether a process lives here."""
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except PermissionError:  # another user's
        return True
    return True
