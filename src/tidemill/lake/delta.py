"""The lake's tables as Delta tables: what the newest commit of one holds, and writing one more."""

from __future__ import annotations

import json
import os
import time
from contextlib import contextmanager, suppress
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any, Final

from tidemill.errors import DamagedError, LakeError
from tidemill.home import disk_errors
from tidemill.home.fsync import sync, sync_files
from tidemill.lake import log_checksums
from tidemill.lake.schema import DAY, RECORD_TABLES, TABLES, Addition, DataFile, schema, statistics_of

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from deltalake import DeltaTable
    from deltalake.transaction import AddAction, RemoveAction


STATISTICS: Final = "delta.dataSkippingStatsColumns"
UNNAMED: Final = "#"
"""Stands in the name of an entry of the log that is being written, and in no other."""
LAST_CHECKPOINT: Final = "_last_checkpoint"
NULLS: Final = "null_count."
"""How the log's statistics begin that say how many rows have no value."""


def create(folder: Path, table: str) -> None:
    """Make a table that is not there."""
    from deltalake import DeltaTable

    folder.mkdir(exist_ok=True)  # where the disk refuses, we are told so; Delta only says that it could not
    partition = [DAY] if table in RECORD_TABLES else None
    configuration: dict[str, str | None] = {STATISTICS: statistics_of(table)}
    DeltaTable.create(
        folder, schema(table), mode="ignore", name=table, partition_by=partition, configuration=configuration
    )
    log_checksums.seal(folder)


def sweep(folder: Path) -> None:
    """Remove entries of the log that who was killed was about to name; call it under the lake's lock."""
    log = folder / "_delta_log"
    names = os.listdir(log) if log.is_dir() else []  # noqa: PTH208
    for name in names:
        if UNNAMED in name:
            (log / name).unlink()


def files(folder: Path, table: str) -> tuple[DataFile, ...]:
    """The files of a table as of its newest commit; opened anew only when there is another.

    Raises:
        LakeError: its log cannot be read.
        DamagedError: its log is not the one that was written.
    """
    return _files(folder, table, *_newest(folder))


def version(folder: Path) -> int:
    """The number of a table's newest commit."""
    return int(_newest(folder)[0].partition(".")[0] or -1)


def files_at(folder: Path, table: str, version: int) -> tuple[DataFile, ...]:
    """The files of a table as of an earlier commit, for as long as its log still tells of it.

    Raises:
        LakeError: it does not.
        DamagedError: its log is not the one that was written.
    """
    return _files_at(folder, table, version, *_newest(folder))


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
    if faults := log_checksums.faults(folder):
        raise DamagedError(faults)
    log_checksums.seal(folder)
    return _files_of(_open(folder), folder, table)


@lru_cache(maxsize=len(TABLES) * 2)
def _files_at(folder: Path, table: str, version: int, _name: str, _inode: int, _changed: int) -> tuple[DataFile, ...]:
    if faults := log_checksums.faults(folder):
        raise DamagedError(faults)
    return _files_of(_open(folder, version), folder, table)


def _files_of(delta: DeltaTable, folder: Path, table: str) -> tuple[DataFile, ...]:
    import pyarrow as pa

    actions = pa.table(delta.get_add_actions(flatten=True))
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
        columns["size_bytes"],
        columns["modification_time"],
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
            size=size,
            modified=modified,
            day=str(day) if table in RECORD_TABLES else "",
            first_load=first or "",
            last_load=last or "",
            absent=without,
        )
        for path, count, size, modified, day, first, last, without in rows
    )
    return tuple(sorted(found, key=lambda file: file.path))


def _open(folder: Path, version: int | None = None) -> DeltaTable:
    from deltalake import DeltaTable
    from deltalake.exceptions import DeltaError

    try:
        return DeltaTable(folder, version=version)
    except (DeltaError, OSError) as error:
        disk_errors.check(error, folder)
        raise LakeError(f"the lake's table {folder} cannot be read: {str(error).splitlines()[0]}") from error


def log_files(folder: Path) -> list[Path]:
    """The files of a table's log that are needed to open it: its last checkpoint, and what came since."""
    log = folder / log_checksums.LOG
    since = 0
    with suppress(FileNotFoundError):
        since = int(json.loads((log / LAST_CHECKPOINT).read_text())["version"])
    names = (entry.name for entry in os.scandir(log) if entry.is_file())
    return [log / name for name in sorted(names) if name == LAST_CHECKPOINT or name >= f"{since:020}"]


@contextmanager
def _writing(folder: Path, beside: Path | None) -> Iterator[Path]:
    """Where to write to the log of a table: to itself, or to a copy in a folder beside the tables.

    What is written to a copy gets its name in the log when the disk has it, in order: the library waits for no disk.
    What came to the log is sealed.
    """
    if beside is None:
        yield folder
    else:
        log = folder / log_checksums.LOG
        with TemporaryDirectory(dir=beside) as place:
            copy = Path(place, log_checksums.LOG)
            copy.mkdir()
            for file in log_files(folder):
                (copy / file.name).hardlink_to(file)
            yield Path(place)
            made = [file for file in sorted(copy.iterdir()) if not _same(file, log / file.name)]
            for file in made:
                sync(file)
            for file in sorted(made, key=lambda file: file.name == LAST_CHECKPOINT):
                file.rename(log / file.name)
                sync(log)
    log_checksums.seal(folder, durable=beside is not None)


def _same(file: Path, other: Path) -> bool:
    return other.exists() and file.samefile(other)


def append(
    folder: Path,
    table: str,
    ids: Sequence[str],
    additions: Sequence[Addition],
    removed: Sequence[str] = (),
    *,
    beside: Path | None = None,
) -> None:
    """Append staged files to a table, once: in the place of others, which changes no data, if some are removed.

    With a folder `beside` the tables nothing is named before the disk has it.
    """
    from deltalake.transaction import AddAction

    if not additions:
        return
    files(folder, table)  # a log that lost its end must not be written on
    delta = _open(folder)
    if delta.transaction_version(ids[0]) is not None:
        return
    if delta.metadata().configuration.get(STATISTICS) != statistics_of(table):  # an older version's, which tells less
        with _writing(folder, beside) as place:
            _open(place).alter.set_table_properties({STATISTICS: statistics_of(table)})
    for addition in additions:
        target = folder / addition.path
        if not target.exists():
            target.parent.mkdir(exist_ok=True)
            os.rename(addition.staged, target)  # noqa: PTH104
    if beside:
        sync_files([folder / addition.path for addition in additions], folder)
    now, changes = time.time_ns() // 1_000_000, not removed
    added = [
        AddAction(a.path, a.size, {DAY: a.day} if a.day else {}, _modified(folder / a.path), changes, _statistics(a))
        for a in additions
    ]
    _write(folder, table, [*added, *_removals(removed, now, changes=changes)], ids, beside=beside)


def _modified(path: Path) -> int:
    return path.stat().st_mtime_ns // 1_000_000


def remove(folder: Path, table: str, paths: Sequence[str], *, beside: Path | None = None) -> None:
    """Remove files, by their paths within a table, and what they hold; `beside` as of `append`."""
    _write(folder, table, _removals(paths, time.time_ns() // 1_000_000, changes=True), beside=beside)


def _removals(paths: Iterable[str], now: int, *, changes: bool) -> list[RemoveAction]:
    from deltalake.transaction import RemoveAction

    return [RemoveAction(path, changes, now, None, _partition(path)) for path in paths]


def _partition(path: str) -> dict[str, str | None]:
    folder, _, file = path.rpartition("/")
    return {DAY: folder.removeprefix(f"{DAY}=")} if file and folder else {}


def _write(
    folder: Path,
    table: str,
    actions: Sequence[AddAction | RemoveAction],
    ids: Sequence[str] = (),
    *,
    beside: Path | None,
) -> None:
    from deltalake.transaction import CommitProperties, Transaction

    transactions = [Transaction(app_id=load_id, version=1) for load_id in ids]
    with _writing(folder, beside) as place:
        _open(place).create_write_transaction(
            list(actions),
            mode="append",
            schema=schema(table),
            partition_by=[DAY] if table in RECORD_TABLES else None,
            commit_properties=CommitProperties(app_transactions=transactions),
        )


def _statistics(addition: Addition) -> str:
    lowest = {"load_id": addition.first_load} if addition.first_load else {}
    highest = {"load_id": addition.last_load} if addition.first_load else {}
    nulls = dict.fromkeys(addition.absent, addition.rows)
    return json.dumps({"numRecords": addition.rows, "minValues": lowest, "maxValues": highest, "nullCount": nulls})


def on_disk(folder: Path, table: str) -> list[Path]:
    """Every data file that lies in the folder of a table, in the table or not."""
    return sorted(folder.glob(f"{DAY}=*/*.parquet" if table in RECORD_TABLES else "*.parquet"))


def shorten_log(folder: Path, *, beside: Path | None = None) -> None:
    """Sum up the log of a table, so that opening it stays quick, and drop what is long past of it; as `append`."""
    newest = f"{_open(folder).version():020}"
    if not (folder / log_checksums.LOG / f"{newest}.checkpoint.parquet").exists():  # what is sealed stays as it is
        with _writing(folder, beside) as place:
            _open(place).create_checkpoint()
    _open(folder).cleanup_metadata()
    if log_checksums.beside(folder).exists():
        log_checksums.renew(folder)
