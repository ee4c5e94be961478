"""Source → records → lake: staging side by side with anything, settling and committing under the lake's lock."""

from __future__ import annotations

import json
import shutil
import uuid
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from tidemill import formats, lake
from tidemill.engines import contract, relations, staging
from tidemill.engines.duckdb import connect
from tidemill.errors import TidemillError, UsageError
from tidemill.settings import Source, expanded
from tidemill.engines.settlement import settle
from tidemill.sources import files

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from duckdb import DuckDBPyConnection

    from tidemill.formats import Format
    from tidemill.home import Home
    from tidemill.settings import Settings
    from tidemill.engines.staging import Load

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
    sources: Sequence[Source],
    *,
    reread: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> list[Report]:
    """Ingest sources one after the other; a file that cannot be used is reported and the others go on.

    `progress` is called with (source, files done, files in all).
    """
    reports = [ingest_source(home, settings, source, reread=reread, progress=progress) for source in sources]
    born = sum(report.total("accepted") for report in reports)
    if born:
        from tidemill.quarantine import retry_unknown_jobs  # noqa: PLC0415 - it ingests, too

        reports += retry_unknown_jobs(home, settings)
    return reports


def ingest_source(
    home: Home,
    settings: Settings,
    source: Source,
    *,
    reread: bool = False,
    progress: Callable[[str, int, int], None] | None = None,
) -> Report:
    """Load what is new in the files of one source."""
    report = Report(source.name)
    try:
        form = formats.load(source.format, home.path)
        paths = files.find(expanded(path, home.path) for path in source.path)
    except UsageError as error:
        report.failures.append(error)
        return report
    memory = _Memory(home, source.name)
    connection = connect(memory_limit=settings.memory_limit, threads=settings.threads, temp_directory=home.staging)
    prepare(connection)
    with home.lock("lake"):
        lake.prepare(home)
        done = _done(connection, lake.snapshot(home))
    batch: list[Load] = []
    for number, path in enumerate(paths):
        if progress:
            progress(source.name, number, len(paths))
        try:
            load = _staged(connection, home, source, form, path, done, memory, report, reread=reread)
        except TidemillError as error:
            report.failures.append(error)
            continue
        if load:
            batch.append(load)
            done.add(load.load_id)
        if sum(load.rows for load in batch) >= ROWS_A_COMMIT or len(batch) >= LOADS_A_COMMIT:
            report.loads += commit(home, connection, batch)
            memory.keep(batch)
            batch = []
    report.loads += commit(home, connection, batch)
    memory.keep(batch)
    if progress:
        progress(source.name, len(paths), len(paths))
    return report


def _done(connection: DuckDBPyConnection, snapshot: lake.Snapshot) -> set[str]:
    ledger = snapshot.paths("loads")
    return set(relations.rows_by_load(connection, ledger)) if ledger else set()


def prepare(connection: DuckDBPyConnection) -> None:
    """Define what staging and settling need on a connection."""
    connection.execute(contract.MACROS)


def _staged(
    connection: DuckDBPyConnection,
    home: Home,
    source: Source,
    form: Format,
    path: Path,
    done: set[str],
    memory: _Memory,
    report: Report,
    *,
    reread: bool,
) -> Load | None:
    """A file's new portion as a staged load; None when there is nothing new in it."""
    last = memory.of(path)
    if not reread and last and last.format == _signature(form, source) and files.unchanged(path, last):
        report.unchanged += 1
        return None
    portion = files.portion(path, _signature(form, source), form.path_parts, last)
    if portion is None:
        report.empty.append(str(path))
        return None
    load = staging.of_portion(source, form, portion, home.staging)
    if load.load_id in done:
        report.unchanged += 1
        memory.keep([load])
        return None
    try:
        staging.stage(connection, load)
        staging.stage_head(connection, load)
    except BaseException:
        shutil.rmtree(load.folder, ignore_errors=True)
        raise
    return load


def _signature(form: Format, source: Source) -> str:
    """What a file was read with, for telling whether its last load still stands."""
    return staging.load_id(source, "", form)


def commit(home: Home, connection: DuckDBPyConnection, batch: Sequence[Load]) -> list[dict[str, object]]:
    """Settle staged loads and append them to the lake as one commit; returns the ledger's new rows."""
    if not batch:
        return []
    try:
        with home.lock("lake"):
            lake.prepare(home)
            begun = lake.finished(home, [load.load_id for load in batch])
            fresh = [load for load in batch if load.load_id not in begun]
            if not fresh:
                return []
            additions, ledger = settle(connection, lake.snapshot(home), fresh, home.staging / uuid.uuid4().hex)
            if additions:
                lake.commit(home, [str(row["load_id"]) for row in ledger], additions)
            return ledger
    finally:
        for load in batch:
            shutil.rmtree(load.folder, ignore_errors=True)


class _Memory:
    """What is remembered of each file's last load: a shortcut only, a lost one costs a reading and nothing else."""

    def __init__(self, home: Home, source: str) -> None:
        self._file = home.lake / f"seen-{uuid.uuid5(uuid.NAMESPACE_URL, source).hex}.json"
        self._seen: dict[str, files.Seen] = {}
        if self._file.exists():
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


def sources(settings: Settings, names: Sequence[str], *, source: str | None = None, **given: str | None) -> list[Source]:
    """The configured sources of those names, or all; other names are files, of the source `files` or the one named.

    What is `given` (record, format, timezone) holds for files; of a configured source it replaces the setting.
    """
    values = {key: value for key, value in given.items() if value is not None}
    if not names:
        return [_with(settings.sources[name], values) for name in ([source] if source else settings.sources)]
    configured = [name for name in names if name in settings.sources]
    paths = [str(Path(name).expanduser().absolute()) for name in names if name not in settings.sources]
    found = [_with(settings.sources[name], values) for name in configured]
    if paths:
        known = settings.sources.get(source or "")
        like = known.model_dump(exclude={"path"}) if known else {"name": source or FILES}
        found.append(_with(Source(**like, path=paths), values))
    return found


def _with(source: Source, values: dict[str, str]) -> Source:
    try:
        return Source(**(source.model_dump() | values))
    except ValidationError as error:
        fault = error.errors()[0]
        raise UsageError(f"{'.'.join(map(str, fault['loc']))}: {fault['msg']}") from error
