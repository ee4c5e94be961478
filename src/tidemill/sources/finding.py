"""Which files a source's paths, folders and globs name."""

from __future__ import annotations

import glob
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidemill.errors import SourceError
from tidemill.sources.files import LAYOUTS, reading, suffixes

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

_WILD: Final = frozenset("*?[")


def find(patterns: Iterable[str]) -> list[Path]:
    """The files that paths, folders and globs name, sorted; SourceError for one that names nothing."""
    found: dict[Path, None] = {}
    for pattern in patterns:
        with reading(Path(pattern)):
            matches = _matches(Path(pattern))
        if not matches:
            what = "is a folder without JSON, CSV or Parquet files" if Path(pattern).is_dir() else "does not exist"
            message = f"{pattern} {what}"
            raise SourceError(message)
        found |= dict.fromkeys(matches)
    return list(found)


def _matches(path: Path) -> list[Path]:
    if path.is_dir():
        return [file for file in sorted(path.rglob("*")) if file.is_file() and suffixes(file)[0] in LAYOUTS]
    if path.exists():
        if not path.is_file():  # a pipe would be waited for, a device never ends
            message = f"{path} is no file that can be read again; write its records to a file"
            raise SourceError(message)
        return [path]
    names = sorted(glob.glob(str(path), recursive=True))  # noqa: PTH207 - patterns may be absolute
    return [Path(name) for name in names if Path(name).is_file()]


def astray(patterns: Iterable[str], found: Iterable[Path]) -> Iterator[Path]:
    """Of the files that folders and globs name those that a link leads out of all of these folders.

    Whoever may write into a folder would else have any file of this machine read. A link that is named itself is meant.
    """
    patterns = list(patterns)
    named = {Path(pattern) for pattern in patterns}
    roots = [_root(Path(pattern)).resolve() for pattern in patterns]
    for path in found:
        if path not in named and not any(path.resolve().is_relative_to(root) for root in roots):
            yield path


def _root(path: Path) -> Path:
    """The folder in which a pattern's files are searched: all of it up to the first part with a wildcard."""
    if path.exists():
        return path
    wild = next((n for n, part in enumerate(path.parts) if is_pattern(part)), len(path.parts))
    return Path(*path.parts[:wild])


def is_pattern(text: str) -> bool:
    """Whether a path's text, given to the engine or to glob, may stand for other files, too."""
    return not _WILD.isdisjoint(text)
