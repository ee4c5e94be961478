"""The manifest of a snapshot: what it holds, what that was made of, and what each of its files is.

It ends in the digest of all that stands before, so that it vouches for itself and for every file of the snapshot.
"""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field, fields
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tidemill.errors import DamagedError, Fault
from tidemill.home import file_digest, format_version
from tidemill.home.file_digest import Stamp
from tidemill.lake import schema as lake_schema

if TYPE_CHECKING:
    from collections.abc import Mapping

    from tidemill.lake.commits import Snapshot

MANIFEST: Final = format_version.MANIFEST
_DIGEST: Final = ', "digest": "'
_END: Final = '"}'


@dataclass(frozen=True)
class TableState:
    """What is published of one table: each partition's fingerprint and history, and the file of each period."""

    partitions: dict[str, dict[str, Any]] = field(default_factory=dict)
    files: dict[str, str] = field(default_factory=dict)


@dataclass(frozen=True)
class Manifest:
    """What one snapshot holds, and what it was made of; `thresholds` are the definitions that were evaluated last.

    `lake_versions` are those of the lake's tables, which a compaction may have replaced since. `loads` is the file of
    the loads that the ledger had. `lacking` says how much less than the ledger says the logs held.

    `stamps` has the bytes and the time of each of its files, and the digest of one whose name does not tell it.
    """

    folder: Path = Path()
    format: int = 0
    id: str = ""
    home: str = ""
    published_at: str = ""
    timezone: str = "UTC"
    lake_digest: str = ""
    despite: list[str] = field(default_factory=list)
    lake: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    tables: dict[str, TableState] = field(default_factory=dict)
    thresholds: dict[str, dict[str, Any]] = field(default_factory=dict)
    open_breaches: str = ""
    checks: str = ""
    lake_id: str = ""
    lake_versions: dict[str, int] = field(default_factory=dict)
    loads: str = ""
    lacking: dict[str, int] = field(default_factory=dict)
    pruned: str = ""
    stamps: dict[str, list[Any]] = field(default_factory=dict)

    @property
    def breaches(self) -> Path | None:
        """The file of the breaches that were open when it was published; none of an older version's snapshot."""
        return self.folder / self.open_breaches if self.open_breaches else None

    @property
    def files(self) -> list[Stamp]:
        """What each of its files is; none of an older version's snapshot."""
        return [Stamp(str(self.folder / name), *stamp) for name, stamp in self.stamps.items()]


def digest(value: object) -> str:
    """SHA-256 of a value's JSON."""
    return hashlib.sha256(json.dumps(value, sort_keys=True).encode()).hexdigest()


def lake_digest(records: Snapshot) -> str:
    """The digest of every file of the lake."""
    return digest({table: records.paths(table) for table in lake_schema.TABLES})


def stamped(folder: Path) -> dict[str, list[Any]]:
    """The stamps of all files of a snapshot that is about to be published."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        made = file_digest.stamp(path, "" if file_digest.promised(path.name) else file_digest.digest(path))
        found[str(path.relative_to(folder))] = [made.size, made.modified, *([made.digest] if made.digest else [])]
    return found


def write(folder: Path, values: Mapping[str, object]) -> None:
    """Write the manifest of a snapshot, last of all."""
    text = json.dumps(values).removesuffix("}")
    beside = folder / f"{MANIFEST}.part"
    beside.write_text(f"{text}{_DIGEST}{_of(text)}{_END}")
    beside.chmod(0o444)
    beside.rename(folder / MANIFEST)


def read(folder: Path, *, anew: bool = False) -> Manifest:
    """The manifest of a snapshot; one that is as it was when it was read last is only read `anew` if that is asked for.

    Raises:
        DamagedError: it is missing, or not what was written.
    """
    file = folder / MANIFEST
    take = _read.__wrapped__ if anew else _read
    try:
        stat = file.stat()
        return take(folder, stat.st_ino, stat.st_size, stat.st_mtime_ns)
    except OSError as error:
        raise DamagedError([Fault(file, f"cannot be read ({error.strerror})")]) from error
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise DamagedError([Fault(file, "was cut or changed: it is no manifest")]) from error


@lru_cache(maxsize=1)
def _read(folder: Path, _inode: int, _size: int, _changed: int) -> Manifest:
    """Reading that of a year takes longer than most queries do."""
    text = (folder / MANIFEST).read_text()
    values = json.loads(text)
    claimed = values.pop("digest", "")
    if (claimed or values.get("format")) and _of(text.removesuffix(f"{_DIGEST}{claimed}{_END}")) != claimed:
        raise DamagedError([Fault(folder / MANIFEST, "was changed: it is not what its own digest says")])
    tables = {name: TableState(**state) for name, state in values.pop("tables").items()}
    known = {one.name for one in fields(Manifest)}
    # A newer tidemill of the same format may say more.
    return Manifest(folder=folder, tables=tables, **{name: value for name, value in values.items() if name in known})


def _of(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
