"""One load on its way into the lake: what it is read from, and what is counted of it."""

from __future__ import annotations

import hashlib
import uuid
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

from tidemill.home.file_names import shown
from tidemill.sources.files import Layout

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tidemill.config.settings import Source
    from tidemill.ingest.formats import Format
    from tidemill.records import Contract
    from tidemill.sources.files import Portion

LARGE_BYTES: Final = 128 << 20
EXPANDED_FREELY: Final = 64 << 20
"""A compressed file may become so many bytes, however small it is."""


@dataclass
class Load:
    """One load on its way into the lake.

    `members` are the loads that a bundle carries, each with the line after which it begins; `carrier` is their bundle.
    It is `lenient` once a line turned out to be no JSON, or a part to have refused records. Its parts are `parts_from`
    so many lines on, if it is staged in parts.
    `absent` are the columns of each table that have no value in any of its staged records, and are left out.
    """

    source: Source
    format: Format
    load_id: str
    uri: str
    bytes: int
    content_hash: str
    folder: Path
    portion: Portion | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    types: Mapping[str, str] = field(default_factory=dict)
    kind: str = "ingest"
    texts: str = ""
    origin: str = ""
    members: Sequence[tuple[Load, int]] = ()
    carrier: Load | None = None
    absent: dict[str, frozenset[str]] = field(default_factory=dict)
    parts_from: dict[str, int] = field(default_factory=dict)
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    lenient: bool = False
    readable: str = ""
    spooled: bool = False
    looked_over: bool = False
    records_read: int = 0
    expanded: int = 0
    ignored: int = 0
    quarantined: int = 0
    rows: int = 0

    def staged(self, contract: Contract, verdict: str) -> list[Path]:
        """The files of one record and verdict."""
        return sorted((self.folder / contract.table / f"verdict={verdict}").rglob("*.parquet"))

    def numbered(self, contract: Contract) -> Path:
        """The folder of each part's refused records of one kind, with their lines within the part."""
        return self.folder / contract.table / "numbered"

    @property
    def refused(self) -> Path:
        """The refused records; missing before it is staged."""
        return self.folder / "refused.parquet"

    @property
    def heads(self) -> Path:
        """How often the head of a grown file holds the records without an id that its tail repeats; may be missing."""
        return self.folder / "heads.parquet"

    @property
    def bad_lines(self) -> Path:
        """The lines that cannot be read as text; missing unless the file had to be spooled."""
        return self.folder / "bad_lines"

    @property
    def blanks(self) -> Path:
        """Which rows of a spooled CSV file are empty lines; missing of any other."""
        return self.folder / "blanks"

    @property
    def rejected(self) -> Path:
        """Which rows of a CSV file cannot be split into columns; missing until it was read once."""
        return self.folder / "rejected"

    @property
    def fast(self) -> bool:
        """Whether events and metrics are staged as they will lie in the lake, without their lines."""
        return self.format.native and self.layout is Layout.LINES and not self.members

    @property
    def most_bytes(self) -> int:
        """How many bytes may be made of a compressed file's."""
        return max(EXPANDED_FREELY, self.bytes * self.source.max_expansion)

    @property
    def large(self) -> bool:
        """Whether it is staged and settled day by day; a small one is settled in one go, with others."""
        limit = LARGE_BYTES if self.portion is None or self.portion.compression == "none" else LARGE_BYTES // 8
        return self.bytes >= limit

    @property
    def layout(self) -> Layout:
        """How the raw records stand; texts from the quarantine are lines."""
        return self.portion.layout if self.portion else Layout.LINES


def identity(source: Source, content_hash: str, form: Format, head_hash: str = "", run: str = "") -> str:
    """The identity of a load: the same content sent twice is the same load, whatever the file is called."""
    mapping = f"{form.name} {source.record or ''}" if form.native else form.text
    parts = [source.name, content_hash, mapping, head_hash, run]
    return hashlib.sha256("\x1f".join(parts).encode()).hexdigest()[:32]


def of_portion(
    source: Source, form: Format, portion: Portion, staging: Path, members: Sequence[tuple[Load, int]] = ()
) -> Load:
    """The load that a portion of a file is."""
    load_id = identity(source, portion.content_hash, form, portion.head_hash)
    return Load(
        source,
        form,
        load_id,
        shown(portion.path),
        portion.end - portion.start,
        portion.content_hash,
        staging / uuid.uuid4().hex,
        portion=portion,
        parts=portion.parts,
        readable=str(portion.path),
        spooled=not portion.whole,
        members=members,
    )
