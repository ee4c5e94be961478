"""Whether two answers are equal: counts and texts exactly, doubles to 1e-9 of their size."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb

from benchmarks.measure import ContenderError

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

CLOSE: Final = 1e-9


def execute(sql: str) -> None:
    """Run statements in a session of their own."""
    with session() as connection:
        connection.execute(sql)


def one_row(sql: str) -> tuple[object, ...]:
    """The only row of a query."""
    with session() as connection:
        found = connection.execute(sql).fetchall()
    return tuple(found[0])


def session() -> duckdb.DuckDBPyConnection:
    """A session in UTC that shows no progress."""
    connection = duckdb.connect()
    connection.execute("SET enable_progress_bar = false; SET TimeZone = 'UTC'")
    return connection


def parquet(folder: Path | str) -> str:
    """The relation of Parquet files."""
    return f"read_parquet('{folder}', hive_partitioning = false)"


def digest(relation: str, columns: Mapping[str, str]) -> tuple[object, ...]:
    """How many rows a relation has, and the sum of their hashes: equal where the rows are, in whatever order."""
    cells = (
        f"epoch_us({name}::TIMESTAMPTZ)" if kind == "TIMESTAMP" else f"{name}::{kind}" for name, kind in columns.items()
    )
    return one_row(f"SELECT count(*), sum(hash({', '.join(cells)})::HUGEINT) FROM {relation}")


def same_rows(name: str, theirs: tuple[object, ...], ours: tuple[object, ...]) -> None:
    """Raise unless two digests are equal."""
    if theirs != ours:
        raise ContenderError(f"{name} has other rows: {theirs[0]} where there are {ours[0]}")


def same_table(table: str, theirs: str, ours: str, key: Sequence[str], database: Path | None = None) -> None:
    """Compare two relations row by row, by their key and the columns of ours; theirs may be of a database.

    Raises:
        ContenderError: they differ; the message names the first column and row that does.
    """
    try:
        with session() as connection:
            if database:
                connection.execute(f"ATTACH '{database}' (READ_ONLY)")
            columns = {name: kind for name, kind, *_ in connection.execute(f"DESCRIBE FROM {ours}").fetchall()}
            cast = ", ".join(f"{name}::{kind} AS {name}" for name, kind in columns.items())
            connection.execute(f"CREATE TEMP TABLE theirs AS SELECT {cast}, true AS here FROM {theirs}")
            count, what, row = connection.execute(_differences(ours, key, columns)).fetchall()[0]
    except duckdb.Error as error:
        raise ContenderError(f"{table} cannot be compared: {str(error).splitlines()[0]}") from error
    if count:
        raise ContenderError(f"{table} differs in {count:,} rows: {what}, for one where ours is {row}")


def _differences(ours: str, key: Sequence[str], columns: Mapping[str, str]) -> str:
    joined = " AND ".join(f"o.{name} IS NOT DISTINCT FROM t.{name}" for name in key) or "true"
    return f"""
        SELECT count(*), any_value(what), any_value(o) FROM (
            SELECT o, CASE WHEN o.here IS NULL THEN 'a row too many' WHEN t.here IS NULL THEN 'a row is missing'
                {" ".join(_differs(name, kind) for name, kind in columns.items())} END AS what
            FROM (SELECT *, true AS here FROM {ours}) o FULL JOIN theirs t ON {joined})
        WHERE what IS NOT NULL
    """


def _differs(name: str, kind: str) -> str:
    if kind == "DOUBLE":
        near = f"abs(o.{name} - t.{name}) <= {CLOSE} * greatest(1, abs(o.{name}))"
        return f"WHEN NOT coalesce({near}, o.{name} IS NULL AND t.{name} IS NULL) THEN '{name}'"
    return f"WHEN o.{name} IS DISTINCT FROM t.{name} THEN '{name}'"
