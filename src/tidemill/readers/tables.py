"""The published tables themselves: which there are, and their rows, page by page over one snapshot."""

from __future__ import annotations

import base64
import binascii
import hashlib
import json
from contextlib import contextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any, cast

from typing_extensions import TypedDict

from tidemill.catalog import system_tables
from tidemill.catalog import tables as catalog_tables
from tidemill.engine import messages
from tidemill.errors import NotFoundError, UsageError
from tidemill.readers import paging, sql

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyRelation

    from tidemill.readers.paging import Page
    from tidemill.readers.snapshot import Published


class Column(TypedDict):
    """A column's name, SQL type and meaning."""

    name: str
    type: str
    description: str


class Table(TypedDict):
    """A published table; `key` has the columns that no two rows have the same values of."""

    name: str
    family: str
    description: str
    key: list[str]
    rows: int
    built_at: str | None
    columns: list[Column]


class Rows(TypedDict):
    """A page of a table's rows, each by its columns' names; the cursor asks for the next page of the same snapshot."""

    table: str
    snapshot: str
    total_rows: int
    rows: list[dict[str, Any]]
    next_cursor: str | None


def tables(published: Published) -> list[Table]:
    """Every table of the snapshot, by family and name."""
    columns: dict[str, list[Column]] = {}
    for row in published.rows("FROM table_columns", "table_columns"):
        made = Column(name=row["column_name"], type=row["type"], description=row["description"] or "")
        columns.setdefault(row["table_name"], []).append(made)
    return [
        {
            "name": name,
            "family": family,
            "description": known.description,
            "key": list(known.key),
            "rows": _rows(published, name),
            "built_at": _built_at(published, name),
            "columns": columns.get(name, []),
        }
        for family, name, known in sorted(_known())
        if published.holds(name)
    ]


def _known() -> Iterator[tuple[str, str, catalog_tables.Table | system_tables.OwnTable]]:
    yield from ((table.family, name, table) for name, table in catalog_tables.tables().items())
    yield from ((system_tables.FAMILY, name, table) for name, table in system_tables.OWN.items())


def _rows(published: Published, name: str) -> int:
    if name in system_tables.OWN:
        with chosen(published, name, paging.Page()) as relation:
            return count(relation)
    return sum(int(made["rows"]) for made in published.manifest.tables[name].partitions.values())


def _built_at(published: Published, name: str) -> str | None:
    if name in system_tables.OWN:
        return published.manifest.published_at.replace("+00:00", "Z")
    built = [str(made["built_at"]) for made in published.manifest.tables[name].partitions.values()]
    return max(built).replace("+00:00", "Z") if built else None


@contextmanager
def chosen(published: Published, name: str, page: Page) -> Iterator[DuckDBPyRelation]:
    """The rows of a page as a DuckDB relation, for as long as its connection is open.

    Raises:
        NotFoundError: there is no such table in the snapshot.
        UsageError: there is no such column, or a value is not of its type.
    """
    order = order_of(published, name)
    with sql.beside(published.tables) as connection:
        yield paging.of_table(connection, name, page, order)


def order_of(published: Published, name: str) -> tuple[str, ...]:
    """The order of a table's rows.

    Raises:
        NotFoundError: there is no such table in the snapshot.
    """
    known = _orders()
    if name not in known or not published.holds(name):
        raise NotFoundError(str(UsageError.unknown("table", name, filter(published.holds, known))))
    return known[name]


def _orders() -> dict[str, tuple[str, ...]]:
    """Every table that may be published, with the order of its rows."""
    made = {name: table.sort for name, table in catalog_tables.tables().items()}
    return made | {name: table.key for name, table in system_tables.OWN.items()}


def count(relation: DuckDBPyRelation) -> int:
    """How many rows a relation has."""
    with messages.failures():
        return int(relation.aggregate("count(*)").fetchall()[0][0])


def text(published: Published, name: str, page: Page) -> str:
    """A page of a table's rows as the text of `Rows` in JSON; as `rows`."""
    with chosen(published, name, replace(page, limit=None, offset=0)) as relation:
        total = count(relation)
    with chosen(published, name, page) as relation:
        lines = paging.texts(relation)
    head = json.dumps({"table": name, "snapshot": published.id, "total_rows": total})[:-1]
    following = json.dumps(next_cursor(published.id, name, page, total))
    return f'{head}, "rows": [{", ".join(lines)}], "next_cursor": {following}}}'


def rows(published: Published, name: str, page: Page) -> Rows:
    """A page of a table's rows.

    Raises:
        NotFoundError: there is no such table in the snapshot.
        UsageError: there is no such column, or a value is not of its type.
    """
    return cast("Rows", json.loads(text(published, name, page)))


def next_cursor(snapshot: str, name: str, page: Page, total: int) -> str | None:
    """What asks for the page after one of so many rows; None after the last."""
    if page.limit is None or page.offset + page.limit >= total:
        return None
    state = [snapshot, page.offset + page.limit, _asked(name, page)]
    return base64.urlsafe_b64encode(json.dumps(state).encode()).decode().rstrip("=")


def opened(cursor: str, name: str, page: Page) -> tuple[str, Page]:
    """The snapshot that a cursor goes on with, and its page.

    Raises:
        UsageError: it is no cursor, or one of another question.
    """
    try:
        state = json.loads(base64.b64decode(cursor + "=" * (-len(cursor) % 4), altchars=b"-_", validate=True))
        snapshot, offset, asked = state
    except (ValueError, TypeError, RecursionError, binascii.Error):
        raise UsageError(f"cursor is none that an answer gave: {cursor[:40]}") from None
    if not isinstance(snapshot, str) or not _is_place(offset) or asked != _asked(name, page):
        raise UsageError("cursor belongs to another table, filter, order or columns; ask without it")
    return snapshot, replace(page, offset=offset)


def _is_place(offset: object) -> bool:
    """Whether a page of a table may begin there."""
    return type(offset) is int and 0 <= offset <= paging.EVERYTHING


def _asked(name: str, page: Page) -> str:
    """What tells one question from another: a page may be longer or shorter than the one before."""
    parts = [name, list(page.columns), [[f.column, f.comparison, f.value] for f in page.filters], list(page.order)]
    return hashlib.sha256(json.dumps(parts).encode()).hexdigest()[:16]
