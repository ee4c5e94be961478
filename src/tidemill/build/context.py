"""Context of one build."""

from __future__ import annotations

import uuid
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from tidemill.build.file_layout import layout
from tidemill.catalog import tables as catalog_tables
from tidemill.engine import connection as engine_connection
from tidemill.home import file_digest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from datetime import date, datetime
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.build.outcome import Built
    from tidemill.catalog.tables import Table
    from tidemill.config.settings import Settings
    from tidemill.errors import TableError
    from tidemill.home.home import Home
    from tidemill.lake.commits import Snapshot
    from tidemill.lake.schema import DataFile
    from tidemill.snapshots.manifest import Manifest, TableState


@dataclass
class Build:
    """A build that is going on: what the lake holds, what is published, and what has been built so far.

    `fresh` are the tables that were looked at and are as the lake is now, `failed` those that could not be built,
    `waiting` those that read such a table: both stay as they were published. `thresholds` are as evaluated last, and
    `breached` are the new breaches that this found. Of the periods between two `days` all are stale.
    Of `trusted` files the content was seen to be what was written.
    """

    home: Home
    settings: Settings
    lake: Snapshot
    before: Manifest
    connection: DuckDBPyConnection
    folder: Path
    as_of: datetime
    asked: bool
    full: bool
    days: tuple[date, date] | None = None
    checks: str = ""
    forget: bool = False
    run_id: str = field(default_factory=lambda: uuid.uuid4().hex)
    records: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    states: dict[str, TableState] = field(default_factory=dict)
    built: list[Built] = field(default_factory=list)
    fresh: set[str] = field(default_factory=set)
    failed: dict[str, TableError] = field(default_factory=dict)
    waiting: list[str] = field(default_factory=list)
    thresholds: dict[str, dict[str, Any]] = field(default_factory=dict)
    breached: Sequence[tuple[Any, ...]] = ()
    others: list[DuckDBPyConnection] = field(default_factory=list)
    trusted: set[str] = field(default_factory=set)

    def another(self, number: int) -> DuckDBPyConnection:
        """A further connection to the same database, made when it is first asked for."""
        while len(self.others) <= number:
            self.others.append(engine_connection.beside(self.connection, self.settings.timezone))
        return self.others[number]

    def known(self, table: str) -> Mapping[str, dict[str, Any]]:
        """The partitions of a table as they stand: published, or built by now."""
        return self.states[table].partitions if table in self.states else {}

    def inputs(self, table: Table) -> list[Table]:
        """The other tables that a table reads, as far as they are built."""
        return [catalog_tables.table(name) for name in sorted(table.reads & self.states.keys())]

    def of_lake(self, kind: str, days: Iterable[str] | None = None) -> list[DataFile]:
        """The lake's files of a kind of record, to be read; DamagedError if one is not what was written."""
        found = self.lake.of(kind, days)
        file_digest.examine([file.path for file in found], self.trusted)
        return found

    def kept(self, table: str, names: Iterable[str]) -> list[str]:
        """A table's files, to be read; DamagedError if one is not what was published."""
        found = [self.file(table, name) for name in names]
        published = (str(path) for path in found if path.is_relative_to(self.before.folder))
        file_digest.examine(published, self.trusted)
        return [str(path) for path in found]

    def file(self, table: str, name: str) -> Path:
        """A table's file: of the snapshot before, or of this build."""
        kept = self.before.folder / table / name
        return kept if kept.exists() else self.folder / name

    def files(self, table: Table, periods: Iterable[str] | None = None) -> list[str]:
        """A table's files, in order: all, or those of some periods; one where there is none, for its columns."""
        state = self.states[table.name]
        names = [name for _, name in sorted(state.files.items())]
        if periods is not None:
            holds = layout(state.partitions)
            names = [state.files[first] for first in sorted({holds[p] for p in periods if p in holds})] or names[:1]
        return self.kept(table.name, names)
