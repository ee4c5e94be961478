"""The quarantine: what was refused, and feeding it again."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidemill.config.settings import Source
from tidemill.engine import export, relations, session
from tidemill.errors import UsageError
from tidemill.home import disk_errors, staging_dir
from tidemill.ingest import failures, formats, pending_jobs
from tidemill.ingest.load import Load, identity
from tidemill.ingest.queue import OvertakenError, Report, commit, open_connection
from tidemill.ingest.sql import retry as sql_retry
from tidemill.ingest.staging import stage
from tidemill.lake import commits
from tidemill.lake import relations as lake_relations
from tidemill.records import QUARANTINE
from tidemill.sources.files import path_parts

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from tidemill.config.settings import Settings
    from tidemill.home.home import Home
    from tidemill.ingest.sql.retry import Group
    from tidemill.lake.commits import Snapshot

UNKNOWN_JOB: Final = "unknown job"


def retry_unknown_jobs(home: Home, settings: Settings) -> list[Report]:
    """Feed again the observations whose job was not known when they came, whatever their source."""
    due = pending_jobs.due(home)
    reports = retry(home, settings, reason=UNKNOWN_JOB)
    if not any(report.failures for report in reports):
        pending_jobs.end(home, due)
    return reports


def listed(home: Home, settings: Settings, *, whole: bool) -> pa.Table:
    """What is in the quarantine now, as lake.quarantine has it; of a text its beginning, unless it is `whole`."""
    with session.connect(home, settings, timezone=None) as connection:
        return export.arrow(sql_retry.listed(connection, _held(commits.current(home)), whole=whole))


def counted(home: Home, settings: Settings) -> pa.Table:
    """How many records are in the quarantine, by source, record, field and reason, most first."""
    with session.connect(home, settings, timezone=None) as connection:
        return export.arrow(sql_retry.counted(connection, _held(commits.current(home))))


def reasons(home: Home, settings: Settings, reports: Iterable[Report]) -> dict[str, list[str]]:
    """Why records of some loads were refused, a few words for each reason, by source."""
    load_ids = [str(load["load_id"]) for report in reports for load in report.loads if load["quarantined"]]
    if not load_ids:
        return {}
    paths = commits.current(home).paths("quarantine")
    with session.connect(home, settings, timezone=None) as connection:
        return sql_retry.reasons(connection, paths, load_ids)


def _held(snapshot: Snapshot) -> str:
    held = lake_relations.held(*(snapshot.paths(table) for table in ("quarantine", "released", "loads")))
    return held or relations.nothing(QUARANTINE)


def retry(home: Home, settings: Settings, *, reason: str | None = None) -> list[Report]:
    """Feed refused records again: what is accepted leaves the quarantine, what is not keeps its row.

    What another retry fed in the meantime is fed by that one alone. Those that cannot be fed, since their format is
    gone or fails on their texts, are in a report's `failures`.

    Raises:
        StorageError: the disk refuses; what was fed before stays so.
    """
    reports: dict[str, Report] = {}
    with disk_errors.guarded(home.path), staging_dir.held(home):
        overtaken = _feed(home, settings, reports, reason)
        while overtaken:  # each time another retry has come further
            overtaken = _feed(home, settings, reports, reason, overtaken)
    return list(reports.values())


def _feed(
    home: Home, settings: Settings, reports: dict[str, Report], reason: str | None, only: Sequence[Group] = ()
) -> list[Group]:
    """Feed what is in the quarantine now, or `only` such groups of it; the groups in which another retry came first."""
    with home.lock("lake"):
        commits.prepare(home)
        snapshot = commits.snapshot(home)
    select = lake_relations.held(*(snapshot.paths(table) for table in ("quarantine", "released", "loads")))
    if select is None:
        return []
    overtaken: list[Group] = []
    connection = open_connection(home, settings)
    known = {*snapshot.paths("loads"), *snapshot.paths("released")}
    for group in sql_retry.groups(connection, select, reason):
        if only and group.alike not in only:
            continue
        report = reports.setdefault(group.source, Report(group.source))
        try:
            load = _load(home, settings, connection, group)
        except UsageError as error:
            report.failures.append(error)
            continue
        try:
            stage.stage(connection, load)
        except Exception as error:  # noqa: BLE001 - what is of the home is raised again
            report.failures.append(failures.of_staging(error, group.uri, load.folder))
            continue
        try:
            report.loads += commit(home, connection, [load], known, settings)
        except OvertakenError:
            overtaken.append(group.alike)
    return overtaken


def _load(home: Home, settings: Settings, connection: DuckDBPyConnection, group: Group) -> Load:
    form = formats.load(group.format, home.path)
    known = settings.sources.get(group.source) or Source(name=group.source, path=[group.uri])
    known = known.given_besides(group.settings)
    if form.native and not known.record:
        known = known.model_copy(update={"record": group.record})
    digest, size = sql_retry.content(connection, group)
    return Load(
        source=known,
        format=form,
        load_id=identity(known, digest, form, run=uuid.uuid4().hex),
        uri=group.uri,
        bytes=size,
        content_hash=digest,
        folder=staging_dir.of(home) / uuid.uuid4().hex,
        parts=path_parts(Path(group.uri), form.path_parts),
        kind="retry",
        texts=group.texts,
        types=group.types,
        origin=group.select,
    )
