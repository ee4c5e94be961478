"""A described table, written for a person or a program."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from tidemill.cli import output
from tidemill.engine import export

if TYPE_CHECKING:
    from pathlib import Path

from tidemill.build.describe import Description

COLUMNS: Final = {"column": "VARCHAR", "type": "VARCHAR", "description": "VARCHAR"}


FACTS: Final = {
    "table": "VARCHAR",
    "family": "VARCHAR",
    "description": "VARCHAR",
    "grain": "VARCHAR",
    "key": "VARCHAR[]",
    "partition": "VARCHAR",
    "reads": "VARCHAR[]",
    "freshness": "VARCHAR",
    "built_at": "TIMESTAMP WITH TIME ZONE",
    "rows": "BIGINT",
    "bytes": "BIGINT",
}
"""What a program is told of a table, beside its columns."""


_NESTED: Final = 'STRUCT("column" VARCHAR, "type" VARCHAR, description VARCHAR)[]'


def write(found: Description, form: output.Format | None, target: Path | None) -> None:
    """Write a description: its facts above its columns for a person, one row of it all for a program."""
    entry = found.entry
    columns = [[name, column.type, column.description] for name, column in entry.columns.items()]
    facts: list[object] = [entry.name, entry.family, entry.description, entry.grain, list(entry.key), entry.partition]
    facts += [list(entry.reads), found.freshness, found.status.built_at or None, found.rows, found.bytes]
    if (form or output.Format.of(target)) is output.Format.TABLE:
        lines = [[name, _said(value)] for name, value in zip(FACTS, facts, strict=True)][1:]
        above = export.rows(dict.fromkeys(("table", entry.name), "VARCHAR"), lines)
        output.write(export.rows(COLUMNS, columns), form, target, above)
    else:
        nested = [dict(zip(COLUMNS, column, strict=True)) for column in columns]
        output.write(export.rows(FACTS | {"columns": _NESTED}, [[*facts, nested]]), form, target)


def _said(value: object) -> str | None:
    """A fact as a person reads it."""
    if isinstance(value, list):
        return ", ".join(value)
    if isinstance(value, int):
        return f"{value:,}"
    return None if value is None else str(value)
