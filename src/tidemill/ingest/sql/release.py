"""What a retry takes out of the quarantine."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidemill.engine.quoting import literal, literals
from tidemill.lake.retention import REASON

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.ingest.load import Load

_SEALED_SINCE: Final = f"(r.reason = {literal(REASON)} AND o.of_reason <> {literal(REASON)})"


def overtaken(connection: DuckDBPyConnection, load: Load, paths: Sequence[str]) -> bool:
    """Whether some files of released records name one that a retry feeds."""
    if not paths:
        return False
    found = connection.execute(
        f"SELECT 1 FROM read_parquet({literals(paths)}) g SEMI JOIN ({load.origin}) o "
        "ON g.of_load_id = o.of_load_id AND g.line IS NOT DISTINCT FROM o.of_line LIMIT 1"
    ).fetchall()
    return bool(found)


def released(connection: DuckDBPyConnection, loads: Sequence[Load], folder: Path) -> Path:
    """A file of the records that leave it: those that the retries did not refuse again, or found to be sealed."""
    selects = [
        f"""SELECT {literal(load.load_id)} AS load_id, of_load_id, of_line AS line, o.record FROM ({load.origin}) o
        ANTI JOIN (
            SELECT line, record, NULL AS reason FROM read_parquet({literal(load.refused)})
            UNION ALL SELECT line, record, reason FROM late_refusals WHERE load_id = {literal(load.load_id)}) r
        ON r.line = o.line AND coalesce(r.record = o.record, true) AND NOT coalesce({_SEALED_SINCE}, false)"""
        for load in loads
    ]
    return _written(connection, selects, folder / "released.parquet")


def sealed_since(connection: DuckDBPyConnection, loads: Sequence[Load], folder: Path) -> Path:
    """A file of what the retries found to be of sealed days: it stands in the quarantine anew, for that reason.

    So it is not fed again by every ingest, as what waits for a job is.
    """
    selects = [
        f"""SELECT r.load_id, {literal(load.source.name)} AS source, {literal(load.uri)} AS uri, o.of_line AS line,
            r.record, r.field, r.reason, o.raw
        FROM late_refusals r JOIN ({load.origin}) o ON o.line = r.line AND coalesce(o.record = r.record, true)
        WHERE r.load_id = {literal(load.load_id)} AND {_SEALED_SINCE}"""
        for load in loads
    ]
    return _written(connection, selects, folder / "sealed.parquet")


def _written(connection: DuckDBPyConnection, selects: Sequence[str], target: Path) -> Path:
    connection.execute(f"COPY ({' UNION ALL '.join(selects)}) TO {literal(target)} (FORMAT parquet)")
    return target
