"""Refused records as raw ones again: grouped as they came, each with the line that it had."""

from __future__ import annotations

import json
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Final

from tidemill.engine.quoting import literal, literals
from tidemill.lake.retention import REASON
from tidemill.records import QUARANTINE

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection, DuckDBPyRelation

SHOWN: Final = 80
"""How many characters of a refused text a list shows."""
TOLD: Final = 4
"""How many reasons are told."""


@dataclass(frozen=True)
class Group:
    """Refused records that are to be read alike: `select` has (line, raw, record, of_load_id, of_line, of_reason).

    `settings` are those that were given for their loads alone, `types` those of a Parquet file's columns.
    """

    source: str
    format: str
    record: str | None
    uri: str
    settings: dict[str, str]
    types: dict[str, str]
    select: str

    @property
    def texts(self) -> str:
        """The select of (line, raw) that staging reads."""
        return f"SELECT line, raw FROM ({self.select})"

    @property
    def alike(self) -> Group:
        """The same group, whichever records are in it."""
        return replace(self, select="")


def groups(connection: DuckDBPyConnection, held: str, reason: str | None) -> list[Group]:
    """The groups of the quarantine's rows, of one reason or of all; texts that were cut cannot be fed again.

    Nor are those of sealed days, unless they are asked for: a day stays sealed.
    """
    wanted = "raw IS NOT NULL AND NOT regexp_matches(right(raw, 40), '… \\(\\d+ bytes\\)$')" + (
        f" AND reason = {literal(reason)}" if reason else f" AND reason <> {literal(REASON)}"
    )
    rows = f"SELECT * FROM ({held}) WHERE {wanted}"
    alike = connection.execute(f"SELECT DISTINCT source, format, record, uri, given FROM ({rows}) ORDER BY ALL")
    names = [column[0] for column in alike.description or ()]
    return [_group(rows, dict(zip(names, values, strict=True))) for values in alike.fetchall()]


def _group(rows: str, alike: dict[str, Any]) -> Group:
    mine = " AND ".join(
        f"{name} IS NULL" if value is None else f"{name} = {literal(value)}" for name, value in alike.items()
    )
    select = (
        "SELECT row_number() OVER (ORDER BY load_id, line) AS line, any_value(raw) AS raw, record, "
        "load_id AS of_load_id, line AS of_line, any_value(reason) AS of_reason "
        f"FROM ({rows}) WHERE {mine} GROUP BY load_id, line, record"
    )
    given = json.loads(alike.pop("given") or "{}")
    return Group(**alike, **given, select=select)


def content(connection: DuckDBPyConnection, group: Group) -> tuple[str, int]:
    """The digest and the size in bytes of a group's texts."""
    found = connection.execute(
        f"SELECT md5(string_agg(raw, chr(10) ORDER BY line)), sum(strlen(raw))::BIGINT FROM ({group.select})"
    ).fetchall()[0]
    return found[0], found[1]


def listed(connection: DuckDBPyConnection, held: str, *, whole: bool) -> DuckDBPyRelation:
    """The quarantine's rows in the order of their files; of a text its first characters, unless it is `whole`."""
    raw = "raw" if whole else f"CASE WHEN length(raw) > {SHOWN} THEN left(raw, {SHOWN}) || '…' ELSE raw END AS raw"
    names = ", ".join(raw if name == "raw" else name for name in QUARANTINE)
    return connection.sql(f"SELECT {names} FROM ({held}) ORDER BY source, uri, line, record, field")


def counted(connection: DuckDBPyConnection, held: str) -> DuckDBPyRelation:
    """How many of the quarantine's rows there are of each source, record, field and reason."""
    by = "source, record, field, reason"
    return connection.sql(f"SELECT {by}, count(*) AS records FROM ({held}) GROUP BY ALL ORDER BY records DESC, {by}")


def reasons(connection: DuckDBPyConnection, paths: Sequence[str], load_ids: Sequence[str]) -> dict[str, list[str]]:
    """For what reasons some loads' records were refused, by source: `1,200 timestamp missing`, most first."""
    rows = connection.execute(
        f"""SELECT source, list(format('{{:,}} {{}}', records, why) ORDER BY records DESC, why) FROM (
            SELECT source, concat_ws(' ', field, reason) AS why, count(*) AS records
            FROM read_parquet({literals(paths)}) WHERE load_id IN (SELECT unnest($1)) GROUP BY ALL)
        GROUP BY ALL""",
        [list(load_ids)],
    ).fetchall()
    return {source: why if len(why) <= TOLD else [*why[:TOLD], "…"] for source, why in rows}
