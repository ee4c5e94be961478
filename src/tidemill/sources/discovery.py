"""Which files a source's paths, folders and globs name."""

from __future__ import annotations

import errno
import glob
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidemill.errors import SourceError
from tidemill.home.file_names import is_utf8
from tidemill.sources.files import LAYOUTS, reading, suffixes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

_WILD: Final = frozenset("*?[")


def find(patterns: Iterable[str], failed: Callable[[SourceError], None] | None = None) -> list[Path]:
    """Return the files that paths, folders and globs name, sorted.

    Folders that cannot be searched are told to `failed`, and the others are.

    Raises:
        SourceError: a path, a folder or a glob names nothing, or there is no `failed`.
    """
    found: dict[Path, None] = {}
    for pattern in patterns:
        faults: list[SourceError] = []
        with reading(Path(pattern)):
            matches = _matches(Path(pattern), faults)
            if not (matches or faults):
                raise SourceError(f"{pattern} {_missing(Path(pattern))}")
        for fault in faults:
            if failed is None:
                raise fault
            failed(fault)
        found |= dict.fromkeys(matches)
    return list(found)


def _missing(path: Path) -> str:
    """Return what is to be said of a path that names no file."""
    if path.is_dir():
        return "is a folder without JSON, CSV or Parquet files"
    if path.is_symlink():
        return "is a link that leads nowhere; mend it, or name the file itself"
    return "does not exist"


def _matches(path: Path, faults: list[SourceError]) -> list[Path]:
    if path.is_dir():
        return _within(path, faults)
    if path.exists():
        if not path.is_file():  # a pipe would be waited for, a device never ends
            message = f"{path} is no file that can be read again; write its records to a file"
            raise SourceError(message)
        return [path]
    names = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - patterns may be absolute
    return [Path(name) for name in names if os.path.isfile(name)]  # noqa: PTH113 - it raises nothing


def _within(folder: Path, faults: list[SourceError]) -> list[Path]:
    """Return the files in a folder and in the folders in it that have a suffix of records."""

    def fail(error: OSError) -> None:
        faults.append(SourceError(f"{error.filename} cannot be searched: {error.strerror}; its files are left out"))

    found = []
    for root, _, names in os.walk(folder, onerror=fail):
        files = [Path(root, name) for name in names if suffixes(Path(name))[0] in LAYOUTS]
        if files and not os.access(root, os.X_OK):
            fail(PermissionError(errno.EACCES, os.strerror(errno.EACCES), root))
        found += [file for file in files if os.path.isfile(file)]  # noqa: PTH113 - it raises nothing
    return sorted(found)


def astray(patterns: Iterable[str], found: Iterable[Path]) -> Iterator[Path]:
    """Of the files that folders and globs name those that a link leads out of all of these folders.

    Whoever may write into a folder would else have any file of this machine read. A link that is named itself is meant.
    """
    patterns = list(patterns)
    named = {Path(pattern) for pattern in patterns}
    roots = [real(_root(Path(pattern))) for pattern in patterns]
    for path in found:
        if path not in named and not any(real(path).is_relative_to(root) for root in roots):
            yield path


def real(path: Path) -> Path:
    """Return a path without links; pathlib's own way fails on a link that leads to itself."""
    return Path(os.path.realpath(path))


def _root(path: Path) -> Path:
    """The folder in which a pattern's files are searched: all of it up to the first part with a wildcard."""
    if os.path.exists(path):  # noqa: PTH110 - it raises nothing
        return path
    wild = next((n for n, part in enumerate(path.parts) if is_pattern(part)), len(path.parts))
    return Path(*path.parts[:wild])


def is_pattern(text: str) -> bool:
    """Whether a path's text, given to the engine or to glob, may stand for other files, too."""
    return not _WILD.isdisjoint(text)


def is_plain(path: Path) -> bool:
    """Return whether the engine can be given a path as it is: it is UTF-8, and no pattern."""
    return is_utf8(path) and not is_pattern(str(path))
