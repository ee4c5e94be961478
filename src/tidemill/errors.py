"""What can go wrong, as a tree.

    TidemillError            exit code 1
    ├── UsageError           exit code 2: an argument, a setting or a whole file that cannot be used
    │   ├── SettingsError
    │   ├── SourceError
    │   ├── FormatError
    │   └── NotFoundError    there is nothing of that name
    ├── TableError           a table's select failed, or what it reads cannot be used
    ├── BuildError           some tables failed; the others are published
    ├── CheckError           a check found what must not be; nothing is published
    ├── LakeError            the lake cannot be read or written
    ├── TooLongError         a query took longer than it may
    ├── DamagedError         something stored was cut, changed or deleted behind our back
    ├── StorageError         the disk refuses: permissions, a limit
    │   └── NoRoomError      it is full, or fails; safe to try again
    ├── LockTimeoutError     somebody else holds the home; safe to try again
    └── UnexpectedError      one file failed in a way that nobody foresaw; the others go on

`transient` says whether trying again may help; retrying is decided by it alone.
"""

from __future__ import annotations

import difflib
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar, Final

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


LISTED: Final = 20
"""How many known names an error lists when none is near."""


_PASSWORD: Final = re.compile(r"(:/{1,2}[^/\s:@]*):[^/\s@]+@")
_SECRET: Final = re.compile(
    r"(?i)\b((?:\w+[_-])?(?:password|passwd|pwd|secret|token|signature|sig|api_?key|access_?key)=)[^&\s;,'\"]+"
)


def redacted(text: str) -> str:
    """A text without the passwords of its URLs, and without what a parameter says that is named like a secret."""
    return _SECRET.sub(r"\1***", _PASSWORD.sub(r"\1:***@", text))


_UNPRINTABLE: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f\udc80-\udcff]")
"""What may stand in a file's name, but would break a line or could not be written: bytes that are not UTF-8, too."""


def on_one_line(text: str) -> str:
    r"""Return a text with control characters, and bytes that are not UTF-8, as `\xe9`."""
    return _UNPRINTABLE.sub(lambda found: f"\\x{ord(found[0]) & 0xFF:02x}", text)


class TidemillError(Exception):
    """Any failure that the user should read: one line that says what, where and what to do, and no secret."""

    exit_code: ClassVar[int] = 1
    transient: ClassVar[bool] = False

    def __init__(self, message: str = "") -> None:
        super().__init__(on_one_line(redacted(message)))


class UsageError(TidemillError):
    """An argument that cannot be used."""

    exit_code = 2

    @classmethod
    def unknown(cls, what: str, name: str, known: Iterable[str]) -> UsageError:
        """Name the nearest known one: `there is no table "activity_hourli"; did you mean "activity_hourly"?`."""
        names = sorted(known)
        near = difflib.get_close_matches(name, names, n=1, cutoff=0.5)
        listed = ", ".join(names[:LISTED]) + (", …" if len(names) > LISTED else "")
        hint = f'did you mean "{near[0]}"?' if near else f"there are: {listed or 'none'}"
        return cls(f'there is no {what} "{name}"; {hint}')


class SettingsError(UsageError):
    """A tidemill.toml that cannot be used."""


class SourceError(UsageError):
    """A whole file, or a source's path, that cannot be used."""


class FormatError(UsageError):
    """A format's SQL file that cannot be used."""


class NotFoundError(UsageError):
    """There is nothing of the name that was asked for."""


class TableError(TidemillError):
    """A table's select failed, or what it reads cannot be used."""


class TooLongError(TidemillError):
    """A query took longer than it may, and was ended."""


class LakeError(TidemillError):
    """The lake cannot be read or written."""


@dataclass(frozen=True)
class Fault:
    """What is wrong with one stored file, and what to do."""

    path: Path
    what: str
    advice: str = "put it back from a copy"

    def __str__(self) -> str:
        """One line."""
        return f"{self.path} {self.what}; {self.advice}"


class DamagedError(TidemillError):
    """Something stored was cut, changed or deleted behind our back: `faults` has each file."""

    def __init__(self, faults: Sequence[Fault]) -> None:
        self.faults = faults
        more = f" (and {len(faults) - 1:,} more: tidemill check --deep names each)" if len(faults) > 1 else ""
        super().__init__(f"{faults[0]}{more}")


class StorageError(TidemillError):
    """The disk refuses what is to be written or read. What was begun is finished, or dropped, by the next run."""


class NoRoomError(StorageError):
    """The disk is full, or fails, which may pass."""

    transient = True


class LockTimeoutError(TidemillError):
    """Somebody else holds the home."""

    transient = True


class UnexpectedError(TidemillError):
    """One file failed in a way that nobody foresaw: `__cause__` is what was raised."""
