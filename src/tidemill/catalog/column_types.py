"""The columns of tables and their types: each select bound to relations without rows."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import duckdb

from tidemill.catalog import prices
from tidemill.catalog.tables import PRICES
from tidemill.config.settings import Settings
from tidemill.engine import connection as engine_connection
from tidemill.engine import messages, relations
from tidemill.errors import TableError
from tidemill.records import CONTRACTS

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tidemill.catalog.tables import Table


def types(tables: Iterable[Table]) -> dict[str, dict[str, str]]:
    """The SQL type of each column of some tables, which stand after those that they read.

    Raises:
        TableError: a select cannot be bound; the message names table, file and line.
    """
    found = {}
    defaults = Settings.model_construct()  # the environment may have a part of a section whose rest is in a file
    parameters = defaults.parameters | {"window_hours": 24, "as_of": datetime.now(UTC)}
    with engine_connection.connect() as connection:
        relations.bind(connection, PRICES, relations.nothing(prices.COLUMNS))
        for table in tables:
            for contract in CONTRACTS.values():
                window = {"in_window": "BOOLEAN"} if table.before else {}
                relations.bind(connection, contract.table, relations.nothing(contract.stored | window))
            query = f"DESCRIBE SELECT * FROM ({table.select}\n)"
            try:
                rows = connection.execute(query, engine_connection.named(connection, query, parameters)).fetchall()
            except duckdb.Error as error:
                raise TableError(f"table {table.name}: {messages.located(table.file, error)}") from error
            found[table.name] = {column: kind for column, kind, *_ in rows}
            relations.bind(connection, table.name, relations.nothing(found[table.name]))
    return found
