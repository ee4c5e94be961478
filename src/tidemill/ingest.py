"""Source → records → lake: staging side by side with anything, settling and committing under the lake's lock."""

from __future__ import annotations

import difflib
import json
import shutil
import uuid
from contextlib import ExitStack, suppress
from dataclasses import asdict, dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from tidemill import formats, lake
from tidemill.engines import checking, contract, relations, staging
from tidemill.engines.duckdb import connect
from tidemill.engines.load import identity, of_portion
from tidemill.engines.settlement import settle
from tidemill.errors import TidemillError, UsageError
from tidemill.settings import Source, expanded
from tidemill.sources import files

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from duckdb import DuckDBPyConnection

    from tidemill.engines.load import Load
    from tidemill.formats import Format
    from tidemill.home import Home
    from tidemill.settings import Settings

FILES: Final = "files"
"""The source of files that are named on the command line."""
ROWS_A_COMMIT: Final = 2_000_000
LOADS_A_COMMIT: Final = 500


@dataclass
class Report:
    """What an ingest did with one source: the ledger's rows of its loads, and what was no load."""

    source: str
    loads: list[dict[str, object]] = field(default_factory=list)
    unchanged: int = 0
    empty: list[str] = field(default_factory=list)
    failures: list[TidemillError] = field(default_factory=list)

    def total(self, column: str) -> int:
        """The sum of one of the ledger's counts."""
        return sum(int(str(load[column])) for load in self.loads)


def ingest(
    home: Home,
    settings: Settings,
    found: Sequence[Source],
    *,
    reread: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Report]:
    """Ingest sources one after the other; a file that cannot be used is reported and the others go on.

    `progress` is called with (source, files done, files in all).
    """
    run = _Run(home, settings, reread=reread, progress=progress)
    reports = [run.ingest(source) for source in found]
    if sum(report.total("accepted") for report in reports):
        from tidemill.quarantine import retry_unknown_jobs

        reports += retry_unknown_jobs(home, settings)
    return reports


@dataclass
class _Run:
    """One ingest: the connection and the known loads are made when a first file has something new."""

    home: Home
    settings: Settings
    reread: bool
    progress: Callable[[str, int, int], None] | None
    begun: set[str] = field(default_factory=set)

    @cached_property
    def connection(self) -> DuckDBPyConnection:
        return open_connection(self.home, self.settings)

    @cached_property
    def done(self) -> set[str]:
        with self.home.lock("lake"):
            lake.prepare(self.home)
            ledger = lake.snapshot(self.home).paths("loads")
        return set(relations.rows_by_load(self.connection, ledger)) if ledger else set()

    def ingest(self, source: Source) -> Report:
        """Load what is new in the files of one source."""
        report = Report(source.name)
        try:
            form = formats.load(source.format, self.home.path)
        except UsageError as error:
            report.failures.append(error)
            return report
        paths = self._found(source, report)
        memory = _Memory(self.home, source.name)
        batch: list[Load] = []
        for number, path in enumerate(paths):
            self._say(source, number, paths)
            try:
                load = self._staged(source, form, path, memory, report)
            except TidemillError as error:
                report.failures.append(error)
                continue
            if load is None:
                continue
            if load.large or (batch and batch[-1].large) or _full(batch):
                self._commit(batch, memory, report)
            batch.append(load)
        self._commit(batch, memory, report)
        self._say(source, len(paths), paths)
        return report

    def _found(self, source: Source, report: Report) -> list[Path]:
        """The files of a source; a name of nothing is a failure beside the others."""
        found: dict[Path, None] = {}
        for path in source.path:
            try:
                found |= dict.fromkeys(files.find([expanded(path, self.home.path)]))
            except UsageError as error:
                report.failures.append(error)
        return list(found)

    def _say(self, source: Source, number: int, paths: Sequence[Path]) -> None:
        if self.progress:
            self.progress(source.name, number, len(paths))

    def _commit(self, batch: list[Load], memory: _Memory, report: Report) -> None:
        if batch:
            report.loads += commit(self.home, self.connection, batch)
            memory.keep(batch)
            self.done |= self.begun
            self.begun.clear()
            batch.clear()

    def _staged(self, source: Source, form: Format, path: Path, memory: _Memory, report: Report) -> Load | None:
        """A file's new portion as a staged load; None when there is nothing new in it."""
        last = memory.of(path)
        signature = identity(source, "", form)
        if not self.reread and last and last.format == signature and files.unchanged(path, last):
            report.unchanged += 1
            return None
        portion = files.portion(path, signature, form.path_parts, last)
        if portion is None:
            if path.stat().st_size:
                report.unchanged += 1
            else:
                report.empty.append(str(path))
            return None
        load = of_portion(source, form, portion, self.home.staging)
        if load.load_id in self.begun:
            report.unchanged += 1
            return None
        if not load.bytes or load.load_id in self.done:
            report.unchanged += 1
            memory.keep([load])
            return None
        try:
            staging.stage(self.connection, load)
            staging.stage_head(self.connection, load)
        except BaseException:
            shutil.rmtree(load.folder, ignore_errors=True)
            raise
        self.begun.add(load.load_id)
        return load


def _full(batch: Sequence[Load]) -> bool:
    return sum(load.rows for load in batch) >= ROWS_A_COMMIT or len(batch) >= LOADS_A_COMMIT


def open_connection(home: Home, settings: Settings) -> DuckDBPyConnection:
    """A connection on which loads can be staged and settled."""
    home.make(home.staging)
    connection = connect(
        timezone=None, memory_limit=settings.memory_limit, threads=settings.threads, temp_directory=home.staging
    )
    connection.execute(contract.MACROS)
    checking.tune(connection)
    return connection


def commit(home: Home, connection: DuckDBPyConnection, batch: Sequence[Load]) -> list[dict[str, object]]:
    """Settle staged loads and append them to the lake as one commit; returns the ledger's new rows."""
    if not batch:
        return []
    settled = home.staging / uuid.uuid4().hex
    with ExitStack() as staged:
        for folder in (settled, *(load.folder for load in batch)):
            staged.callback(shutil.rmtree, folder, ignore_errors=True)
        with home.lock("lake"):
            lake.prepare(home)
            begun = lake.finished(home, [load.load_id for load in batch])
            fresh = [load for load in batch if load.load_id not in begun]
            if not fresh:
                return []
            additions, ledger = settle(connection, lake.snapshot(home), fresh, settled)
            if additions:
                journaled = staged.pop_all()  # whatever happens now: what the journal names must stay until it is done
                lake.commit(home, [str(row["load_id"]) for row in ledger], additions)
                journaled.close()
            return ledger


class _Memory:
    """What is remembered of each file's last load: a shortcut only, a lost one costs a reading and nothing else."""

    def __init__(self, home: Home, source: str) -> None:
        self._file = home.lake / f"seen-{uuid.uuid5(uuid.NAMESPACE_URL, source).hex}.json"
        self._seen: dict[str, files.Seen] = {}
        with suppress(OSError, ValueError, TypeError):
            self._seen = {path: files.Seen(**seen) for path, seen in json.loads(self._file.read_text()).items()}

    def of(self, path: Path) -> files.Seen | None:
        return self._seen.get(str(path))

    def keep(self, loads: Sequence[Load]) -> None:
        if not loads:
            return
        self._seen |= {load.uri: load.portion.seen for load in loads if load.portion}
        beside = self._file.with_suffix(f".{uuid.uuid4().hex}.tmp")
        beside.write_text(json.dumps({path: asdict(seen) for path, seen in self._seen.items()}))
        beside.rename(self._file)


def sources(
    settings: Settings, names: Sequence[str], *, source: str | None = None, **given: str | None
) -> list[Source]:
    """The configured sources of those names, or all; other names are files, of the source `files` or the one named.

    What is `given` (record, format, timezone) holds for files; of a configured source it replaces the setting.
    """
    values = {key: value for key, value in given.items() if value is not None}
    if values.get("format", "").endswith(".sql"):
        values["format"] = str(Path(values["format"]).expanduser().absolute())
    if not names:
        if source and source not in settings.sources:
            raise UsageError.unknown("source", source, settings.sources)
        return [_with(settings.sources[name], values) for name in ([source] if source else settings.sources)]
    configured = [name for name in names if name in settings.sources]
    for name in names:
        if name not in settings.sources and _is_near(name, settings.sources):
            raise UsageError.unknown("source", name, settings.sources)
    paths = [str(Path(name).expanduser().absolute()) for name in names if name not in settings.sources]
    found = [_with(settings.sources[name], values) for name in configured]
    if paths:
        known = settings.sources.get(source or "")
        like = known.model_dump(exclude={"path"}) if known else {"name": source or FILES}
        found.append(_with(Source(**like, path=paths), values))
    return found


def _is_near(name: str, known: Iterable[str]) -> bool:
    """Whether a name is rather a source's, mistyped, than a file's: a plain word that no file has for a name."""
    return name.isidentifier() and not Path(name).exists() and bool(difflib.get_close_matches(name, known, cutoff=0.5))


def _with(source: Source, values: dict[str, str]) -> Source:
    try:
        return source.given_besides(values)
    except ValidationError as error:
        fault = error.errors()[0]
        raise UsageError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
