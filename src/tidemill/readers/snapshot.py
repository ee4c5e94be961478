"""One published snapshot, opened for readers: whatever is asked of it, and however often, is of one moment."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from threading import Lock
from typing import TYPE_CHECKING, Any

from tidemill.catalog import tables as catalog_tables
from tidemill.config import memory
from tidemill.config import settings as config_settings
from tidemill.engine import connection as engine_connection
from tidemill.engine import export, messages, session
from tidemill.errors import TidemillError
from tidemill.home import file_digest
from tidemill.home.home import Home
from tidemill.lake import commits
from tidemill.query import window_query
from tidemill.query.window import Asked
from tidemill.readers import sql
from tidemill.snapshots import manifest as snapshots_manifest
from tidemill.snapshots import publish

if TYPE_CHECKING:
    import os
    from collections.abc import Mapping, Sequence
    from datetime import date

    from duckdb import DuckDBPyConnection

    from tidemill.catalog.tables import Table
    from tidemill.config.settings import Settings
    from tidemill.lake.commits import Snapshot
    from tidemill.snapshots.manifest import Manifest

Row = dict[str, Any]


@dataclass
class Published:
    """A snapshot that never changes, and the lake as it was when that was published; any thread may ask it.

    `tables` is confined to the snapshot's files: a reader's own SQL may run there. It and the engine that reads the
    lake may each use one part in `share` of the memory that there is.
    """

    home: Home
    settings: Settings
    manifest: Manifest
    tables: DuckDBPyConnection
    seconds: float
    share: int = 1
    _lake: tuple[DuckDBPyConnection, Snapshot] | None = None
    _opening: Lock = field(default_factory=Lock)

    @property
    def id(self) -> str:
        """The snapshot's name."""
        return self.manifest.id

    @cached_property
    def as_of(self) -> str | None:
        """When the newest of its windows end, in ISO 8601; None if it has none."""
        states = self.manifest.tables.values()
        ends = [str(made["as_of"]) for state in states for made in state.partitions.values() if made.get("as_of")]
        return max(ends).replace("+00:00", "Z") if ends else None

    def rows(self, query: str, *needs: str, **parameters: object) -> list[Row]:
        """The rows of a query of ours over the tables that it needs.

        Raises:
            TidemillError: one is not built, the query failed, or it took too long.
        """
        self.need(*needs)
        with sql.beside(self.tables) as connection:
            return sql.rows(connection, query, parameters)

    def table(self, name: str, *, limit: int | None = None) -> list[Row]:
        """The first rows of a table, in its order, or all.

        Raises:
            TidemillError: it is not built, or cannot be read.
        """
        self.need(name)
        with sql.beside(self.tables) as connection:
            return sql.table(connection, name, limit)

    def canonical(self, texts: Sequence[str]) -> list[str]:
        """What the spellings of one question have in common: that of each text.

        Raises:
            TidemillError: it failed, or took too long.
        """
        connection, _ = self._records()
        with messages.failures(), engine_connection.beside(connection, self.settings.timezone) as other:
            return [text for (text,) in other.execute("SELECT canonical(unnest($1))", [texts]).fetchall()]

    def need(self, *tables: str) -> None:
        """See that tables are in the snapshot.

        Raises:
            TidemillError: one is not.
        """
        for table in tables:
            if not self.holds(table):
                raise TidemillError(f"{table} is not built yet; run: tidemill build {table}")

    def holds(self, table: str) -> bool:
        """Whether a table is in the snapshot."""
        return (self.manifest.folder / table).is_dir()

    def window(
        self,
        name: str,
        hours: int,
        where: Mapping[str, str] | None = None,
        *,
        order: str = "",
        limit: int | None = None,
    ) -> list[Row]:
        """A window table of so many hours up to the moment at which the snapshot's windows end: its first rows, or all.

        They are in the table's order, if no other is given. It is read from the snapshot where that holds it, else
        it is made of the lake's records, as `show` does.

        Raises:
            TidemillError: it is not built, cannot be read or made, or that took too long.
        """
        self.need(name)
        windows = self.manifest.tables[name].partitions
        if not where and f"{hours}h" in windows:
            with sql.beside(self.tables) as connection:
                return sql.window(connection, name, hours, order, limit)
        as_of = max(str(made["as_of"]) for made in windows.values())
        return self.over(
            catalog_tables.table(name), Asked(since=f"{hours}h", as_of=as_of), where, order=order, limit=limit
        )

    def over(
        self,
        table: Table,
        asked: Asked,
        where: Mapping[str, str] | None = None,
        *,
        parameters: Mapping[str, object] | None = None,
        order: str = "",
        limit: int | None = None,
    ) -> list[Row]:
        """A select over a window of the records that the lake held when the snapshot was published.

        Tables beside the catalog's own take what they read as it is published.

        Raises:
            UsageError: the window or a filter is none.
            TidemillError: a table that it reads is not built, or it failed, or took too long.
        """
        connection, records = self._records()
        known = [] if table.name in catalog_tables.tables() else sorted(table.reads & catalog_tables.tables().keys())
        self.need(*known)
        paths = {name: [str(path) for path in sorted((self.manifest.folder / name).iterdir())] for name in known}
        found = window_query.over(
            self.home,
            self.settings,
            table,
            asked,
            where or {},
            records=records,
            beside=connection,
            published=paths,
            parameters=parameters or {},
        )
        with messages.failures(), found as (relation, _):
            ordered = relation.order(order) if order else relation
            return export.rows_of(ordered if limit is None else ordered.limit(limit))

    def _records(self) -> tuple[DuckDBPyConnection, Snapshot]:
        """The lake as it was, and an engine for it, opened when it is first asked for."""
        with self._opening:
            if self._lake is None:
                self._lake = (_engine(self.home, self.settings, self.share), _lake(self.home, self.manifest))
                sql.limit(self._lake[0], seconds=self.seconds)
            return self._lake


def newest(home: str | os.PathLike[str] | Home) -> Published:
    """Open the newest snapshot of a home.

    Raises:
        TidemillError: nothing is published yet, or the home is elsewhere since it was.
        DamagedError: a file of the snapshot is not what was published.
    """
    where = home if isinstance(home, Home) else Home.at(home)
    return opened(where, publish.current(where))


def opened(home: Home, manifest: Manifest, *, seconds: float | None = None, share: int = 1) -> Published:
    """Open one snapshot of a home, as `newest`; what takes more `seconds` is ended, by default `query.timeout_seconds`.

    An engine uses one part in `share` of the memory.
    """
    if not manifest.id:
        raise TidemillError(f"nothing is published in {home.path} yet; run: tidemill build")
    if publish.is_elsewhere(home, manifest):
        raise elsewhere(home, manifest)
    file_digest.glance(manifest.files)
    called = Home(Path(manifest.home))  # by the name that the catalog calls its files
    config = config_settings.of_reader(home.path).model_copy(update={"timezone": manifest.timezone})
    limit = config.query.timeout_seconds if seconds is None else seconds
    with messages.failures():
        connection = _engine(home, config, share)
        sql.confine(connection, called.tables / "snapshots" / manifest.id, seconds=limit)
    return Published(home, config, manifest, connection, limit, share)


def elsewhere(home: Home, manifest: Manifest) -> TidemillError:
    """That a home is not where it was published."""
    return TidemillError(
        f"{home.path} was published as {manifest.home}, and its catalog names the files there; run: tidemill build"
    )


def _lake(home: Home, manifest: Manifest) -> Snapshot:
    """The lake of which a snapshot was made; of one that does not say its versions the lake as it is now."""
    if manifest.lake_versions:
        return commits.at(home, manifest.lake_versions)
    nothing = commits.nothing()
    return nothing if manifest.lake_digest == snapshots_manifest.lake_digest(nothing) else commits.current(home)


def _engine(home: Home, config: Settings, share: int) -> DuckDBPyConnection:
    part = f"{memory.limit(config.memory_limit) // share >> 20}MiB"
    return session.connect(home, config.model_copy(update={"memory_limit": part}), timezone=None)


def spelt(instant: date | None) -> str | None:
    """A day or an instant as answers have it: ISO 8601, of UTC."""
    return instant.isoformat().replace("+00:00", "Z") if instant else None
