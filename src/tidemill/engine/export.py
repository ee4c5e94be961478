"""Results as files: instants in ISO 8601, integers of any width as JSON numbers."""

from __future__ import annotations

import re
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final, cast

import duckdb

from tidemill.engine.messages import failures
from tidemill.engine.quoting import identifier, literal

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa
    from duckdb.sqltypes import DuckDBPyType

_OPTIONS: Final = {
    "csv": "FORMAT csv, HEADER true",
    "json": "FORMAT json, ARRAY true",
    "jsonl": "FORMAT json",
    "parquet": "FORMAT parquet",
}
_NESTED: Final = frozenset({"list", "array", "struct", "map"})
_INSTANT_OR_DOUBLE: Final = re.compile(r"\b(TIMESTAMP|DOUBLE|FLOAT)\b")
NUMBERS: Final = ("BIGINT", "INTEGER", "DOUBLE", "HUGEINT", "DECIMAL", "FLOAT", "SMALLINT", "TINYINT", "UBIGINT")


def write(result: duckdb.DuckDBPyRelation | pa.Table, form: str, path: Path) -> None:
    """Write a result as csv, json, jsonl, parquet or arrow.

    Raises:
        TidemillError: the query failed while its rows were read.
    """
    table = arrow(result)
    if form == "arrow":
        import pyarrow as pa

        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
        return
    path.touch()
    with _over(table) as connection:
        select = "FROM result" if form == "parquet" else f"SELECT {_plain(connection, form)} FROM result"
        connection.execute(f"COPY ({select}) TO {literal(path)} ({_OPTIONS[form]})")


def rows(columns: Mapping[str, str], values: Sequence[Sequence[object]]) -> pa.Table:
    """Plain rows as an Arrow table with those SQL types."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        names = ", ".join(f"{identifier(name)} {kind}" for name, kind in columns.items())
        connection.execute(f"CREATE TEMP TABLE result ({names})")
        if values:
            marks = ", ".join("?" for _ in columns)
            connection.executemany(f"INSERT INTO result VALUES ({marks})", values)
        made: pa.Table = connection.sql("FROM result").to_arrow_table()
    return made


def head(
    result: duckdb.DuckDBPyRelation | pa.Table, limit: int | None
) -> tuple[list[str], list[bool], list[tuple[Any, ...]], bool]:
    """Names, whether each is a number, the first rows or all, and whether there are more.

    Raises:
        TidemillError: the query failed while its rows were read.
    """
    if limit is not None and isinstance(result, duckdb.DuckDBPyRelation):
        result = result.limit(limit + 1)
    with _over(arrow(result)) as connection:
        types = connection.execute("DESCRIBE FROM result").fetchall()
        found = connection.execute(f"SELECT {_plain(connection, 'table')} FROM result").fetchall()
    numeric = [kind.startswith(NUMBERS) for _, kind, *_ in types]
    return [name for name, *_ in types], numeric, found[:limit], limit is not None and len(found) > limit


def rows_of(relation: duckdb.DuckDBPyRelation) -> list[dict[str, Any]]:
    """A few rows as their columns' values.

    Raises:
        TidemillError: the query failed, or took too long.
    """
    with failures():
        return [dict(zip(relation.columns, row, strict=True)) for row in relation.fetchall()]


def arrow(result: duckdb.DuckDBPyRelation | pa.Table) -> pa.Table:
    """A result as an Arrow table.

    Raises:
        TidemillError: the query failed while its rows were read.
    """
    if not isinstance(result, duckdb.DuckDBPyRelation):
        return result
    with failures():
        wide = [identifier(name) for name, kind in zip(result.columns, result.types, strict=True) if kind == "UHUGEINT"]
        if wide:  # Arrow's widest integer is signed
            casts = ", ".join(f"CAST({name} AS BIGNUM) AS {name}" for name in wide)
            result = result.project(f"* REPLACE ({casts})")
        table: pa.Table = result.materialize().to_arrow_table()  # so Ctrl-C is heard while it runs
    return table


@contextmanager
def _over(table: pa.Table) -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        connection.register("result", table)
        yield connection


def _plain(connection: duckdb.DuckDBPyConnection, form: str) -> str:
    """Every column of `result` as a text format spells it: instants in ISO 8601, in JSON what is no number as null."""
    relation = connection.sql("FROM result")
    columns = zip(relation.columns, relation.types, strict=True)
    return ", ".join(f"{spelt(identifier(name), kind, form)} AS {identifier(name)}" for name, kind in columns)


def spelt(value: str, kind: DuckDBPyType, form: str) -> str:
    """A column as a format spells it."""
    if kind.id == "timestamp with time zone":
        return f"regexp_replace(CAST({value} AS TIMESTAMP)::VARCHAR, '^(\\S+) (\\S+)$', '\\1T\\2Z')"
    if kind.id.startswith("timestamp"):
        return f"replace({value}::VARCHAR, ' ', 'T')"
    if kind.id in {"double", "float"} and form.startswith("json"):
        return f"CASE WHEN isfinite({value}) THEN {value} END"
    if kind.id in _NESTED and _INSTANT_OR_DOUBLE.search(str(kind)):
        return f"CASE WHEN {value} IS NOT NULL THEN {_nested(value, kind, form)} END"
    return value


def _nested(value: str, kind: DuckDBPyType, form: str) -> str:
    inner = {name: cast("DuckDBPyType", child) for name, child in kind.children if name != "size"}
    item = f"item_{len(value)}"
    if kind.id == "struct":
        parts = (f"{identifier(name)} := {spelt(f'{value}.{identifier(name)}', inner[name], form)}" for name in inner)
        return f"struct_pack({', '.join(parts)})"
    if kind.id == "map":
        entry = ", ".join(f"{name} := {spelt(f'{item}.{name}', inner[name], form)}" for name in ("key", "value"))
        return f"map_from_entries(list_transform(map_entries({value}), lambda {item}: struct_pack({entry})))"
    return f"list_transform({value}, lambda {item}: {spelt(item, inner['child'], form)})"
