"""A format: a SQL file that maps raw records to jobs, events and metrics.

Its first line, a comment, says what it reads; a line `-- path: filename, region` asks for parts of the path as
columns of `raw`; and one SELECT follows each line `-- record: job`, `event` or `metric`.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.config.resources import sql_folder
from tidemill.config.settings import NATIVE
from tidemill.errors import FormatError, UsageError
from tidemill.records import CONTRACTS

if TYPE_CHECKING:
    from collections.abc import Mapping

_RECORD = re.compile(r"^--\s*record:\s*(\S+)\s*$", re.MULTILINE)
_PATH = re.compile(r"^--\s*path:\s*(.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Format:
    """A format's name, its text, the parts of the path that it reads, and a select for each record."""

    name: str
    text: str = ""
    path_parts: tuple[str, ...] = ()
    selects: Mapping[str, str] = field(default_factory=dict)

    @property
    def native(self) -> bool:
        """Whether the fields carry the very names of the contracts."""
        return not self.selects


def load(name: str, base: Path) -> Format:
    """The format of that name, or in that file, relative to `base`; FormatError says what is wrong with it."""
    if name == NATIVE:
        return Format(NATIVE)
    file = base / Path(name).expanduser() if name.endswith(".sql") else sql_folder() / "records" / f"{name}.sql"
    try:
        text = file.read_text(encoding="utf-8")
    except FileNotFoundError as error:
        if name.endswith(".sql"):
            message = f"format {file} does not exist"
            raise FormatError(message) from error
        known = [NATIVE, *(path.stem for path in (sql_folder() / "records").glob("*.sql"))]
        raise FormatError(f"{UsageError.unknown('format', name, known)}, or name a file ending in .sql") from error
    except (OSError, UnicodeDecodeError) as error:
        message = f"format {file} cannot be read: {error}"
        raise FormatError(message) from error
    return _parse(name, text)


def _parse(name: str, text: str) -> Format:
    head, *rest = _RECORD.split(text)
    records, selects = rest[::2], [select.strip() for select in rest[1::2]]
    if not records:
        message = f'format {name} has no select: put a line "-- record: event" (or job, metric) before it'
        raise FormatError(message)
    for record, select in zip(records, selects, strict=True):
        if record not in CONTRACTS:
            message = f"format {name}: {UsageError.unknown('record', record, CONTRACTS)}"
            raise FormatError(message)
        if not select or records.count(record) > 1:
            number = records.count(record) if select else "none"
            message = f"format {name} needs one select of {record}: it has {number}"
            raise FormatError(message)
    parts = tuple(part.strip() for found in _PATH.findall(head) for part in found.split(","))
    return Format(name, text, parts, dict(zip(records, selects, strict=True)))
