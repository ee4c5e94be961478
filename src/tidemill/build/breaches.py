"""Rows beyond a threshold's limit: found in a relation, told apart from those that were so already, and kept.

On a build's connection, `breaches_now` has what was found, `breaches_open` what is open, `breaches_new` what was not
open before, and `breaches_all` every breach that there ever was.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.catalog.system_tables import THRESHOLD_BREACHES
from tidemill.engine import export, relations
from tidemill.engine.quoting import identifier, literal, literals

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from duckdb import DuckDBPyConnection, DuckDBPyRelation

    from tidemill.config.threshold import Threshold

TOLD: Final = 10
"""How many breaches of a threshold are told one by one."""

_SAME: Final = "b.threshold = n.threshold AND b.key = n.key AND b.window_hours IS NOT DISTINCT FROM n.window_hours"
_ORDER: Final = "breached_at, threshold, table_name, window_hours, key"
_WINDOW: Final = "window_hours"


def begin(connection: DuckDBPyConnection, ever: Sequence[Path], standing: Sequence[Path]) -> None:
    """Take up the breaches of the snapshot before: all of its history, and those that were open."""
    for name, files in {"breaches_all": ever, "breaches_open": standing, "breaches_now": ()}.items():
        rows = relations.published(str(file) for file in files) if files else relations.nothing(_types())
        connection.execute(f"CREATE OR REPLACE TEMP TABLE {name} AS {rows}")


def find(file: Path, relation: DuckDBPyRelation, threshold: Threshold, key: Iterable[str], at: datetime) -> None:
    """Write the rows of a relation that breach a threshold, as those of threshold_breaches; NULL breaches nothing.

    Raises:
        duckdb.Error: the relation's select cannot be run.
    """
    value, limit = f"CAST({identifier(threshold.column)} AS DOUBLE)", f"{literal(repr(threshold.limit))}::DOUBLE"
    hours = identifier(_WINDOW) if _WINDOW in relation.columns else threshold.hours or "NULL"
    made = {
        "breached_at": literal(at.isoformat()),
        "threshold": literal(threshold.name),
        "table_name": literal(threshold.table),
        "key": _key(relation, key),
        "value_found": value,
        "limit_value": limit,
        "window_hours": hours,
    }
    columns = ", ".join(f"CAST({made[name]} AS {kind}) AS {name}" for name, kind in _types().items())
    relation.filter(f"{value} {threshold.operator} {limit}").project(columns).write_parquet(str(file))


def add(connection: DuckDBPyConnection, file: Path) -> None:
    """Add to what was found."""
    connection.execute(f"INSERT INTO breaches_now {relations.published([str(file)])}")


def settle(connection: DuckDBPyConnection, evaluated: Iterable[str], dropped: Iterable[str]) -> None:
    """Tell new breaches from those that go on; one that was open and was not found any more is over.

    Those of thresholds that were not evaluated stay open; `dropped` are thresholds of which nothing is open any more.
    """
    connection.execute(
        f"DELETE FROM breaches_open WHERE threshold IN (SELECT unnest({literals(dropped)}::VARCHAR[])); "
        f"CREATE OR REPLACE TEMP TABLE breaches_new AS FROM breaches_now n ANTI JOIN breaches_open b ON {_SAME}; "
        f"DELETE FROM breaches_open b WHERE threshold IN (SELECT unnest({literals(evaluated)}::VARCHAR[])) "
        f"AND NOT EXISTS (FROM breaches_now n WHERE {_SAME}); "
        "INSERT INTO breaches_open FROM breaches_new; "
        "INSERT INTO breaches_all (FROM breaches_new EXCEPT FROM breaches_all)"
    )


def write(connection: DuckDBPyConnection, folder: Path) -> str:
    """Write the table threshold_breaches, and what is open into a file beside it; returns that file's name."""
    (folder / THRESHOLD_BREACHES.name).mkdir()
    relations.write(connection, f"FROM breaches_all ORDER BY {_ORDER}", folder / THRESHOLD_BREACHES.name, "all")
    name, _ = relations.write(connection, f"FROM breaches_open ORDER BY {_ORDER}", folder, "open_breaches")
    return name


def new(connection: DuckDBPyConnection) -> list[tuple[object, ...]]:
    """What is to be told of the new breaches."""
    return _worst(connection, "FROM breaches_new")


def still_open(file: Path) -> list[tuple[object, ...]]:
    """What is to be told of the open breaches."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        return _worst(connection, relations.published([str(file)]))


def counted(file: Path) -> dict[str, int]:
    """How many breaches of each table are open."""
    with duckdb.connect() as connection:
        rows = relations.published([str(file)])
        return dict(connection.execute(f"SELECT table_name, count(*) FROM ({rows}) GROUP BY ALL").fetchall())


def _worst(connection: DuckDBPyConnection, rows: str) -> list[tuple[object, ...]]:
    """Of each threshold the breaches furthest from the limit, as the table's columns, and how many there are."""
    nth = "row_number() OVER (PARTITION BY threshold ORDER BY abs(value_found - limit_value) DESC, window_hours, key)"
    return connection.execute(
        f"SELECT {', '.join(_types())}, count(*) OVER (PARTITION BY threshold) FROM ({rows}) "
        f"QUALIFY {nth} <= {TOLD} ORDER BY threshold, {nth}"
    ).fetchall()


def _key(relation: DuckDBPyRelation, key: Iterable[str]) -> str:
    """A row's key as JSON text, instants in ISO 8601."""
    types = dict(zip(relation.columns, relation.types, strict=True))
    there = [name for name in key if name in types]
    parts = [f"{identifier(name)} := {export.spelt(identifier(name), types[name], 'json')}" for name in there]
    return f"to_json(struct_pack({', '.join(parts)}))" if parts else literal("{}")


def _types() -> dict[str, str]:
    return {name: column.type for name, column in THRESHOLD_BREACHES.columns.items()}
