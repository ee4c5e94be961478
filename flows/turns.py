"""Turns of the runs over one home: a lock of the kernel's, which no server has to remember."""

from __future__ import annotations

from contextlib import ExitStack, contextmanager
from typing import TYPE_CHECKING, Final

from tidemill.errors import LockTimeoutError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemill.home.home import Home

FOLDER: Final = ".flows"


@contextmanager
def turn(home: Home, flow: str) -> Iterator[None]:
    """Wait until no other run of a flow works on a home, and keep the others out.

    Without it, two runs would stage the same new files side by side, and only the first commit would count.
    The kernel gives the turn back when the process ends, however it ends.

    Raises:
        LockTimeoutError: another run still works on it after `lock_wait_seconds`.
    """
    with ExitStack() as held:
        try:
            held.enter_context(home.lock(f"{FOLDER}/{flow}"))
        except LockTimeoutError as error:
            raise LockTimeoutError(f"this run did nothing: {error}") from error
        yield
