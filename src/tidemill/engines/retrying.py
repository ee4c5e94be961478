"""Refused records as raw ones again: grouped as they came, each with the line that it had."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from tidemill.engines.quoting import literal

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection


@dataclass(frozen=True)
class Group:
    """Refused records of one source, format, record and uri: `select` has (line, raw, of_load_id, of_line)."""

    source: str
    format: str
    record: str | None
    uri: str
    select: str

    @property
    def texts(self) -> str:
        """The select of (line, raw) that staging reads."""
        return f"SELECT line, raw FROM ({self.select})"


def groups(connection: DuckDBPyConnection, held: str, reason: str | None) -> list[Group]:
    """The groups of the quarantine's rows, of one reason or all; texts that were cut cannot be fed again."""
    wanted = "raw IS NOT NULL AND NOT regexp_matches(right(raw, 40), '… \\(\\d+ bytes\\)$')" + (
        f" AND reason = {literal(reason)}" if reason else ""
    )
    rows = f"SELECT * FROM ({held}) WHERE {wanted}"
    found = connection.execute(f"SELECT DISTINCT source, format, record, uri FROM ({rows}) ORDER BY ALL").fetchall()
    return [
        Group(source, form, record, uri, _select(rows, source, form, record, uri))
        for source, form, record, uri in found
    ]


def _select(rows: str, source: str, form: str, record: str | None, uri: str) -> str:
    same_record = f"record = {literal(record)}" if record else "record IS NULL"
    mine = f"source = {literal(source)} AND format = {literal(form)} AND uri = {literal(uri)} AND {same_record}"
    return (
        "SELECT row_number() OVER (ORDER BY load_id, line) AS line, any_value(raw) AS raw, "
        f"load_id AS of_load_id, line AS of_line FROM ({rows}) WHERE {mine} GROUP BY load_id, line"
    )


def content(connection: DuckDBPyConnection, group: Group) -> tuple[str, int]:
    """The digest and the size in bytes of a group's texts."""
    found = connection.execute(
        f"SELECT md5(string_agg(raw, chr(10) ORDER BY line)), sum(strlen(raw))::BIGINT FROM ({group.select})"
    ).fetchall()[0]
    return found[0], found[1]
