"""The quarantine: what was refused, and feeding it again."""

from __future__ import annotations

import uuid
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidemill import formats, lake, staging
from tidemill.engines.duckdb import connect
from tidemill.engines.quoting import literal, literals
from tidemill.ingest import Report, commit, prepare
from tidemill.settings import Source
from tidemill.sources.files import path_parts

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from tidemill.home import Home
    from tidemill.lake import Snapshot
    from tidemill.settings import Settings
    from tidemill.staging import Load

UNKNOWN_JOB: Final = "unknown job"


def held(snapshot: Snapshot) -> str | None:
    """The select of the quarantine's rows that no retry has taken, with their load's format; None when it is empty."""
    rows = snapshot.paths("quarantine")
    if not rows:
        return None
    released = snapshot.paths("released")
    gone = f"SELECT of_load_id, line FROM read_parquet({literals(released)})" if released else "SELECT NULL AS of_load_id, NULL AS line WHERE false"
    return (
        f"SELECT q.*, l.format FROM read_parquet({literals(rows)}) q "
        f"JOIN read_parquet({literals(snapshot.paths('loads'))}) l ON l.load_id = q.load_id "
        f"ANTI JOIN ({gone}) g ON g.of_load_id = q.load_id AND g.line = q.line"
    )


def retry_unknown_jobs(home: Home, settings: Settings) -> list[Report]:
    """Feed again the observations whose job was not known when they came, whatever their source."""
    return retry(home, settings, reason=UNKNOWN_JOB)


def retry(home: Home, settings: Settings, *, reason: str | None = None) -> list[Report]:
    """Feed refused records again: what is accepted leaves the quarantine, what is not keeps its row."""
    with home.lock("lake"):
        lake.prepare(home)
        snapshot = lake.snapshot(home)
    select = held(snapshot)
    if select is None:
        return []
    if reason:
        select = f"SELECT * FROM ({select}) WHERE reason = {literal(reason)}"
    connection = connect(memory_limit=settings.memory_limit, threads=settings.threads, temp_directory=home.staging)
    prepare(connection)
    groups = connection.execute(
        f"SELECT DISTINCT source, format, record, uri FROM ({select}) WHERE raw IS NOT NULL ORDER BY ALL"
    ).fetchall()
    reports: dict[str, Report] = {}
    for source, form, record, uri in groups:
        mine = f"""SELECT * FROM ({select}) WHERE source = {literal(source)} AND format = {literal(form)}
                   AND record IS NOT DISTINCT FROM {literal(record) if record else "NULL"} AND uri = {literal(uri)}"""
        load = _load(home, settings, connection, (source, form, record, uri), mine)
        staging.stage(connection, load)
        reports.setdefault(source, Report(source)).loads += commit(home, connection, [load])
    return list(reports.values())


def _load(
    home: Home, settings: Settings, connection: DuckDBPyConnection, group: tuple[str, str, str | None, str], select: str
) -> Load:
    source, form_name, record, uri = group
    form = formats.load(form_name, home.path)
    known = settings.sources.get(source) or Source(name=source, path=[uri])
    origin = f"""SELECT row_number() OVER (ORDER BY load_id, line) AS line, any_value(raw) AS raw, load_id AS of_load_id, line AS of_line
                 FROM ({select}) WHERE raw IS NOT NULL GROUP BY load_id, line"""
    texts, size = connection.execute(f"SELECT md5(string_agg(raw, chr(10) ORDER BY line)), sum(strlen(raw))::BIGINT FROM ({origin})").fetchall()[0]
    return staging.Load(
        source=known if not form.native or known.record else known.model_copy(update={"record": record}),
        format=form,
        load_id=staging.load_id(known, texts, form, run=uuid.uuid4().hex),
        uri=uri,
        bytes=size,
        content_hash=texts,
        folder=home.staging / uuid.uuid4().hex,
        parts=path_parts(Path(uri), form.path_parts),
        kind="retry",
        texts=f"SELECT line, raw FROM ({origin})",
        origin=origin,
    )
