"""Exact percentiles by counting and sorting, for a select whose values would not fit in memory.

The engine's quantiles keep every value of every group in memory; its counts and sorts need not. So each call of
`percentiles(x)` becomes a join with the same groups' percentiles. For them the values of each group are counted in
buckets, and those in the buckets that hold a rank are sorted, on the disk where they must: the same groups, and the
same figures to the last bit.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

    from duckdb import DuckDBPyConnection
    from sqlglot.expressions import Anonymous, Expr, Select

CALLED: Final = "percentiles"
VALUE_BYTES: Final = 8
ROOM: Final = 4
"""A list of values grows by doubling, the old beside the new: thrice what they take, and the query needs some."""

_CALL: Final = re.compile(rf"\b{CALLED}\((.+?)\)")
_NAMED: Final = re.compile(r'"?(\w+)"?\(')
_MACROS: Final = """
CREATE OR REPLACE TEMP MACRO sorting_bucket(x) AS
    sign(x) * (CAST(CAST(abs(x) AS BIT) AS BIGINT) // 35184372088832);
CREATE OR REPLACE TEMP MACRO rank_of(q, n) AS CAST(n - 1 AS BIGINT) * CAST(q AS DOUBLE);
CREATE OR REPLACE TEMP MACRO holds_rank(q, n, before, events) AS
    before <= ceil(rank_of(q, n)) AND floor(rank_of(q, n)) < before + events;
CREATE OR REPLACE TEMP MACRO holds_a_rank(n, before, events) AS
    holds_rank(0.5, n, before, events) OR holds_rank(0.95, n, before, events) OR holds_rank(0.99, n, before, events);
CREATE OR REPLACE TEMP MACRO value_at(x, rank, wanted) AS coalesce(max(x) FILTER (rank = wanted), 0);
CREATE OR REPLACE TEMP MACRO sorted_percentile(x, rank, n, q) AS CASE WHEN count(x) > 0 THEN list_dot_product(
    [value_at(x, rank, ceil(rank_of(q, n))), value_at(x, rank, floor(rank_of(q, n)))],
    [
        coalesce(any_value(rank_of(q, n) - floor(rank_of(q, n))), 0),
        1 - coalesce(any_value(rank_of(q, n) - floor(rank_of(q, n))), 0)
    ]
) END;
CREATE OR REPLACE TEMP MACRO sorted_percentiles(x, rank, n) AS struct_pack(
    p50 := sorted_percentile(x, rank, n, 0.5),
    p95 := sorted_percentile(x, rank, n, 0.95),
    p99 := sorted_percentile(x, rank, n, 0.99)
);
CREATE OR REPLACE TEMP MACRO joined_percentiles(joined) AS struct_pack(
    p50 := any_value(joined.p50),
    p95 := any_value(joined.p95),
    p99 := any_value(joined.p99)
);
"""
"""A bucket is the sign, the exponent and the first seven bits of a double, whose order is that of the values.

Ranks begin at 0. The engine interpolates with one rounding less where the processor can: a product of lists is compiled
alike.
"""


def fits(memory: int, select: str, rows: int) -> bool:
    """Whether the values of so many rows, of which a select takes percentiles, fit so many bytes."""
    return rows * len(set(_CALL.findall(select))) * VALUE_BYTES * ROOM <= memory


def by_sorting(connection: DuckDBPyConnection, select: str) -> str:
    """A select whose percentiles are taken by sorting, on a connection that has its macros."""
    if not _CALL.search(select):
        return select
    import sqlglot
    from sqlglot import expressions

    connection.execute(_MACROS)
    tree = sqlglot.parse_one(select, dialect="duckdb")
    aggregates = _aggregates(connection)
    for query in list(tree.find_all(expressions.Select)):
        _rewrite(query, aggregates)
    return tree.sql(dialect="duckdb", comments=False)


def _aggregates(connection: DuckDBPyConnection) -> frozenset[str]:
    """The names of the engine's aggregates, and of the macros that call one."""
    rows = connection.execute(
        "SELECT lower(function_name), function_type, macro_definition FROM duckdb_functions() "
        "WHERE function_type = 'aggregate' OR (function_type = 'macro' AND NOT internal)"
    ).fetchall()
    found = {name for name, kind, _ in rows if kind == "aggregate"}
    calls = {name: {*_NAMED.findall(text.lower())} for name, kind, text in rows if kind == "macro"}
    while more := {name for name, called in calls.items() if name not in found and called & found}:
        found |= more
    return frozenset(found)


def _rewrite(query: Select, aggregates: frozenset[str]) -> None:
    """Join a select that calls `percentiles` with those of its groups, and take them from there."""
    from sqlglot import expressions

    calls: dict[str, list[Anonymous]] = {}
    for call in query.find_all(expressions.Anonymous):
        if call.name.lower() == CALLED and call.parent_select is query:
            calls.setdefault(call.expressions[0].sql(dialect="duckdb"), []).append(call)
    keys = _keys(query, aggregates)
    rows = query.copy()
    for number, (value, same) in enumerate(calls.items()):
        name = f"sorted_{number}"
        on = [f"{name}.key_{n} IS NOT DISTINCT FROM {key}" for n, key in enumerate(keys)]
        query.join(
            _sorted(rows, keys, value),
            on=" AND ".join(on) or "true",
            join_type="left",
            join_alias=name,
            dialect="duckdb",
            copy=False,
        )
        for call in same:
            taken = f"joined_percentiles({name}.percentiles)"
            call.replace(expressions.maybe_parse(taken, dialect="duckdb"))


def _keys(query: Select, aggregates: frozenset[str]) -> list[str]:
    """What a select groups by, but for what is the same for all rows."""
    from sqlglot import expressions

    group = query.args.get("group")
    if group is None:
        return []
    found = group.expressions
    if group.args.get("all"):
        found = [item.unalias() for item in query.selects if not _is_aggregate(item, aggregates)]
    return [key.sql(dialect="duckdb", comments=False) for key in found if key.find(expressions.Column)]


def _is_aggregate(item: Expr, aggregates: frozenset[str]) -> bool:
    from sqlglot import expressions

    return any(
        isinstance(node, expressions.AggFunc)
        or (isinstance(node, expressions.Anonymous) and node.name.lower() in aggregates)
        for node in item.walk()
    )


def _sorted(rows: Select, keys: Sequence[str], value: str) -> str:
    """The select of each group's percentiles of a value, over the rows of a select before it groups them."""
    values = rows.copy()
    for clause in ("with_", "group", "having", "qualify", "distinct", "order", "limit", "offset"):
        values.set(clause, None)
    columns = [f"{key} AS key_{n}" for n, key in enumerate(keys)]
    values.select(*columns, f"CAST({value} AS DOUBLE) AS x", append=False, dialect="duckdb", copy=False)
    values.where(f"({value}) IS NOT NULL", dialect="duckdb", copy=False)
    bucketed = f"SELECT *, sorting_bucket(x) AS bucket FROM ({values.sql(dialect='duckdb', comments=False)})"
    names = [f"key_{n}" for n, _ in enumerate(keys)]
    first = "".join(f"{name}, " for name in names)
    whole = f"PARTITION BY {', '.join(names)} " if names else ""
    same = " AND ".join(["v.bucket = b.bucket", *(f"v.{name} IS NOT DISTINCT FROM b.{name}" for name in names)])
    counted = f"SELECT {first}bucket, count(*) AS events FROM ({bucketed}) GROUP BY ALL"
    reached = (
        f"SELECT *, sum(events) OVER ({whole}ORDER BY bucket) - events AS before, sum(events) OVER ({whole}) AS n "
        f"FROM ({counted})"
    )
    ranked = (
        "SELECT v.*, b.n, b.before - 1 + row_number() OVER "
        f"(PARTITION BY {''.join(f'v.{name}, ' for name in names)}v.bucket ORDER BY v.x) AS rank "
        f"FROM ({bucketed}) v JOIN (SELECT * FROM ({reached}) WHERE holds_a_rank(n, before, events)) b ON {same}"
    )
    group = f" GROUP BY {', '.join(names)}" if names else ""
    return f"SELECT {first}sorted_percentiles(x, rank, n) AS percentiles FROM ({ranked}){group}"
