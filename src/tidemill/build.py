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
from typing import TYPE_CHECKING, Final

import duckdb

from tidemill import catalog, clock, lake, publish
from tidemill.engines import duckdb as engine
from tidemill.engines import relations
from tidemill.errors import TableError, UsageError
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

ALL: Final = "all"
LATEST: Final = "latest"


@dataclass(frozen=True)
class Mark:
    """What a partition is made of: the digests of its select, of its records, and of the tables that it reads."""

    select: str
    records: str
    tables: str
    as_of: str = ""

    @property
    def fingerprint(self) -> str:
        """One digest of it all: a partition is rebuilt exactly when it differs from the one it was built with."""
        return publish.digest([self.select, self.records, self.tables, self.as_of])

    def differs(self, known: Mapping[str, object] | None) -> str:
        """Why a partition that was built with other marks, or never, is stale; empty when it is fresh."""
        if known is None:
            return "new"
        names = {"select": "its SQL or a setting changed", "records": "its records changed", "tables": "a table that it reads changed"}
        return "; ".join(why for name, why in names.items() if known.get(name) != getattr(self, name)) or (
            "" if known["fingerprint"] == self.fingerprint else "its moment passed"
        )


@dataclass(frozen=True)
class TableStatus:
    """A table as it stands: partitions, how many of them are stale and why, rows, and when it was last built."""

    table: str
    partitions: int
    stale: int
    why: str
    rows: int
    built_at: str


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
    if as_of is None:
        return datetime.now(UTC)
    if as_of == LATEST:
        newest = relations.newest(connection, {table: snapshot.paths(table) for table in lake.RECORD_TABLES})
        return newest.astimezone(UTC) if newest else datetime.now(UTC)
    try:
        moment = datetime.fromisoformat(as_of)
    except ValueError:
        raise UsageError(f"as-of takes a time like 2026-02-10T18:00Z, or {LATEST}; not {as_of}") from None
    return moment.replace(tzinfo=moment.tzinfo or UTC).astimezone(UTC)


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
        rows.update(relations.rows_by_load(connection, mixed))
    return sorted(rows.items())


def stale(build: Build, table: Table) -> dict[str, Mark]:
    """The partitions of a table that must be built, each with its marks."""
    state = build.states.get(table.name)
    known = state.partitions if state else {}
    marks = _marks(build, table)
    return {value: mark for value, mark in marks.items() if build.full or mark.differs(known.get(value))}


def _marks(build: Build, table: Table) -> dict[str, Mark]:
    """What each partition of a table would be made of now."""
    text = [table.select, engine.macros(build.settings.timezone), build.settings.timezone]
    if catalog.PRICES in table.reads:
        prices = build.home.path / "prices.csv"
        text.append(prices.read_text(encoding="utf-8") if prices.exists() else "")
    select = publish.digest(text)
    if table.partition == "day":
        return {day: _day_mark(build, table, day, select) for day in _days(build, table)}
    if table.partition == "window":
        return {f"{hours}h": _window_mark(build, table, hours, select) for hours in table.windows}
    tables = publish.digest({name: _built_with(build, name) for name in sorted(table.reads)})
    return {ALL: Mark(select, "", tables)}


def _days(build: Build, table: Table) -> list[str]:
    days = {day for kind in table.records for day in build.records[kind]}
    found = set(clock.reporting_days(days, build.settings.timezone))
    for name in table.reads & build.states.keys():
        found |= set(build.states[name].partitions)
    return sorted(found)


def _day_mark(build: Build, table: Table, day: str, select: str) -> Mark:
    records = _records_of(build, table, clock.lake_days(day, build.settings.timezone))
    tables = {name: found.get(day) for name in sorted(table.reads) if (found := _built_with(build, name))}
    return Mark(select, records, publish.digest(tables))


def _records_of(build: Build, table: Table, days: Sequence[str]) -> str:
    """The digest of the loads of some UTC days, of the records that a table reads."""
    return publish.digest(
        [(kind, day, build.records[kind][day]["records"]) for kind in table.records for day in days if day in build.records[kind]]
    )


def _built_with(build: Build, name: str) -> Mapping[str, str]:
    """The fingerprints of the partitions of a table that another reads."""
    state = build.states.get(name)
    return {value: str(partition["fingerprint"]) for value, partition in state.partitions.items()} if state else {}


def _window_mark(build: Build, table: Table, hours: int, select: str) -> Mark:
    """The marks at the moment that stands, if it is fresh enough and none was asked for; else at the run's."""
    state = build.states.get(table.name)
    known = state.partitions.get(f"{hours}h") if state else None
    refresh = timedelta(minutes=build.settings.windows.refresh_minutes)
    if known and not build.asked and not build.full:
        then = datetime.fromisoformat(str(known["as_of"]))
        mark = _window_mark_at(build, table, hours, select, then)
        if timedelta(0) <= build.as_of - then < refresh and not mark.differs(known):
            return mark
    return _window_mark_at(build, table, hours, select, build.as_of)


def _window_mark_at(build: Build, table: Table, hours: int, select: str, as_of: datetime) -> Mark:
    return Mark(select, _records_of(build, table, clock.window_days(as_of, hours)), "", as_of.isoformat())


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
            "fingerprint": mark.fingerprint,
            "select": mark.select,
            "records": mark.records,
            "tables": mark.tables,
            "rows": rows.get(value, 0),
            "seconds": seconds * (1 / max(1, len(todo))),
            "built_at": datetime.now(UTC).isoformat(),
            "run_id": build.run_id,
            **({"as_of": mark.as_of} if mark.as_of else {}),
        }
        for value, mark in todo.items()
    }
    build.states[name] = publish.TableState({**state.partitions, **made}, files)
    built = Built(name, tuple(sorted(todo)), sum(rows.values()), seconds)
    build.built.append(built)
    return built


def _write(
    build: Build, table: Table, todo: Mapping[str, Mark], state: TableState
) -> tuple[dict[str, str], dict[str, int]]:
    if table.partition == "day":
        return _write_days(build, table, todo, state)
    if table.partition == "window":
        return _write_windows(build, table, todo, state)
    _bind_tables(build, table, None)
    path = build.folder / f"{table.name}.parquet"
    count = relations.copy(build.connection, relations.ordered(table.select, table.sort), path)
    return {ALL: _settle_name(path, ALL)}, {ALL: count}


def _write_days(
    build: Build, table: Table, todo: Mapping[str, Mark], state: TableState
) -> tuple[dict[str, str], dict[str, int]]:
    """Build stale days a month at a time, each month one file; the other days of it are taken as they stand."""
    files, rows = dict(state.files), dict.fromkeys(todo, 0)
    months: dict[str, list[str]] = {}
    for day in sorted(todo):
        months.setdefault(day[:7], []).append(day)
    if not months:
        months = {publish.EMPTY: []}
    partition = relations.partition_day(table.partition_column)
    for month, days in months.items():
        _bind_days(build, table, days)
        kept = [day for day in state.partitions if day[:7] == month and day not in todo]
        before = [str(_file(build, table.name, files[month]))] if kept and month in files else []
        path = build.folder / f"{table.name}-{month}.parquet"
        relations.copy(build.connection, relations.merged(table.select, partition, table.sort, before, days), path)
        found = relations.rows_by_day(build.connection, path, partition)
        rows |= {day: found.get(day, 0) for day in days}
        files[month] = _settle_name(path, month)
    if len(files) > 1:
        files.pop(publish.EMPTY, None)
    return files, rows


def _write_windows(
    build: Build, table: Table, todo: Mapping[str, Mark], state: TableState
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
        rows[value] = relations.copy(build.connection, relations.ordered("FROM result", table.sort), path)
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
            other = catalog.table(name)
            only = days if other.partition == "day" else None
            relations.bind_table(build.connection, name, files, other.partition_column, only)


def _file(build: Build, table: str, file: str) -> Path:
    """A table's file: of this build, or of the snapshot before."""
    fresh = build.folder / file
    return fresh if fresh.exists() else build.before.folder / table / file


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
    wanted = with_inputs(names)
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


def plan(home: Home, settings: Settings, *, as_of: datetime | str | None = None, full: bool = False) -> list[tuple[str, str, str]]:
    """What a build would build: (table, partition, why); tables that read a stale one are named too."""
    found: list[tuple[str, str, str]] = []
    with begin(home, settings, as_of=as_of, full=full) as build:
        for table in catalog.tables().values():
            state = build.states.get(table.name)
            known = state.partitions if state else {}
            todo = stale(build, table)
            found += [(table.name, value, mark.differs(known.get(value)) or "--full") for value, mark in todo.items()]
            touched = sorted({name for name, *_ in found} & table.reads)
            if touched and table.partition == "none" and not todo:
                found.append((table.name, ALL, f"it reads {', '.join(touched)}"))
    return found


def status(home: Home, settings: Settings) -> list[TableStatus]:
    """What is fresh and what is stale, a row a table."""
    todo = plan(home, settings)
    before = publish.current(home)
    rows = []
    for name in catalog.tables():
        partitions = before.tables.get(name, publish.TableState()).partitions
        mine = [why for table, _, why in todo if table == name]
        rows.append(
            TableStatus(
                name,
                len(partitions),
                len(mine),
                ", ".join(sorted(set(mine))),
                sum(int(p["rows"]) for p in partitions.values()),
                max((str(p["built_at"]) for p in partitions.values()), default=""),
            )
        )
    return rows


def with_inputs(names: Sequence[str]) -> list[str]:
    """Tables of those names, or all, each after those that it reads."""
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

