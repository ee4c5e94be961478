"""Rows of a published table as a reader asks for them: some columns, those that match, in an order, a page of them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.engine.export import spelt
from tidemill.engine.messages import failures
from tidemill.engine.quoting import identifier, literal
from tidemill.errors import UsageError
from tidemill.query.filters import comparable

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection, DuckDBPyRelation
    from duckdb.sqltypes import DuckDBPyType

COMPARISONS: Final = {"": "=", "ne": "<>", "gt": ">", "gte": ">=", "lt": "<", "lte": "<="}
"""How a filter's name may end, after two underscores, and what it then asks for: `day__gte` is `day >=`."""
NULL: Final = "null"
"""The ending that asks whether there is a value: `user_id__null=true`."""
_TRUTHS: Final = {"true": "IS NULL", "false": "IS NOT NULL"}


@dataclass(frozen=True)
class Filter:
    """A condition on one column: a comparison with a value, or whether there is one."""

    column: str
    comparison: str
    value: str

    @classmethod
    def of(cls, name: str, value: str) -> Filter:
        """The filter that a parameter means: a column, or a column, two underscores and a comparison."""
        column, _, ending = name.rpartition("__")
        if column and (ending in COMPARISONS or ending == NULL):
            return cls(column, ending, value)
        return cls(name, "", value)


@dataclass(frozen=True)
class Page:
    """What is asked for of a table: no columns are all of them, each once; no order is the table's own."""

    columns: Sequence[str] = ()
    filters: Sequence[Filter] = ()
    order: Sequence[str] = ()
    limit: int | None = None
    offset: int = 0


def of_table(connection: DuckDBPyConnection, table: str, page: Page, sort: Sequence[str]) -> DuckDBPyRelation:
    """The rows of a table that are asked for; equal ones of another order stand in the table's own.

    Raises:
        UsageError: there is no such column, or a value is not of its type.
    """
    with failures():
        relation = connection.sql(f"FROM {identifier(table)}")
    types = dict(zip(relation.columns, relation.types, strict=True))
    for found in page.filters:
        relation = relation.filter(_condition(connection, found, types))
    if page.order:
        relation = relation.order(", ".join([*(_ordering(name, types) for name in page.order), *sort]))
    if page.limit is not None or page.offset:
        relation = relation.limit(page.limit if page.limit is not None else EVERYTHING, page.offset)
    if page.columns:
        relation = relation.project(", ".join(identifier(_known(name, types)) for name in dict.fromkeys(page.columns)))
    return relation


EVERYTHING: Final = 2**62
"""More rows than any table has."""


def texts(relation: DuckDBPyRelation) -> list[str]:
    """Each row as the text of a JSON object: instants in ISO 8601, what is no number null."""
    columns = zip(relation.columns, relation.types, strict=True)
    pairs = ", ".join(f"{identifier(name)} := {spelt(identifier(name), kind, 'json')}" for name, kind in columns)
    with failures():
        return [text for (text,) in relation.project(f"to_json(struct_pack({pairs}))::VARCHAR").fetchall()]


def _condition(connection: DuckDBPyConnection, asked: Filter, types: Mapping[str, DuckDBPyType]) -> str:
    column, kind = identifier(_known(asked.column, types)), types[asked.column]
    if asked.comparison == NULL:
        if asked.value not in _TRUTHS:
            raise UsageError(f"{asked.column}__{NULL} is true or false; not {asked.value}")
        return f"{column} {_TRUTHS[asked.value]}"
    value = f"CAST({literal(asked.value)} AS {comparable(kind)})"
    try:
        connection.execute(f"SELECT {value}").fetchall()
    except duckdb.Error:
        hint = " (in an address + is written %2B)" if " " in asked.value else ""
        raise UsageError(f"{asked.column} is a {kind}; not {asked.value}{hint}") from None
    return f"{column} {COMPARISONS[asked.comparison]} {value}"


def _ordering(name: str, types: Mapping[str, DuckDBPyType]) -> str:
    column = identifier(_known(name.removeprefix("-"), types))
    return f"{column} DESC" if name.startswith("-") else column


def _known(name: str, types: Mapping[str, DuckDBPyType]) -> str:
    if name not in types:
        raise UsageError.unknown("column", name, types)
    return name
