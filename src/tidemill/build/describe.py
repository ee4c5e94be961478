"""One table as it stands: its entry in the dictionary, how fresh it is, and how large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemill.build import plan
from tidemill.catalog import dictionary, system_tables
from tidemill.snapshots import manifest as snapshots_manifest
from tidemill.snapshots import publish

if TYPE_CHECKING:
    from tidemill.build.plan import TableStatus
    from tidemill.catalog.dictionary import Entry
    from tidemill.config.settings import Settings
    from tidemill.home.home import Home


@dataclass(frozen=True)
class Description:
    """A table's entry, its status, and its published rows and bytes: None of a table that is not built yet."""

    entry: Entry
    status: TableStatus
    rows: int | None
    bytes: int | None

    @property
    def freshness(self) -> str:
        """Return whether a build would change it, and why."""
        if self.rows is None:
            return "not built yet"
        if not self.status.stale:
            return "fresh"
        return f"stale: {self.status.stale} of {max(self.status.partitions, self.status.stale)} ({self.status.why})"


def describe(home: Home, settings: Settings, name: str) -> Description:
    """Describe a table; UsageError names the nearest table to an unknown one."""
    import pyarrow.parquet as pq

    entry = dictionary.entry(name)
    manifest = publish.current(home)
    status = _of_own(name, manifest) if name in system_tables.OWN else plan.status(home, settings, [name])[-1]
    folder = manifest.folder / name
    if not manifest.id or not folder.is_dir():
        return Description(entry, status, None, None)
    files = list(folder.iterdir())
    rows = sum(pq.read_metadata(file).num_rows for file in files)
    return Description(entry, status, rows, sum(file.stat().st_size for file in files))


def _of_own(name: str, manifest: snapshots_manifest.Manifest) -> TableStatus:
    return plan.TableStatus(name, partitions=1, stale=0, why="", rows=0, built_at=manifest.published_at)
