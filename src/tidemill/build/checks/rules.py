"""What must hold of every table, as selects of offending rows made of the table's key and columns; running any check.

A rule looks at the names of a table's columns alone: `*_rate` and `*_share`, and for any x `min_x`, `p50_x`, `p95_x`,
`p99_x` and `max_x`.
"""

from __future__ import annotations

import itertools
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.catalog import tables as catalog_tables
from tidemill.engine import sandbox
from tidemill.engine.quoting import identifier, literal

if TYPE_CHECKING:
    from collections.abc import Callable, Collection, Sequence

    from duckdb import DuckDBPyConnection

MACROS: Final = """
CREATE OR REPLACE TEMP MACRO differs(a, b) AS
    a IS DISTINCT FROM b AND NOT coalesce(abs(a - b) <= 1e-9 * greatest(abs(a), abs(b)), false);
"""
"""What a check may call beside a table's macros: whether two figures are not equal, doubles to nine digits."""

ROUNDING: Final = 1e-9
HISTOGRAM_ERROR: Final = 0.0101
"""How far a percentile of a histogram may lie beyond the exact least and greatest value: 1 %, and its rounding."""

_FRACTION: Final = re.compile(r"\w+_(rate|share)")
_ORDERED: Final = ("min_", "p50_", "p95_", "p99_", "max_")


@dataclass(frozen=True)
class Shape:
    """What a rule knows of a table; `estimated` says that its percentiles come from a histogram."""

    name: str
    key: Sequence[str]
    columns: Sequence[str]
    estimated: bool = False

    def select(self, columns: Sequence[str], rest: str) -> str:
        """The select of the table's name, its key and some other columns."""
        names = [literal(self.name) + " AS table_name", *map(identifier, self.key), *columns]
        return f"SELECT {', '.join(names)} FROM {identifier(self.name)} {rest}"


@dataclass(frozen=True)
class Rule:
    """A rule: its select over a table, or None of a table that it says nothing about."""

    name: str
    description: str
    select: Callable[[Shape], str | None]


def _repeated_keys(shape: Shape) -> str:
    return shape.select(["count(*) AS rows"], "GROUP BY ALL HAVING count(*) > 1")


def _no_fractions(shape: Shape) -> str | None:
    found = [identifier(name) for name in shape.columns if _FRACTION.fullmatch(name)]
    if not found:
        return None
    return shape.select(found, "WHERE " + " OR ".join(f"{name} NOT BETWEEN 0 AND 1" for name in found))


def _disordered(shape: Shape) -> str | None:
    names: list[str] = []
    faults: list[str] = []
    for figure in (name.removeprefix("p50_") for name in shape.columns if name.startswith("p50_")):
        steps = [part + figure for part in _ORDERED if part + figure in shape.columns]
        names += map(identifier, steps)
        for less, more in itertools.pairwise(steps):
            loose = shape.estimated and (less.startswith("min_") or more.startswith("max_"))
            faults.append(_exceeds(identifier(less), identifier(more), HISTOGRAM_ERROR if loose else ROUNDING))
    return shape.select(names, "WHERE " + " OR ".join(faults)) if faults else None


def _exceeds(less: str, more: str, tolerance: float) -> str:
    return f"{less} - {more} > {tolerance} * greatest(abs({less}), abs({more}))"


RULES: Final = (
    Rule("unique_keys", "No two rows of a table have the same key.", _repeated_keys),
    Rule("rates_from_0_to_1", "Rates and shares are fractions from 0 to 1.", _no_fractions),
    Rule("percentiles_in_order", "min ≤ p50 ≤ p95 ≤ p99 ≤ max, of every figure that has percentiles.", _disordered),
)
"""The rules, all of severity `fail`."""


def offending(connection: DuckDBPyConnection, select: str) -> tuple[int, str | None]:
    """How many rows a check's select returns, and one of them as JSON: the first by that text.

    Raises:
        duckdb.Error: it is no select, or cannot be run.
    """
    ((count,),) = connection.execute(f"SELECT count(*) FROM ({select}\n)").fetchall()
    if not count:  # a row as JSON costs ten times as much as the counting
        return 0, None
    query = f"SELECT min(CAST(to_json(offending) AS VARCHAR)) FROM ({select}\n) AS offending"
    ((sample,),) = connection.execute(query).fetchall()
    return int(count), sample


def guard(connection: DuckDBPyConnection, select: str, relations: Collection[str]) -> None:
    """Let pass only one SELECT that reads nothing but some relations, as `parsed.trespass` takes them.

    What is no relation at all passes, too: the engine says what is wrong with it, and on which line.

    Raises:
        duckdb.Error: it is something else, or no SQL.
    """
    wrapped = f"SELECT count(*) FROM ({select}\n)"  # as it is run, so that no line is another
    if len(connection.extract_statements(wrapped)) > 1:
        raise duckdb.PermissionException("Permission Error: it ends the select and begins another statement")
    names = connection.execute(
        "SELECT lower(table_name) FROM duckdb_tables() UNION SELECT lower(view_name) FROM duckdb_views()"
    ).fetchall()
    unknown = {name.lower() for name in catalog_tables.relations_of(select)} - {name for (name,) in names}
    trespass = sandbox.trespass(connection, wrapped, {*relations, *unknown})
    if trespass:
        raise duckdb.PermissionException(f"Permission Error: it {trespass}; a check reads tables and the lake alone")


def broken(connection: DuckDBPyConnection, shape: Shape) -> dict[str, tuple[int, str | None]]:
    """What each rule finds in a table that it says something about, as `offending`."""
    selects = {rule.name: select for rule in RULES if (select := rule.select(shape))}
    counts = ", ".join(f"(SELECT count(*) FROM ({select}\n))" for select in selects.values())
    (found,) = connection.execute(f"SELECT {counts}").fetchall()
    return {
        name: offending(connection, select) if count else (0, None)
        for (name, select), count in zip(selects.items(), found, strict=True)
    }


def columns(connection: DuckDBPyConnection, relation: str) -> list[str]:
    """The columns of a relation that is bound."""
    return connection.sql(f"FROM {identifier(relation)}").columns
