"""One table as it stands: its entry in the dictionary, how fresh it is, and how large."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tidemill.build import plan
from tidemill.catalog import dictionary, system_tables
from tidemill.cli import output
from tidemill.engine import export
from tidemill.snapshots import publish

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill.build.plan import TableStatus
    from tidemill.catalog.dictionary import Entry
    from tidemill.config.settings import Settings
    from tidemill.home.home import Home

COLUMNS: Final = {"column": "VARCHAR", "type": "VARCHAR", "description": "VARCHAR"}
FACTS: Final = {
    "table": "VARCHAR",
    "family": "VARCHAR",
    "description": "VARCHAR",
    "grain": "VARCHAR",
    "key": "VARCHAR[]",
    "partition": "VARCHAR",
    "reads": "VARCHAR[]",
    "freshness": "VARCHAR",
    "built_at": "TIMESTAMP WITH TIME ZONE",
    "rows": "BIGINT",
    "bytes": "BIGINT",
}
"""What a program is told of a table, beside its columns."""
_NESTED: Final = 'STRUCT("column" VARCHAR, "type" VARCHAR, description VARCHAR)[]'


@dataclass(frozen=True)
class Description:
    """A table's entry, its status, and its published rows and bytes: None of a table that is not built yet."""

    entry: Entry
    status: TableStatus
    rows: int | None
    bytes: int | None

    @property
    def freshness(self) -> str:
        """Whether a build would change it, and why."""
        if self.rows is None:
            return "not built yet"
        if not self.status.stale:
            return "fresh"
        return f"stale: {self.status.stale} of {max(self.status.partitions, self.status.stale)} ({self.status.why})"


def describe(home: Home, settings: Settings, name: str) -> Description:
    """What there is to say of a table; UsageError names the nearest to one that is not there."""
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


def _of_own(name: str, manifest: publish.Manifest) -> TableStatus:
    return plan.TableStatus(name, partitions=1, stale=0, why="", rows=0, built_at=manifest.published_at)


def write(found: Description, form: output.Format | None, target: Path | None) -> None:
    """Write a description: its facts above its columns for a person, one row of it all for a program."""
    entry = found.entry
    columns = [[name, column.type, column.description] for name, column in entry.columns.items()]
    facts: list[object] = [entry.name, entry.family, entry.description, entry.grain, list(entry.key), entry.partition]
    facts += [list(entry.reads), found.freshness, found.status.built_at or None, found.rows, found.bytes]
    if (form or output.Format.of(target)) is output.Format.TABLE:
        lines = [[name, _said(value)] for name, value in zip(FACTS, facts, strict=True)][1:]
        above = export.rows(dict.fromkeys(("table", entry.name), "VARCHAR"), lines)
        output.write(export.rows(COLUMNS, columns), form, target, above)
    else:
        nested = [dict(zip(COLUMNS, column, strict=True)) for column in columns]
        output.write(export.rows(FACTS | {"columns": _NESTED}, [[*facts, nested]]), form, target)


def _said(value: object) -> str | None:
    """A fact as a person reads it."""
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, int):
        return f"{value:,}"
    return None if value is None else str(value)
