"""Results as files: instants in ISO 8601, integers of any width as JSON numbers."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import duckdb

from tidemill.engines.quoting import identifier, literal

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    import pyarrow as pa

_NUMBERS = ("BIGINT", "INTEGER", "DOUBLE", "HUGEINT", "DECIMAL", "FLOAT", "SMALLINT", "TINYINT", "UBIGINT")


def write(result: duckdb.DuckDBPyRelation | pa.Table, form: str, path: Path) -> None:
    """Write a result as csv, json, jsonl, parquet or arrow."""
    table = _arrow(result)
    if form == "arrow":
        import pyarrow as pa

        with pa.OSFile(str(path), "wb") as file, pa.ipc.new_stream(file, table.schema) as writer:
            writer.write_table(table)
        return
    options = {
        "csv": "FORMAT csv, HEADER true",
        "json": "FORMAT json, ARRAY true",
        "jsonl": "FORMAT json",
        "parquet": "FORMAT parquet",
    }[form]
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'; SET enable_progress_bar = false")
        connection.register("result", table)
        select = "SELECT * FROM result" if form == "parquet" else f"SELECT {_iso(connection)} FROM result"
        connection.execute(f"COPY ({select}) TO {literal(path)} ({options})")


def rows(columns: Mapping[str, str], values: Sequence[Sequence[object]]) -> pa.Table:
    """Plain rows as an Arrow table with those SQL types."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        names = ", ".join(f"{identifier(name)} {kind}" for name, kind in columns.items())
        connection.execute(f"CREATE TEMP TABLE result ({names})")
        if values:
            marks = ", ".join("?" for _ in columns)
            connection.executemany(f"INSERT INTO result VALUES ({marks})", values)
        return connection.sql("FROM result").to_arrow_table()


def head(
    result: duckdb.DuckDBPyRelation | pa.Table, limit: int
) -> tuple[list[str], list[bool], list[tuple[Any, ...]], bool]:
    """Names, whether each is a number, the first rows, and whether there are more."""
    with duckdb.connect() as connection:
        connection.execute("SET TimeZone = 'UTC'")
        connection.register("result", _arrow(result))
        types = connection.execute("DESCRIBE FROM result").fetchall()
        found = connection.execute(f"SELECT {_iso(connection)} FROM result LIMIT {limit + 1}").fetchall()
    numeric = [kind.startswith(_NUMBERS) for _, kind, *_ in types]
    return [name for name, *_ in types], numeric, found[:limit], len(found) > limit


def _arrow(result: duckdb.DuckDBPyRelation | pa.Table) -> pa.Table:
    return result.to_arrow_table() if isinstance(result, duckdb.DuckDBPyRelation) else result


def _iso(connection: duckdb.DuckDBPyConnection) -> str:
    """Every column of `result`, instants as ISO 8601 text in UTC."""
    columns = connection.execute("DESCRIBE FROM result").fetchall()
    shapes = {"TIMESTAMP WITH TIME ZONE": "%Y-%m-%dT%H:%M:%S.%fZ", "TIMESTAMP": "%Y-%m-%dT%H:%M:%S.%f"}
    parts = []
    for name, kind, *_ in columns:
        column = identifier(name)
        if kind in shapes:
            text = f"strftime(CAST({column} AS TIMESTAMP), {literal(shapes[kind])})"
            parts.append(f"replace({text}, '.000000', '') AS {column}")
        else:
            parts.append(column)
    return ", ".join(parts)
