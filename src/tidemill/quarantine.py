"""The quarantine: what was refused, and feeding it again."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidemill import formats, lake
from tidemill.engines import export, relations, retrying, staging
from tidemill.engines.duckdb import connect
from tidemill.engines.load import Load, identity
from tidemill.errors import UsageError
from tidemill.ingest import Report, commit, open_connection
from tidemill.records import QUARANTINE
from tidemill.settings import Source
from tidemill.sources.files import path_parts

if TYPE_CHECKING:
    from collections.abc import Iterable

    import pyarrow as pa
    from duckdb import DuckDBPyConnection

    from tidemill.home import Home
    from tidemill.lake import Snapshot
    from tidemill.settings import Settings

UNKNOWN_JOB: Final = "unknown job"


def retry_unknown_jobs(home: Home, settings: Settings) -> list[Report]:
    """Feed again the observations whose job was not known when they came, whatever their source."""
    return retry(home, settings, reason=UNKNOWN_JOB)


def listed(home: Home, *, whole: bool) -> pa.Table:
    """What is in the quarantine now, as lake.quarantine has it; of a text its beginning, unless it is `whole`."""
    with connect(timezone=None) as connection:
        return export.arrow(retrying.listed(connection, _held(lake.current(home)), whole=whole))


def counted(home: Home) -> pa.Table:
    """How many records are in the quarantine, by source, record, field and reason, most first."""
    with connect(timezone=None) as connection:
        return export.arrow(retrying.counted(connection, _held(lake.current(home))))


def reasons(home: Home, reports: Iterable[Report]) -> dict[str, list[str]]:
    """Why records of some loads were refused, a few words for each reason, by source."""
    load_ids = [str(load["load_id"]) for report in reports for load in report.loads if load["quarantined"]]
    if not load_ids:
        return {}
    paths = lake.current(home).paths("quarantine")
    with connect(timezone=None) as connection:
        return retrying.reasons(connection, paths, load_ids)


def _held(snapshot: Snapshot) -> str:
    held = relations.held(*(snapshot.paths(table) for table in ("quarantine", "released", "loads")))
    return held or relations.nothing(QUARANTINE)


def retry(home: Home, settings: Settings, *, reason: str | None = None) -> list[Report]:
    """Feed refused records again: what is accepted leaves the quarantine, what is not keeps its row.

    Those that cannot be fed, since their format is gone or fails on their texts, are in a report's `failures`.
    """
    with home.lock("lake"):
        lake.prepare(home)
        snapshot = lake.snapshot(home)
    select = relations.held(*(snapshot.paths(table) for table in ("quarantine", "released", "loads")))
    if select is None:
        return []
    connection = open_connection(home, settings)
    reports: dict[str, Report] = {}
    for group in retrying.groups(connection, select, reason):
        report = reports.setdefault(group.source, Report(group.source))
        try:
            load = _load(home, settings, connection, group)
            staging.stage(connection, load)
            report.loads += commit(home, connection, [load], snapshot.paths("loads"), settings)
        except UsageError as error:
            report.failures.append(error)
    return list(reports.values())


def _load(home: Home, settings: Settings, connection: DuckDBPyConnection, group: retrying.Group) -> Load:
    form = formats.load(group.format, home.path)
    known = settings.sources.get(group.source) or Source(name=group.source, path=[group.uri])
    known = known.given_besides(group.settings)
    if form.native and not known.record:
        known = known.model_copy(update={"record": group.record})
    digest, size = retrying.content(connection, group)
    return Load(
        source=known,
        format=form,
        load_id=identity(known, digest, form, run=uuid.uuid4().hex),
        uri=group.uri,
        bytes=size,
        content_hash=digest,
        folder=home.staging / uuid.uuid4().hex,
        parts=path_parts(Path(group.uri), form.path_parts),
        kind="retry",
        texts=group.texts,
        types=group.types,
        origin=group.select,
    )
