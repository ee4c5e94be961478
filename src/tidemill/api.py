"""The Python API: a home's ingest and build, and its published tables as Polars frames and DuckDB relations."""

from __future__ import annotations

from typing import TYPE_CHECKING, cast

from tidemill.build import describe, plan, thresholds
from tidemill.build import run as build_run
from tidemill.build.errors import BuildError
from tidemill.catalog import tables as catalog_tables
from tidemill.config import settings
from tidemill.engine import export
from tidemill.engine.quoting import identifier
from tidemill.errors import UsageError
from tidemill.home.home import Home
from tidemill.ingest import quarantine
from tidemill.ingest import run as ingest_run
from tidemill.maintenance import compact, prune, upgrade, vacuum, verify
from tidemill.query import filters, window_query
from tidemill.query.window import Asked
from tidemill.readers import snapshot, sql
from tidemill.snapshots import publish
from tidemill.sources import selection

if TYPE_CHECKING:
    import os
    from collections.abc import Callable, Mapping, Sequence
    from datetime import datetime
    from pathlib import Path

    import duckdb
    import polars as pl

    from tidemill.build.describe import Description
    from tidemill.build.outcome import Built, Outcome
    from tidemill.build.plan import TableStatus
    from tidemill.config.settings import Settings
    from tidemill.errors import Fault
    from tidemill.ingest.queue import Report
    from tidemill.maintenance.compact import Compacted
    from tidemill.maintenance.prune import Pruned
    from tidemill.query.window import Moment
    from tidemill.query.window_query import Shown
    from tidemill.readers.snapshot import Published
    from tidemill.snapshots.manifest import Manifest

    Progress = Callable[[str, int, int], None]


class Tidemill:
    """One home. Every method reads the settings and the newest snapshot anew."""

    def __init__(self, home: str | os.PathLike[str] = "data") -> None:
        """Open the home at a path; it is made by the first ingest."""
        self.home = Home.at(home)
        self._opened: Published | None = None

    @property
    def settings(self) -> Settings:
        """The settings as tidemill.toml has them now."""
        return settings.load(self.home.path)

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
        found = selection.sources(
            config, [str(name) for name in names], source=source, record=record, format=format, timezone=timezone
        )
        return ingest_run.ingest(self.home, config, found, reread=reread, progress=progress)

    def build(
        self,
        *tables: str,
        full: bool = False,
        as_of: datetime | str | None = None,
        despite: Sequence[str] = (),
        progress: Progress | None = None,
        say: Callable[[str], None] | None = None,
    ) -> list[Built]:
        """Build the stale partitions of all tables, or of some and what they read, check and publish them at once.

        `as_of` ends the window tables: a moment, `latest`, or now. Returns what was built, in order. `say` is called
        with a line for each table that fails, for what checks find that is no reason to stop, and for each threshold
        that is newly breached.

        Raises:
            BuildError: some tables could not be built; the others are published.
            CheckError: a check failed that is not in `despite`; nothing is published.
        """
        try:
            made = build_run.run(
                self.home,
                self.settings,
                names=tables,
                full=full,
                as_of=as_of,
                despite=despite,
                progress=progress,
                say=say,
            )
        except BuildError:
            vacuum.now_and_then(self.home)
            raise
        vacuum.now_and_then(self.home)
        return made

    def check(self, *, deep: bool = False) -> list[Outcome]:
        """What every check finds in what the newest build published, or in all that is published."""
        return plan.check(self.home, self.settings, deep=deep)

    def damage(self, *, progress: Progress | None = None) -> list[Fault]:
        """What was cut, changed or deleted behind our back: every stored byte of the lake and the snapshots is read."""
        return verify.inspect(self.home, settings.of_reader(self.home.path), progress)

    def upgrade(self, *, say: Callable[[str], None] | None = None) -> None:
        """Migrate a home of an older version to this one; after a kill it is begun again, and finished.

        Raises:
            DamagedError: a file of the lake is not what was written.
        """
        upgrade.upgrade(self.home, self.settings, say=say)

    def moved(self) -> list[str]:
        """That the home was published under another path, as a line; none if it was not."""
        newest = publish.current(self.home)
        return (
            [str(snapshot.elsewhere(self.home, newest))]
            if newest.id and publish.is_elsewhere(self.home, newest)
            else []
        )

    def path(self, table: str) -> Path:
        """The folder of a table's files in the newest snapshot."""
        folder = self.snapshot() / catalog_tables.known(table)
        if not folder.is_dir():
            raise UsageError(f"{table} is not built yet; run: tidemill build {table}")
        return folder

    def snapshot(self) -> Path:
        """The folder of the newest snapshot; what is in it never changes."""
        return self._newest().folder

    def _newest(self) -> Manifest:
        newest = publish.current(self.home)
        if not newest.id:
            raise UsageError(f"nothing is published in {self.home.path} yet; run: tidemill build")
        return newest

    def table(self, name: str) -> pl.LazyFrame:
        """A table as a Polars LazyFrame over its published Parquet."""
        import polars as pl

        return pl.scan_parquet(sorted(self.path(name).iterdir()))

    def show(
        self,
        table: str,
        *,
        since: str | None = None,
        as_of: Moment | None = None,
        from_: Moment | None = None,
        to: Moment | None = None,
        where: Mapping[str, object] | None = None,
    ) -> pl.DataFrame:
        """A table as a Polars DataFrame, in its order: as it is published, or over a window of the lake's records.

        `since` (hours or days: `36h`, `7d`) is the window as_of - since < t ≤ as_of, where `as_of` is a moment,
        `latest`, or by default now; `from_` and `to` are from_ ≤ t < to, where `to` is by default now. A time without
        an offset is of UTC; a date alone is the reporting timezone's midnight. window_hours is NULL unless it is whole.

        `where` says what columns must equal (None: have no value): over a window, the columns that the records carry;
        of a published table, its own. A table that is built from other tables takes the whole reporting days that the
        window touches, and its own columns.

        Raises:
            UsageError: there is no such table, column or filter, the window is none, or nothing is published yet.
            TableError: the table's select cannot be run.
        """
        import polars as pl

        asked = Asked(since=since, as_of=as_of, from_=from_, to=to)
        if not asked and not where:
            return self.table(table).collect()
        found = self.over(table, asked, where).rows if asked else export.arrow(self.published(table, where))
        return cast("pl.DataFrame", pl.from_arrow(found))

    def over(self, table: str, asked: Asked, where: Mapping[str, object] | None = None) -> Shown:
        """A table over a window, with what a reader must know of it; see `show`."""
        return window_query.show(self.home, self.settings, table, asked, where)

    def published(self, table: str, where: Mapping[str, object] | None = None) -> duckdb.DuckDBPyRelation:
        """A table's published rows as a DuckDB relation, those whose columns have the values of `where`."""
        self.path(table)
        return filters.equal(self.sql(f"FROM {identifier(table)}"), where or {})

    def sql(self, query: str) -> duckdb.DuckDBPyRelation:
        """A query over the published tables and the lake, read-only, as a DuckDB relation.

        It runs when its rows are asked for; what takes longer than `query.timeout_seconds` is then ended.

        Raises:
            UsageError: it is no SELECT, or has a mistake.
            DamagedError: a file of the snapshot is not what was published.
            TidemillError: the home is elsewhere since it was published.
        """
        return sql.select(self.newest().tables, query)

    def newest(self) -> Published:
        """The newest snapshot, opened for the functions of `tidemill.readers`; the same one while it is the newest.

        Raises:
            UsageError: nothing is published yet.
            DamagedError: a file of the snapshot is not what was published.
            TidemillError: the home is elsewhere since it was published.
        """
        manifest = self._newest()
        if self._opened is None or self._opened.id != manifest.id:
            self._opened = snapshot.opened(self.home, manifest)
        return self._opened

    def tables(self) -> list[str]:
        """The names of all tables that can be built, each after those that it reads."""
        return list(catalog_tables.tables())

    def describe(self, table: str) -> Description:
        """What a table is, with its columns, how fresh it is, and how large."""
        return describe.describe(self.home, self.settings, table)

    def status(self) -> list[TableStatus]:
        """What is fresh and what is stale, and how many breaches of thresholds are open, a row a table."""
        return plan.status(self.home, self.settings)

    def quarantine(self, *, whole: bool = True, counted: bool = False) -> pl.DataFrame:
        """What was refused, and why, as a Polars DataFrame: each record, or how many there are of each reason."""
        import polars as pl

        config = settings.of_reader(self.home.path)
        found = quarantine.counted(self.home, config) if counted else quarantine.listed(self.home, config, whole=whole)
        return cast("pl.DataFrame", pl.from_arrow(found))

    def retry(self, *, reason: str | None = None) -> list[Report]:
        """Feed what was refused again, of one reason or all: what is accepted now leaves the quarantine.

        What cannot be fed, since its format is gone or fails on it, is in a report's `failures`.
        """
        return quarantine.retry(self.home, self.settings, reason=reason)

    def compact(self, *, dry_run: bool = False) -> list[Compacted]:
        """Make one file of a day's small ones in the lake, and remove files that nothing names any more."""
        return compact.compact(self.home, self.settings, dry_run=dry_run)

    def prune(self, keep: str, *, tables: bool = False, dry_run: bool = False) -> list[Pruned]:
        """Remove the lake's records of whole UTC days that are older than `keep` (90d); what left which table.

        Days that touch a pruned one are sealed: tables keep what they say of them, and records that come later are
        quarantined as `pruned`. With `tables` the tables' days, weeks and months that are sealed go, too.

        Raises:
            UsageError: `keep` is no number of days.
        """
        return prune.prune(self.home, self.settings, keep=keep, tables=tables, dry_run=dry_run)

    def setbacks(self) -> list[str]:
        """Return why no build can go on with a lake that came back from an older copy, as a line."""
        return plan.setbacks(self.home)

    def late(self) -> list[str]:
        """How many records came too late for sealed days, as a line; none if none did."""
        return plan.later(self.home)

    def breaches(self) -> list[str]:
        """The breaches of thresholds that are open in the newest snapshot, a line each; of many the worst."""
        return thresholds.standing(publish.current(self.home))
