"""The lake: Delta tables of jobs, events, metrics, loads and quarantine, written by one commit at a time.

A commit is journaled before its first table is touched, so that whoever takes the lock next finishes what a
killed process began; each load is one application transaction in every table, so nothing is appended twice.
The rows of `loads` come last: under the lock, a record that is in the lake is one whose load is in the ledger.
"""

from __future__ import annotations

import json
import os
import shutil
import time
import uuid
from contextlib import suppress
from dataclasses import asdict, dataclass
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from tidemill.errors import LakeError
from tidemill.records import CONTRACTS, LOADS, QUARANTINE, RELEASED

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from deltalake.transaction import AddAction, RemoveAction

    from tidemill.home import Home

DAY: Final = "day"
RECORD_TABLES: Final = tuple(contract.table for contract in CONTRACTS.values())
TABLES: Final[Mapping[str, Mapping[str, str]]] = {
    **{contract.table: contract.stored for contract in CONTRACTS.values()},
    "quarantine": QUARANTINE,
    "released": RELEASED,
    "loads": LOADS,
}
"""Every table of the lake with its columns, in the order in which a commit writes them."""

NULLS: Final = "null_count."
"""How the log's statistics begin that say how many rows have no value."""
PRUNED: Final = "pruned"
"""The file that names the first day which was not pruned."""
ORPHAN_SECONDS: Final = 86_400.0


@dataclass(frozen=True)
class DataFile:
    """One Parquet file of the lake: all its rows are of one UTC day; of one load, if the two ids are equal.

    Columns that are `absent` have no value in any row, and the file may leave them out.
    """

    path: str
    rows: int
    day: str = ""
    first_load: str = ""
    last_load: str = ""
    absent: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Addition:
    """A file that a commit adds: where it is staged, and where in which table it will lie."""

    table: str
    staged: str
    path: str
    size: int
    rows: int
    day: str
    first_load: str
    last_load: str
    absent: list[str]


@dataclass(frozen=True)
class Snapshot:
    """What the lake holds at one moment: the files of each table, with absolute paths.

    Of the UTC days before `pruned` it holds no records any more, and takes none.
    """

    files: Mapping[str, Sequence[DataFile]]
    pruned: str = ""

    def of(self, table: str, days: Iterable[str] | None = None) -> list[DataFile]:
        """A table's files, of all days or of some."""
        wanted = None if days is None else set(days)
        return [file for file in self.files[table] if wanted is None or file.day in wanted]

    def paths(self, table: str, days: Iterable[str] | None = None) -> list[str]:
        """The paths of those files."""
        return [file.path for file in self.of(table, days)]


def prepare(home: Home) -> None:
    """Create what is missing of the lake, and finish what a killed process left; call it under the lock."""
    home.make(home.staging)
    for table in TABLES:
        if not (home.lake / table / "_delta_log").is_dir():
            _create(home.lake / table, table)
    for unfinished in home.lake.glob("journal-*.tmp"):
        unfinished.unlink()
    for journal in sorted(home.lake.glob("journal-*.json")):
        _finish(home, journal)
    _finish_pruning(home)
    _sweep(home.staging)


def _create(folder: Path, table: str) -> None:
    from deltalake import DeltaTable

    partition = [DAY] if table in RECORD_TABLES else None
    configuration: dict[str, str | None] = {"delta.dataSkippingStatsColumns": ",".join(TABLES[table])}
    DeltaTable.create(
        folder, schema(table), mode="ignore", name=table, partition_by=partition, configuration=configuration
    )


def schema(table: str) -> pa.Schema:
    """The Arrow schema of a table, with the day of its partitions."""
    import pyarrow as pa

    types: dict[str, pa.DataType] = {
        "VARCHAR": pa.string(),
        "BIGINT": pa.int64(),
        "DOUBLE": pa.float64(),
        "BOOLEAN": pa.bool_(),
        "TIMESTAMP WITH TIME ZONE": pa.timestamp("us", tz="UTC"),
    }
    fields = {name: types[kind] for name, kind in TABLES[table].items()}
    return pa.schema(fields | {DAY: pa.date32()} if table in RECORD_TABLES else fields)


def _sweep(staging: Path) -> None:
    """Remove what crashed runs left in the staging folder a day ago."""
    for folder in staging.iterdir():
        with suppress(FileNotFoundError):  # its owner may be removing it
            if time.time() - folder.stat().st_mtime > ORPHAN_SECONDS:
                shutil.rmtree(folder, ignore_errors=True)


def current(home: Home) -> Snapshot:
    """The lake as it is now; takes the lock. That of a home without one is empty, and is not made."""
    if not home.lake.is_dir():
        return Snapshot({table: [] for table in TABLES})
    with home.lock("lake"):
        prepare(home)
        return snapshot(home)


def snapshot(home: Home) -> Snapshot:
    """The lake as it is now; call it under the lock, after `prepare`."""
    return Snapshot({table: list(_now(home, table)) for table in TABLES}, pruned_before(home))


def _now(home: Home, table: str) -> tuple[DataFile, ...]:
    return _files(home.lake / table, table, *_newest(home.lake / table))


def _newest(folder: Path) -> tuple[str, int, int]:
    """What tells the newest commit of a table from any other: opening the table takes a hundred times as long."""
    log = folder / "_delta_log"
    try:
        name = max(entry for entry in os.listdir(log) if entry.endswith(".json"))  # noqa: PTH208 - names are enough
        stat = (log / name).stat()
    except (OSError, ValueError):
        return "", 0, time.time_ns()
    return name, stat.st_ino, stat.st_mtime_ns


@lru_cache(maxsize=len(TABLES) * 2)
def _files(folder: Path, table: str, _name: str, _inode: int, _changed: int) -> tuple[DataFile, ...]:
    """The files of a table as of its newest commit."""
    import pyarrow as pa
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        actions = pa.table(DeltaTable(folder).get_add_actions(flatten=True))
    except (DeltaError, OSError) as error:
        raise LakeError(f"the lake's table {folder} cannot be read: {str(error).splitlines()[0]}") from error
    empty: list[Any] = [None] * actions.num_rows
    columns: dict[str, list[Any]] = {name: actions.column(name).to_pylist() for name in actions.column_names}
    nulls = {name.removeprefix(NULLS): counts for name, counts in columns.items() if name.startswith(NULLS)}
    absent = (
        frozenset(name for name, counts in nulls.items() if counts[n] == count)
        for n, count in enumerate(columns["num_records"])
    )
    rows = zip(
        columns["path"],
        columns["num_records"],
        columns.get("partition.day", empty),
        columns.get("min.load_id", empty),
        columns.get("max.load_id", empty),
        absent,
        strict=True,
    )
    found = (
        DataFile(
            path=str(folder / path),
            rows=count,
            day=str(day) if table in RECORD_TABLES else "",
            first_load=first or "",
            last_load=last or "",
            absent=without,
        )
        for path, count, day, first, last, without in rows
    )
    return tuple(sorted(found, key=lambda file: file.path))


def name_file(day: str = "") -> str:
    """A path that no file of the table has yet."""
    name = f"{uuid.uuid4().hex}.parquet"
    return f"{DAY}={day}/{name}" if day else name


def commit(home: Home, ids: Sequence[str], additions: Sequence[Addition], instead_of: Sequence[DataFile] = ()) -> None:
    """Append staged files to their tables as one commit that survives a crash; call it under the lock.

    `ids` are those of the loads, each an application transaction. Files that take the place of others change no data.
    """
    journal = home.lake / f"journal-{time.time_ns()}.json"
    entry = {
        "ids": list(ids),
        "additions": [asdict(addition) for addition in additions],
        "removals": [os.path.relpath(file.path, home.lake) for file in instead_of],
    }
    beside = journal.with_suffix(".tmp")
    beside.write_text(json.dumps(entry))
    beside.rename(journal)
    _finish(home, journal)


def _finish(home: Home, journal: Path) -> None:
    entry = json.loads(journal.read_text())
    additions = [Addition(**addition) for addition in entry["additions"]]
    for table in TABLES:
        removed = [path.removeprefix(f"{table}/") for path in entry["removals"] if path.startswith(f"{table}/")]
        _append(home.lake / table, table, entry["ids"], [a for a in additions if a.table == table], removed)
    journal.unlink()


def _append(
    folder: Path, table: str, ids: Sequence[str], additions: Sequence[Addition], removed: Sequence[str] = ()
) -> None:
    from deltalake import DeltaTable
    from deltalake.transaction import AddAction

    if not additions:
        return
    if DeltaTable(folder).transaction_version(ids[0]) is not None:
        return
    for addition in additions:
        target = folder / addition.path
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            os.rename(addition.staged, target)  # noqa: PTH104
    now, changes = time.time_ns() // 1_000_000, not removed
    added = [AddAction(a.path, a.size, {DAY: a.day} if a.day else {}, now, changes, _statistics(a)) for a in additions]
    _write(folder, table, [*added, *_removals(removed, now, changes=changes)], ids)


def _removals(paths: Iterable[str], now: int, *, changes: bool) -> list[RemoveAction]:
    from deltalake.transaction import RemoveAction

    return [RemoveAction(path, changes, now, None, _partition(path)) for path in paths]


def _partition(path: str) -> dict[str, str | None]:
    folder, _, file = path.rpartition("/")
    return {DAY: folder.removeprefix(f"{DAY}=")} if file and folder else {}


def _write(folder: Path, table: str, actions: Sequence[AddAction | RemoveAction], ids: Sequence[str] = ()) -> None:
    from deltalake import DeltaTable
    from deltalake.transaction import CommitProperties, Transaction

    transactions = [Transaction(app_id=load_id, version=1) for load_id in ids]
    DeltaTable(folder).create_write_transaction(
        list(actions),
        mode="append",
        schema=schema(table),
        partition_by=[DAY] if table in RECORD_TABLES else None,
        commit_properties=CommitProperties(app_transactions=transactions),
    )


def left(home: Home, table: str, hours: int) -> list[Path]:
    """The data files on the disk that left a table at least so many hours ago."""
    from deltalake import DeltaTable

    folder = home.lake / table
    gone = DeltaTable(folder).vacuum(retention_hours=hours, dry_run=True, enforce_retention_duration=False)
    return [folder / path for path in gone]


def shorten_log(home: Home, table: str) -> None:
    """Sum up the log of a table, so that opening it stays quick, and drop what is long past of it."""
    from deltalake import DeltaTable

    delta = DeltaTable(home.lake / table)
    delta.create_checkpoint()
    delta.cleanup_metadata()


def pruned_before(home: Home) -> str:
    """The first UTC day whose records the lake may hold; empty if it never was pruned."""
    try:
        return (home.lake / PRUNED).read_text()
    except FileNotFoundError:
        return ""


def prune(home: Home, before: str) -> None:
    """Remove the records of all UTC days before one, and take none of them from now on; call it under the lock."""
    if before > pruned_before(home):
        beside = home.lake / f"{PRUNED}.tmp"
        beside.write_text(before)
        beside.rename(home.lake / PRUNED)
    _finish_pruning(home)


def _finish_pruning(home: Home) -> None:
    before = pruned_before(home)
    for table in RECORD_TABLES if before else ():
        gone = [os.path.relpath(file.path, home.lake / table) for file in _now(home, table) if file.day < before]
        if gone:
            _write(home.lake / table, table, _removals(gone, time.time_ns() // 1_000_000, changes=True))


def _statistics(addition: Addition) -> str:
    lowest = {"load_id": addition.first_load} if addition.first_load else {}
    highest = {"load_id": addition.last_load} if addition.first_load else {}
    nulls = dict.fromkeys(addition.absent, addition.rows)
    return json.dumps({"numRecords": addition.rows, "minValues": lowest, "maxValues": highest, "nullCount": nulls})
