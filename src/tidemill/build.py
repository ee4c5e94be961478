"""Which partitions are stale, and building them: stale is what was made of something else than there is now."""

from __future__ import annotations

import hashlib
import shutil
import time
import uuid
from collections import Counter
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import duckdb

from tidemill import catalog, clock, lake, publish
from tidemill.engines import duckdb as engine
from tidemill.engines import relations
from tidemill.engines.quoting import identifier, literal, literals
from tidemill.errors import TableError
from tidemill.records import CONTRACTS

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.catalog import Table
    from tidemill.home import Home
    from tidemill.lake import DataFile, Snapshot
    from tidemill.publish import Manifest, TableState
    from tidemill.settings import Settings

ALL = "all"


@dataclass(frozen=True)
class Built:
    """One table's share of a build: its stale partitions, rows written and seconds."""

    table: str
    partitions: tuple[str, ...]
    rows: int
    seconds: float


@dataclass
class Build:
    """A build that is going on: what the lake holds, what is published, and what has been built so far."""

    home: Home
    settings: Settings
    lake: Snapshot
    before: Manifest
    connection: DuckDBPyConnection
    folder: Path
    as_of: datetime
    asked: bool
    full: bool
    run_id: str
    records: dict[str, dict[str, dict[str, str]]] = field(default_factory=dict)
    states: dict[str, TableState] = field(default_factory=dict)
    built: list[Built] = field(default_factory=list)

    @property
    def changed(self) -> bool:
        """Whether there is something to publish: a table, or what readers see of the lake."""
        files = {table: [file.path for file in self.lake.of(table)] for table in lake.TABLES}
        same = {name: state.files for name, state in self.states.items()}
        return (
            publish.digest(files) != self.before.lake_digest
            or same != {name: state.files for name, state in self.before.tables.items()}
            or self.before.home != str(self.home.path)
        )


@contextmanager
def begin(
    home: Home, settings: Settings, *, as_of: datetime | str | None = None, full: bool = False
) -> Iterator[Build]:
    """Start a build: it holds the tables alone, over the lake as it is now; `as_of` may be `latest`."""
    with home.lock("tables"):
        with home.lock("lake"):
            lake.prepare(home)
            snapshot = lake.snapshot(home)
        folder = home.tables / f"building-{uuid.uuid4().hex}"
        home.make(folder)
        connection = engine.connect(
            timezone=settings.timezone,
            memory_limit=settings.memory_limit,
            threads=settings.threads,
            temp_directory=folder,
        )
        try:
            before = publish.current(home)
            build = Build(
                home=home,
                settings=settings,
                lake=snapshot,
                before=before,
                connection=connection,
                folder=folder,
                as_of=_moment(connection, snapshot, as_of),
                asked=as_of is not None,
                full=full,
                run_id=uuid.uuid4().hex,
            )
            build.records = _records(build)
            build.states = {name: state for name, state in before.tables.items() if name in catalog.tables()}
            yield build
        finally:
            connection.close()
            shutil.rmtree(folder, ignore_errors=True)


def _moment(connection: DuckDBPyConnection, snapshot: Snapshot, as_of: datetime | str | None) -> datetime:
    if isinstance(as_of, datetime):
        return as_of.astimezone(UTC)
    newest = None
    if as_of == "latest":
        selects = [
            f"SELECT max({'observed_at' if c.table == 'jobs' else c.day_of}) AS t FROM read_parquet({literals(paths)})"
            for c in CONTRACTS.values()
            if (paths := snapshot.paths(c.table))
        ]
        if selects:
            newest = connection.execute(f"SELECT max(t) FROM ({' UNION ALL '.join(selects)})").fetchall()[0][0]
    return newest.astimezone(UTC) if newest else datetime.now(UTC)


def _records(build: Build) -> dict[str, dict[str, dict[str, str]]]:
    """For each record kind and UTC day: what its files are, and the digest of its sorted (load_id, rows)."""
    return {table: _digests(build, table) for table in lake.RECORD_TABLES}


def _digests(build: Build, table: str) -> dict[str, dict[str, str]]:
    days: dict[str, list[DataFile]] = {}
    for file in build.lake.of(table):
        days.setdefault(file.day, []).append(file)
    before = build.before.lake.get(table, {})
    found = {}
    for day, files in sorted(days.items()):
        names = publish.digest([file.path.rpartition("/lake/")[2] for file in files])
        same = day in before and before[day]["files"] == names
        records = before[day]["records"] if same else publish.digest(_loads(build.connection, files))
        found[day] = {"files": names, "records": records}
    return found


def _loads(connection: DuckDBPyConnection, files: Sequence[DataFile]) -> list[tuple[str, int]]:
    """The sorted (load_id, rows) of some files; only those of several loads are read."""
    rows: Counter[str] = Counter()
    for file in files:
        if file.first_load == file.last_load:
            rows[file.first_load] += file.rows
    mixed = [file.path for file in files if file.first_load != file.last_load]
    if mixed:
        found = connection.execute(f"SELECT load_id, count(*) FROM read_parquet({literals(mixed)}) GROUP BY ALL").fetchall()
        rows.update(dict(found))
    return sorted(rows.items())


def stale(build: Build, table: Table) -> dict[str, str]:
    """The partitions of a table that must be built, each with its fingerprint."""
    wanted = _fingerprints(build, table)
    state = build.states.get(table.name)
    known = state.partitions if state else {}
    if build.full:
        return wanted
    return {value: mark for value, mark in wanted.items() if value not in known or known[value]["fingerprint"] != mark}


def _fingerprints(build: Build, table: Table) -> dict[str, str]:
    common = [table.select, engine.macros(build.settings.timezone), build.settings.timezone]
    if table.partition == "day":
        return {day: publish.digest([*common, _made_of(build, table, day)]) for day in _days(build, table)}
    if table.partition == "window":
        return {f"{hours}h": _window_fingerprint(build, table, hours, common) for hours in table.windows}
    return {ALL: publish.digest([*common, {name: _marks(build, name) for name in sorted(table.reads)}])}


def _days(build: Build, table: Table) -> list[str]:
    days = {day for kind in table.records for day in build.records[kind]}
    found = set(clock.reporting_days(days, build.settings.timezone))
    for name in table.reads & build.states.keys():
        found |= set(build.states[name].partitions)
    return sorted(found)


def _made_of(build: Build, table: Table, day: str) -> list[object]:
    days = clock.lake_days(day, build.settings.timezone)
    records = [(kind, d, build.records[kind][d]["records"]) for kind in table.records for d in days if d in build.records[kind]]
    return [records, {name: marks.get(day) for name in sorted(table.reads) if (marks := _marks(build, name))}]


def _marks(build: Build, name: str) -> Mapping[str, str]:
    """The fingerprints of the partitions of a table that another reads."""
    state = build.states.get(name)
    return {value: str(partition["fingerprint"]) for value, partition in state.partitions.items()} if state else {}


def _window_fingerprint(build: Build, table: Table, hours: int, common: Sequence[object]) -> str:
    """The fingerprint at the moment that stands, if it is fresh enough and none was asked for; else at the run's."""
    state = build.states.get(table.name)
    known = state.partitions.get(f"{hours}h") if state else None
    refresh = timedelta(minutes=build.settings.windows.refresh_minutes)
    if known and not build.asked and not build.full:
        then = datetime.fromisoformat(str(known["as_of"]))
        mark = _mark_at(build, table, hours, then, common)
        if timedelta(0) <= build.as_of - then < refresh and mark == known["fingerprint"]:
            return mark
    return _mark_at(build, table, hours, build.as_of, common)


def _mark_at(build: Build, table: Table, hours: int, as_of: datetime, common: Sequence[object]) -> str:
    days = clock.window_days(as_of, hours)
    records = [(kind, d, build.records[kind][d]["records"]) for kind in table.records for d in days if d in build.records[kind]]
    return publish.digest([*common, hours, as_of.isoformat(), records])


def build_table(build: Build, name: str) -> Built | None:
    """Build the stale partitions of one table; None when none is. TableError says what its select did wrong."""
    table = catalog.table(name)
    started = time.monotonic()
    todo = stale(build, table)
    if not todo and name in build.states:
        return None
    state = build.states.get(name) or publish.TableState()
    try:
        files, rows = _write(build, table, todo, state)
    except duckdb.Error as error:
        message = f"table {name} cannot be built: {str(error).splitlines()[0]}"
        raise TableError(message) from error
    seconds = time.monotonic() - started
    made = {
        value: {
            "fingerprint": mark,
            "rows": rows.get(value, 0),
            "seconds": seconds * (1 / max(1, len(todo))),
            "built_at": datetime.now(UTC).isoformat(),
            "run_id": build.run_id,
            **({"as_of": build.as_of.isoformat()} if table.partition == "window" else {}),
        }
        for value, mark in todo.items()
    }
    build.states[name] = publish.TableState({**state.partitions, **made}, files)
    built = Built(name, tuple(sorted(todo)), sum(rows.values()), seconds)
    build.built.append(built)
    return built


def _write(
    build: Build, table: Table, todo: Mapping[str, str], state: TableState
) -> tuple[dict[str, str], dict[str, int]]:
    if table.partition == "day":
        return _write_days(build, table, todo, state)
    if table.partition == "window":
        return _write_windows(build, table, todo, state)
    _bind_tables(build, table, None)
    path = build.folder / f"{table.name}.parquet"
    count = _copy(build, f"SELECT * FROM ({table.select}\n) ORDER BY {', '.join(table.sort)}", path)
    return {ALL: _settle_name(path, ALL)}, {ALL: count}


def _write_days(
    build: Build, table: Table, todo: Mapping[str, str], state: TableState
) -> tuple[dict[str, str], dict[str, int]]:
    """Build stale days a month at a time, each month one file; the other days of it are taken as they stand."""
    files, rows = dict(state.files), dict.fromkeys(todo, 0)
    months: dict[str, list[str]] = {}
    for day in sorted(todo):
        months.setdefault(day[:7], []).append(day)
    if not months:
        months = {publish.EMPTY: []}
    column = identifier(table.partition_column)
    partition = column if table.partition_column == "day" else f"local_day({column})"
    for month, days in months.items():
        _bind_days(build, table, days)
        kept = [day for day in state.partitions if day[:7] == month and day not in todo]
        before = [str(_file(build, table.name, files[month]))] if kept and month in files else []
        path = build.folder / f"{table.name}-{month}.parquet"
        _copy(build, relations.merged(table.select + "\n", partition, table.sort, before, days), path)
        files[month] = _settle_name(path, month)
        counted = f"SELECT {partition}::VARCHAR, count(*) FROM {relations.read(build.folder / files[month])} GROUP BY ALL"
        found = dict(build.connection.execute(counted).fetchall())
        rows |= {day: int(found.get(day, 0)) for day in days}
    if len(files) > 1:
        files.pop(publish.EMPTY, None)
    return files, rows


def _write_windows(
    build: Build, table: Table, todo: Mapping[str, str], state: TableState
) -> tuple[dict[str, str], dict[str, int]]:
    files, rows = dict(state.files), {}
    as_of = build.as_of
    for value in todo:
        hours = int(value.removesuffix("h"))
        days = clock.window_days(as_of, hours)
        for kind in table.records:
            contract = next(c for c in CONTRACTS.values() if c.table == kind)
            where = relations.in_window(contract.day_of, as_of=as_of.isoformat(), hours=hours)
            relations.bind_records(build.connection, kind, build.lake.paths(kind, days), where)
        result = engine.run(build.connection, table.select, {"window_hours": hours, "as_of": as_of}).to_arrow_table()
        build.connection.register("result", result)
        path = build.folder / f"{table.name}-{value}.parquet"
        rows[value] = _copy(build, f"SELECT * FROM result ORDER BY {', '.join(table.sort)}", path)
        build.connection.unregister("result")
        files[value] = _settle_name(path, value)
    return files, rows


def _bind_days(build: Build, table: Table, days: Iterable[str]) -> None:
    days = list(days)
    touched = sorted({d for day in days for d in clock.lake_days(day, build.settings.timezone)})
    for kind in table.records:
        contract = next(c for c in CONTRACTS.values() if c.table == kind)
        where = "true" if build.settings.timezone == "UTC" else relations.in_days(contract.day_of, days)
        relations.bind_records(build.connection, kind, build.lake.paths(kind, touched), where)
    _bind_tables(build, table, days)


def _bind_tables(build: Build, table: Table, days: Sequence[str] | None) -> None:
    """Bind the tables that a table reads: of the same days, or whole."""
    for name in table.reads:
        if name == catalog.PRICES:
            relations.bind(build.connection, name, relations.prices(build.home.path / "prices.csv"))
        elif name in build.states:
            files = [str(_file(build, name, file)) for file in build.states[name].files.values()]
            select = relations.published(files)
            other = catalog.table(name)
            if days is not None and other.partition == "day":
                select = f"SELECT * FROM ({select}) WHERE {relations.in_days(other.partition_column, days)}"
            relations.bind(build.connection, name, select)


def _file(build: Build, table: str, file: str) -> Path:
    """A table's file: of this build, or of the snapshot before."""
    fresh = build.folder / file
    return fresh if fresh.exists() else build.before.folder / table / file


def _copy(build: Build, select: str, path: Path) -> int:
    found = build.connection.execute(f"COPY ({select}) TO {literal(path)} (FORMAT parquet)").fetchall()
    return int(found[0][0])


def _settle_name(path: Path, period: str) -> str:
    """Give a file the name that its content has earned, so that no name is ever given to other bytes."""
    with path.open("rb") as file:
        content = hashlib.file_digest(file, "sha256").hexdigest()
    name = f"{period}-{content[:24]}.parquet"
    path.rename(path.parent / name)
    return name


def run(
    home: Home,
    settings: Settings,
    *,
    names: Sequence[str] = (),
    as_of: datetime | str | None = None,
    full: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Built]:
    """Build what is stale of all tables, or of some and what they read, and publish it all at once."""
    wanted = _with_inputs(names)
    with begin(home, settings, as_of=as_of, full=full) as build:
        for number, name in enumerate(wanted):
            if progress:
                progress(name, number, len(wanted))
            build_table(build, name)
        if progress:
            progress("publish", len(wanted), len(wanted))
        finish(build)
        return build.built


def finish(build: Build) -> str | None:
    """Publish what was built, if anything changed; returns the snapshot's id."""
    return publish.publish(build) if build.changed else None


def _with_inputs(names: Sequence[str]) -> list[str]:
    everything = catalog.tables()
    if not names:
        return list(everything)
    wanted, todo = set(), [catalog.table(name).name for name in names]
    while todo:
        name = todo.pop()
        if name not in wanted:
            wanted.add(name)
            todo += everything[name].reads & everything.keys()
    return [name for name in everything if name in wanted]

