"""A home: the folder that holds tidemill.toml, the lake and the tables, and the locks that guard them."""

from __future__ import annotations

import os
import re
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidemill.errors import NoRoomError, UsageError
from tidemill.home import disk_errors, format_version
from tidemill.home import lock as home_lock
from tidemill.home.file_names import is_utf8, shown

if TYPE_CHECKING:
    from collections.abc import Iterator

_ESCAPE: Final = re.compile("%[0-9A-Fa-f]{2}")


@dataclass(frozen=True)
class Home:
    """Where everything of one installation lives."""

    path: Path

    @classmethod
    def at(cls, path: str | os.PathLike[str]) -> Home:
        """The home at a path, which need not exist yet.

        Raises:
            UsageError: DuckDB could not open a database there, or Delta a table, or it is of a newer version.
        """
        found = Path(os.path.abspath(path))  # noqa: PTH100 - a symlinked home keeps the name that its owner gave it
        if "?" in str(found):
            raise UsageError(f"{found} cannot be a home: DuckDB takes what follows a ? for options")
        if set("*[") & set(str(found)):
            raise UsageError(f"{found} cannot be a home: DuckDB takes * and [ for patterns of other files' names")
        if escape := _ESCAPE.search(str(found)):
            raise UsageError(
                f"{found} cannot be a home: Delta takes {escape[0]} for another character; rename the folder"
            )
        if not is_utf8(found):
            raise UsageError(f"{shown(found)} cannot be a home: its path is not UTF-8; rename the folder")
        format_version.check(found)
        return cls(found)

    @property
    def settings_file(self) -> Path:
        """The settings, which may be missing: every setting has a default."""
        return self.path / "tidemill.toml"

    @property
    def lake(self) -> Path:
        """The Delta tables of records."""
        return self.path / "lake"

    @property
    def staging(self) -> Path:
        """Loads that are being written, on the lake's own file system."""
        return self.lake / "staging"

    @property
    def tables(self) -> Path:
        """The published snapshots."""
        return self.path / "tables"

    @property
    def prices(self) -> Path:
        """The user's prices, which may be missing."""
        return self.path / "prices.csv"

    @property
    def checks(self) -> Path:
        """The folder of the user's own checks, which may be missing."""
        return self.path / "checks"

    @contextmanager
    def lock(self, what: str, wait: float | None = None) -> Iterator[None]:
        """Hold the lake or the tables alone; the kernel lets go when the process ends.

        Raises LockTimeoutError that says who holds it and since when, after `wait` seconds; if none are given, after
        the setting `lock_wait_seconds`.
        """
        folder = self.path / what
        self.make(folder)
        with home_lock.hold(folder, self._patience if wait is None else lambda: wait):
            format_version.check(self.path)  # it may be another since it was opened
            yield

    def _patience(self) -> float:
        from tidemill.config import settings

        return settings.load(self.path).lock_wait_seconds

    def make(self, folder: Path) -> None:
        """Create a folder of this home, or say that it cannot be written."""
        try:
            folder.mkdir(parents=True, exist_ok=True)
            writable = os.access(folder, os.W_OK | os.X_OK)
        except OSError as error:
            if isinstance(full := disk_errors.fault(error, folder), NoRoomError):
                raise full from error
            raise UsageError(f"{folder} cannot be created: {error.strerror}; choose another --home") from error
        if not writable:
            raise UsageError(f"{folder} cannot be written; change its permissions or choose another --home")
