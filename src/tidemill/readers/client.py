"""The Python API: a home's ingest and build, and its published tables as Polars frames and DuckDB relations."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from tidemill import build, catalog, ingest, plan, publish, settings
from tidemill.engines import reading
from tidemill.errors import UsageError
from tidemill.home import Home

if TYPE_CHECKING:
    import os
    from collections.abc import Callable
    from datetime import datetime

    import duckdb
    import polars as pl

    from tidemill.build import Built
    from tidemill.ingest import Report
    from tidemill.plan import TableStatus
    from tidemill.settings import Settings

    Progress = Callable[[str, int, int], None]


class Tidemill:
    """One home. Every method reads the settings and the newest snapshot anew."""

    def __init__(self, home: str | os.PathLike[str] = "data") -> None:
        """Open the home at a path; it is made by the first ingest."""
        self.home = Home.at(home)
        self._connection: tuple[Path, duckdb.DuckDBPyConnection] | None = None

    @property
    def settings(self) -> Settings:
        """The settings as tidemill.toml has them now."""
        return settings.load(self.home)

    def ingest(
        self,
        *names: str | os.PathLike[str],
        record: str | None = None,
        format: str | None = None,  # noqa: A002 - the dictionary's word
        source: str | None = None,
        timezone: str | None = None,
        reread: bool = False,
        progress: Progress | None = None,
    ) -> list[Report]:
        """Ingest configured sources, all without a name, or files; one report a source.

        Raises:
            UsageError: the settings, a format or every named file cannot be used. A file that cannot be used
                beside others that can is in its report's `failures`.
        """
        config = self.settings
        found = ingest.sources(
            config, [str(name) for name in names], source=source, record=record, format=format, timezone=timezone
        )
        return ingest.ingest(self.home, config, found, reread=reread, progress=progress)

    def build(
        self,
        *tables: str,
        full: bool = False,
        as_of: datetime | str | None = None,
        progress: Progress | None = None,
    ) -> list[Built]:
        """Build the stale partitions of all tables, or of some and what they read, and publish them at once.

        `as_of` ends the window tables: a moment, `latest`, or now. Returns what was built, in order.
        """
        return build.run(self.home, self.settings, names=tables, full=full, as_of=as_of, progress=progress)

    def path(self, table: str) -> Path:
        """The folder of a table's files in the newest snapshot."""
        folder = self.snapshot() / catalog.known(table)
        if not folder.is_dir():
            raise UsageError(f"{table} is not built yet; run: tidemill build {table}")
        return folder

    def snapshot(self) -> Path:
        """The folder of the newest snapshot; what is in it never changes."""
        folder = publish.current(self.home).folder
        if folder == Path():
            raise UsageError(f"nothing is published in {self.home.path} yet; run: tidemill build")
        return folder

    def table(self, name: str) -> pl.LazyFrame:
        """A table as a Polars LazyFrame over its published Parquet."""
        import polars as pl

        return pl.scan_parquet(sorted(self.path(name).iterdir()))

    def show(self, table: str) -> pl.DataFrame:
        """A whole table as a Polars DataFrame, in its order."""
        return self.table(table).collect()

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """A query over the published tables and the lake, read-only, as a DuckDB relation."""
        folder = self.snapshot()
        if self._connection is None or self._connection[0] != folder:
            self._connection = (folder, reading.connect(folder, self.home.lake))
        return reading.select(self._connection[1], query)

    def tables(self) -> list[str]:
        """The names of all tables that can be built, each after those that it reads."""
        return list(catalog.tables())

    def status(self) -> list[TableStatus]:
        """What is fresh and what is stale, a row a table."""
        return plan.status(self.home, self.settings)
