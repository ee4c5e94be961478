"""What a select does, told by the tree that the engine's own parser makes of it: nothing here looks at SQL as text.

Comments, quotes, other spellings and statements hidden in a WITH clause are all the same in that tree.
"""

from __future__ import annotations

import json
import re
from typing import TYPE_CHECKING, Any, Final

import duckdb

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator

    from duckdb import DuckDBPyConnection

NOT_ONE: Final = "is not one SELECT"
_QUERIES: Final = frozenset({"SELECT_NODE", "SET_OPERATION_NODE", "RECURSIVE_CTE_NODE", "CTE_NODE"})
_ROWS: Final = frozenset({"unnest", "range", "generate_series", "repeat", "repeat_row", "json_each", "json_tree"})
"""The table functions that make rows of their arguments alone."""
_BEYOND: Final = frozenset(
    {"current_setting", "getenv", "getvariable", "current_query", "nextval", "setval", "currval", "write_log"}
    | {"setseed", "sleep_ms"}
)
"""The functions that tell of the process, or do something to it."""
_FROM: Final = frozenset({"SUBQUERY", "JOIN", "EMPTY", "EXPRESSION_LIST", "PIVOT", "TABLE_FUNCTION"})
"""What may stand in a FROM beside a relation."""
_NODE: Final = re.compile(r'"type":"(\w+_NODE)"')


def is_read(connection: DuckDBPyConnection, statement: str) -> bool:
    """Whether a SELECT does nothing but read: what its WITH clause holds may also be an INSERT or a COPY."""
    return _only_queries(_serialized(connection, statement))


def trespass(connection: DuckDBPyConnection, select: str, relations: Collection[str]) -> str | None:
    """What a text does beyond reading some relations with one SELECT, in a few words; None when that is all it does.

    `relations` are names in lower case, with their schema where they have one: `raw`, `lake.loads`.

    Raises:
        duckdb.Error: it is no SQL.
    """
    statements = connection.extract_statements(select)
    if [statement.type for statement in statements] != [duckdb.StatementType.SELECT]:
        return NOT_ONE
    tree = _serialized(connection, statements[0].query)
    if not _only_queries(tree):
        return "writes something in its WITH"
    try:
        return next(_trespasses(json.loads(tree), relations, frozenset()), None)
    except RecursionError:
        return "is nested too deep"


def tree(connection: DuckDBPyConnection, select: str) -> object:
    """Return the tree of one SELECT, which may end in semicolons and comments."""
    (statement,) = connection.extract_statements(select)
    return json.loads(_serialized(connection, statement.query))


def _serialized(connection: DuckDBPyConnection, statement: str) -> str:
    """The tree of a SELECT, as JSON."""
    text: str = connection.execute("SELECT json_serialize_sql($1)", [statement]).fetchall()[0][0]
    if text.startswith('{"error":true'):
        raise duckdb.ParserException(f"Parser Error: {json.loads(text)['error_message']}")
    return text


def _only_queries(tree: str) -> bool:
    """Whether every query in a tree is one: a text in it cannot look like a node, as its quotes are escaped."""
    return _QUERIES.issuperset(_NODE.findall(tree))


def _trespasses(tree: object, relations: Collection[str], defined: frozenset[str]) -> Iterator[str]:
    """What a part of a tree reads or calls that it may not; `defined` are the names that stand before it in a WITH."""
    if isinstance(tree, list):
        for inner in tree:
            yield from _trespasses(inner, relations, defined)
    if not isinstance(tree, dict):
        return
    for entry in tree.get("cte_map", {}).get("map", ()):
        name, query = entry["key"].lower(), entry["value"]
        recursive = {name, f"recurring.{name}"} if query["query_node"]["type"] == "RECURSIVE_CTE_NODE" else set()
        yield from _trespasses(query, relations, defined | recursive)
        defined |= {name}
    yield from _own(tree, relations, defined)
    for key, inner in tree.items():
        if key != "cte_map":
            yield from _trespasses(inner, relations, defined)


def _own(tree: dict[str, Any], relations: Collection[str], defined: frozenset[str]) -> Iterator[str]:
    """What one node of a tree itself reads or calls that it may not."""
    kind, called = str(tree.get("type")), tree.get("function_name")
    stands_in_from = "sample" in tree and "query_location" in tree
    if stands_in_from and kind == "BASE_TABLE":
        name = ".".join(filter(None, (tree[part] for part in ("catalog_name", "schema_name", "table_name"))))
        plain = "." not in tree["table_name"]  # a file's name would be a quoted one
        if not (plain and name.lower() in {*relations, *defined}):
            yield f"reads {name}"
    elif stands_in_from and kind == "TABLE_FUNCTION" and tree["function"]["function_name"].lower() not in _ROWS:
        yield f"calls {tree['function']['function_name']}"
    elif stands_in_from and kind not in _FROM:
        yield f"holds a {kind}"
    elif isinstance(called, str) and called.lower() in _BEYOND:
        yield f"calls {called}"
