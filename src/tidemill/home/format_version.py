"""Which version of the format a home is of: the lake says it in one small file, each snapshot in its manifest.

A home of before there were versions has neither, and is of version 0: it is read and written as it is, until
`tidemill upgrade` gives it what a newer one has. Whoever meets a version that is not known yet must not touch it.
"""

from __future__ import annotations

import re
import uuid
from typing import TYPE_CHECKING, Final

from tidemill.errors import DamagedError, Fault, UsageError

if TYPE_CHECKING:
    from pathlib import Path

FORMAT: Final = 1
"""Version 1: names of the lake's files tell their content, logs are sealed, manifests vouch for their snapshots."""
FILE: Final = "format"
"""The lake's file that says its version."""
MANIFEST: Final = "manifest.json"
_LINE: Final = re.compile(r"(\d+) ([0-9a-f]{32})\n")
_FIRST: Final = re.compile(rb'\{"format": (\d+)')


def of_lake(lake: Path) -> int:
    """The version of the lake in a folder.

    Raises:
        DamagedError: its file says no version.
    """
    version, _ = _said(lake)
    return int(version)


def identity(lake: Path) -> str:
    """What tells the lake in a folder from any other; empty of one that has no version."""
    return _said(lake)[1]


def new(identity: str = "") -> str:
    """The content of the file of a lake of this version: a new one, or one that is known by its identity."""
    return f"{FORMAT} {identity or uuid.uuid4().hex}\n"


def _said(lake: Path) -> tuple[str, str]:
    file = lake / FILE
    try:
        said = _LINE.match(file.read_text(errors="replace"))
    except (FileNotFoundError, NotADirectoryError):
        return "0", ""
    except OSError as error:
        raise DamagedError([Fault(file, f"cannot be read ({error.strerror})")]) from error
    if not said:
        raise DamagedError(
            [Fault(file, "says no version", "put it back from a copy, or remove it and run: tidemill upgrade")]
        )
    return said[1], said[2]


def of_tables(tables: Path) -> int:
    """The version of the newest snapshot, as its manifest begins; that of none is the newest."""
    try:
        with (tables / "current" / MANIFEST).open("rb") as file:
            first = _FIRST.match(file.read(40))
    except OSError:
        return FORMAT
    return int(first[1]) if first else 0


def check(home: Path) -> None:
    """See that a home is of a version that this tidemill knows.

    Raises:
        UsageError: it is of a newer one.
        DamagedError: it does not say of which.
    """
    found = max(of_lake(home / "lake"), of_tables(home / "tables"))
    if found > FORMAT:
        raise UsageError(
            f"{home} is of format version {found}, made by a newer tidemill; this one knows versions up to {FORMAT}: "
            "install the newer one"
        )
