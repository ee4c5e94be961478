"""The fields of JSON records that a format's select reads: a file of JSON has no header that would list them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any, Final

import duckdb

from tidemill.engine.quoting import identifier, literals
from tidemill.ingest.sql import columns as sql_columns
from tidemill.ingest.sql import lines as sql_lines

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from duckdb import DuckDBPyConnection

    Node = dict[str, Any]

MOST_FIELDS: Final = 1_000
"""A select that reads all fields, as `*` does, takes so many at most."""


@dataclass(frozen=True)
class Names:
    """The names in a select that may be fields of `raw`.

    A name in `defined` (lower case) is also an alias, a table or a parameter in the select. `whole` is set where the
    select reads all fields at once, as `*` does.
    """

    used: tuple[str, ...]
    defined: frozenset[str]
    whole: bool

    @cached_property
    def doubtful(self) -> frozenset[str]:
        """The names, in lower case, that only the records can explain."""
        lower = [name.lower() for name in self.used]
        return frozenset(name for name in lower if name in self.defined or lower.count(name) > 1)


def names(tree: object) -> Names:
    """Return the names in a parsed select that may be fields of `raw`."""
    nodes = list(_walk(tree))
    tables = {table["alias"].lower() or "raw" for table, _ in nodes if _is_raw(table)}
    used = {name: None for node, _ in nodes for name in _used(node, tables) if name.lower() != "line"}
    defined = {name.lower() for node, _ in nodes for name in _defined(node) if name}
    return Names(tuple(used), frozenset(defined), any(_is_whole(node, over, tables) for node, over in nodes))


def _walk(tree: object) -> Iterator[tuple[Node, bool]]:
    """Yield each node of a tree, and whether `raw` stands in the FROM of the select around it."""
    todo = [(tree, False)]
    while todo:
        node, over = todo.pop()
        if isinstance(node, list):
            todo += [(inner, over) for inner in reversed(node)]
        elif isinstance(node, dict):
            if node.get("type") == "SELECT_NODE":
                over = _reads_raw(node["from_table"])
            yield node, over
            # The `*` of ORDER BY ALL is no column.
            todo += [(inner, over and key != "modifiers") for key, inner in reversed(node.items())]


def _is_raw(node: Node) -> bool:
    return node.get("type") == "BASE_TABLE" and node["table_name"].lower() == "raw"


def _reads_raw(table: Node | None) -> bool:
    if not table:
        return False
    return _is_raw(table) or any(_reads_raw(table.get(part)) for part in ("left", "right", "source"))


def _used(node: Node, tables: Iterable[str]) -> Iterator[str]:
    """Yield the names that a node itself uses as columns."""
    if node.get("class") == "COLUMN_REF":
        first, *rest = node["column_names"]
        # Of `raw.kind` the field is the second part, of `kind.part` it is the first.
        yield rest[0] if rest and first.lower() in tables else first
    elif node.get("class") == "STAR":
        yield from node.get("exclude_list", ())
        yield from (entry["column"] for entry in node.get("qualified_exclude_list", ()))
        yield from (entry["key"] for entry in node.get("replace_list", ()))
        yield from (entry["key"]["column"] for entry in node.get("rename_list", ()))
    yield from node.get("using_columns", ())


def _defined(node: Node) -> Iterator[str]:
    """Yield the names that a node itself gives to something."""
    for key in ("alias", "key", "table_name"):
        if isinstance(node.get(key), str):
            yield node[key]
    for key in ("column_name_alias", "aliases", "unpivot_names"):
        yield from node.get(key, ())
    if node.get("class") == "LAMBDA":
        yield from (name for inner, _ in _walk(node["lhs"]) for name in inner.get("column_names", ()))


def _is_whole(node: Node, over_raw: bool, tables: Iterable[str]) -> bool:  # noqa: FBT001 - as `_walk` gives it
    if node.get("class") == "STAR":
        named = node.get("relation_name", "").lower()
        return named in tables if named else over_raw
    if node.get("class") == "COLUMN_REF":
        return len(node["column_names"]) == 1 and node["column_names"][0].lower() in tables
    return over_raw and node.get("ref_type") == "NATURAL"


def keys(connection: DuckDBPyConnection, lines: str, names: Iterable[str] | None) -> list[str]:
    """Return the top-level keys that any record has, however they are spelled; all, if no names are given."""
    spelled = "true" if names is None else f"lower(key) IN (SELECT lower(unnest({literals(names)})))"
    found = connection.execute(
        f"SELECT DISTINCT key FROM (SELECT unnest(TRY(json_keys(raw))) AS key FROM ({lines})) "
        f"WHERE key <> '' AND {spelled} ORDER BY key LIMIT {MOST_FIELDS + 1}"
    )
    return [key for (key,) in found.fetchall()]


def columns(names: Names, doubtful: Iterable[str], there: Iterable[str]) -> tuple[dict[str, str], list[str]]:
    """Return which key each column of `raw` holds, and the names that no record has and that may be aliases.

    Keys that are `there` are columns, so that they win over aliases as the columns of a CSV file do.
    """
    by_name: dict[str, str] = {}
    for key in there:
        name = _column(key)
        # Of keys that differ by case alone, the one is taken that the select spells so.
        if name.lower() not in by_name or name in names.used:
            by_name[name.lower()] = key
    held: dict[str, str] = {}
    absent = []
    for name in {name.lower(): name for name in reversed(names.used)}.values():
        if name.lower() in by_name:
            held[name] = by_name[name.lower()]
        elif name.lower() in doubtful:
            absent.append(name)
        else:
            held[name] = "line" if name == sql_columns.OWN_LINE else name
    if names.whole:
        taken = {name.lower() for name in held}
        held |= {_column(key): key for name, key in by_name.items() if name not in taken}
    return held, absent


def _column(key: str) -> str:
    return sql_columns.OWN_LINE if key.lower() == "line" else key


def needed(
    connection: DuckDBPyConnection, select: str, held: Mapping[str, str], absent: Sequence[str]
) -> Sequence[str]:
    """Return the absent names that must be columns nevertheless: without them the select cannot be bound.

    `held` are the types of the columns that there are. The engine knows where an alias may stand, and tries it.
    """

    def binds(more: Iterable[str]) -> bool:
        types = {**held, **dict.fromkeys(more, "VARCHAR")}
        nulls = "".join(f", CAST(NULL AS {kind}) AS {identifier(name)}" for name, kind in types.items())
        connection.execute(f"CREATE OR REPLACE TEMP VIEW raw AS SELECT 1::BIGINT AS line{nulls}")
        try:
            connection.execute(f"CREATE OR REPLACE TEMP VIEW mapped AS {select}")
        except (duckdb.ProgrammingError, duckdb.DataError):
            return False
        return True

    if not absent or binds(()):
        return ()
    kept = list(absent)
    for name in absent:
        rest = [other for other in kept if other != name]
        if binds(rest):
            kept = rest
    return kept


def objects(lines: str, held: Mapping[str, str], types: Mapping[str, str]) -> str:
    """Return the select of the records' fields as text columns, or of the type that a Parquet file's column had."""
    return sql_lines.fields(lines, {name: (key, types.get(key, "VARCHAR")) for name, key in held.items()})
