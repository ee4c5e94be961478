"""Where a process keeps what it is about to load: a folder of its own beside the lake, held until the process ends.

The kernel lets go of the lock when its holder dies, however it does: what nobody holds is an orphan, whatever its age,
and what somebody holds is none. What an older version's process stages has no such folder, and stays for a day.
"""

from __future__ import annotations

import atexit
import fcntl
import os
import re
import shutil
import tempfile
import threading
import time
import uuid
from collections import Counter
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidemill.home import lock as home_lock

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tidemill.home.home import Home

ORPHAN_SECONDS: Final = 86_400.0
"""How long something stays of which nobody can tell whether it is still needed."""
_PREFIX: Final = "run-"
_LOCK: Final = ".lock"
_SPILL: Final = re.compile(r"spill-(\d+)-[0-9a-f]{32}")
_guard: Final = threading.RLock()


@dataclass(frozen=True)
class _Held:
    folder: Path
    descriptor: int
    process: int


_held: Final[dict[Path, _Held]] = {}
_users: Final[Counter[Path]] = Counter()


@contextmanager
def held(home: Home) -> Iterator[None]:
    """Keep the folder of this process for as long as something is being done; an empty one goes with its last user."""
    with _guard:
        _users[home.staging] += 1
    try:
        yield
    finally:
        with _guard:
            _users[home.staging] -= 1
            _let_go_of_idle()


def of(home: Home) -> Path:
    """The folder of this process, made when it is first asked for."""
    with _guard:
        held = _held.get(home.staging)
        if held is None or held.process != os.getpid() or not _stands(held):
            _let_go_of_idle()
            home.make(home.staging)
            held = _held[home.staging] = _take(home.staging)
        return held.folder


def sweep(home: Home) -> None:
    """Remove what processes left that are no more; call it under the lake's lock, when no journal is left."""
    for path in home.staging.iterdir():
        with suppress(FileNotFoundError):  # its owner may be removing it
            if (path / _LOCK).is_file():
                _remove_unless_held(path)
            elif is_old(path) and not _is_spilling(path):
                remove(path)
    for path in home.lake.glob("*.tmp"):
        with suppress(FileNotFoundError):
            if is_old(path):
                remove(path)


def name_spill() -> str:
    """A name for the folder of what does not fit in memory, which says whose it is: a reader holds no lock."""
    return f"spill-{os.getpid()}-{uuid.uuid4().hex}"


def remove_spill(home: Home, process: int) -> None:
    """Remove what a process that was killed spilled."""
    for base in (home.staging, Path(tempfile.gettempdir())):
        for path in base.glob(f"spill-{process}-*"):
            remove(path)


def _is_spilling(path: Path) -> bool:
    """Whether the process that may spill into a folder lives; one that serves readers does so for days."""
    named = _SPILL.fullmatch(path.name)
    return bool(named and home_lock.runs(int(named[1])))


def is_old(path: Path) -> bool:
    """Whether something was changed a day ago."""
    return time.time() - path.stat().st_mtime > ORPHAN_SECONDS


def remove(path: Path) -> None:
    """Remove a file, or a folder with all that is in it."""
    if path.is_dir() and not path.is_symlink():
        shutil.rmtree(path, ignore_errors=True)
    else:
        path.unlink(missing_ok=True)


def _take(staging: Path) -> _Held:
    while True:
        folder = staging / f"{_PREFIX}{uuid.uuid4().hex}"
        folder.mkdir()
        with suppress(FileNotFoundError):  # a sweeper came between its two steps
            descriptor = os.open(folder / _LOCK, os.O_CREAT | os.O_RDWR, 0o644)
            held = _Held(folder, descriptor, os.getpid())
            if _locked(descriptor) and _stands(held):
                return held
            os.close(descriptor)


def _stands(held: _Held) -> bool:
    """Whether the lock that is held is that of the folder that is there."""
    try:
        there = (held.folder / _LOCK).stat()
    except OSError:
        return False
    return os.path.samestat(there, os.fstat(held.descriptor))


def _locked(descriptor: int) -> bool:
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True


def _remove_unless_held(folder: Path) -> None:
    descriptor = os.open(folder / _LOCK, os.O_RDWR)
    try:
        if _locked(descriptor):
            remove(folder)
    finally:
        os.close(descriptor)


@atexit.register
def _let_go_of_idle() -> None:
    """Give back the folders that hold nothing; in others there may be what a journal names."""
    with _guard:
        for staging, held in [*_held.items()]:
            mine = held.process == os.getpid()
            if mine and _stands(held) and (_users[staging] or {path.name for path in held.folder.iterdir()} != {_LOCK}):
                continue
            if mine:
                remove(held.folder)
            os.close(held.descriptor)
            del _held[staging]
