"""What DuckDB writes into a snapshot: the table `builds`, and the catalog of views by absolute paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb

from tidemill import catalog, lake
from tidemill.engines import relations
from tidemill.engines.quoting import identifier, literal

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tidemill.lake import Snapshot
    from tidemill.publish import TableState

CATALOG: Final = "catalog.duckdb"
BUILDS: Final = "builds"
_BUILDS: Final = {
    "table_name": "VARCHAR",
    "partition_value": "VARCHAR",
    "fingerprint": "VARCHAR",
    "rows": "BIGINT",
    "seconds": "DOUBLE",
    "built_at": "TIMESTAMP WITH TIME ZONE",
    "run_id": "VARCHAR",
    "despite": "VARCHAR",
}


def write_builds(connection: duckdb.DuckDBPyConnection, folder: Path, states: Mapping[str, TableState]) -> None:
    """Write how each partition came about as the table `builds`."""
    history = [
        {"table_name": table, "partition_value": value, "despite": None, **partition}
        for table, state in states.items()
        for value, partition in state.partitions.items()
    ]
    (folder / BUILDS).mkdir()
    columns = ", ".join(f"unnest(${n}::{kind}[]) AS {name}" for n, (name, kind) in enumerate(_BUILDS.items(), 1))
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE history AS SELECT {columns}",
        [[row[name] for row in history] for name in _BUILDS],
    )
    select = "FROM history ORDER BY table_name, partition_value"
    relations.write(connection, select, folder / BUILDS, "all")


def write_catalog(folder: Path, records: Snapshot) -> None:
    """Write a database with a view for every table, and every stored row in schema `lake`."""
    path = folder / CATALOG
    with duckdb.connect(str(path)) as database:
        database.execute("SET TimeZone = 'UTC'; BEGIN")
        for table in sorted(path.name for path in folder.iterdir() if path.is_dir()):
            files = [str(file) for file in sorted((folder / table).iterdir())]
            database.execute(f"CREATE VIEW {identifier(table)} AS {relations.published(files)}")
            _comment(database, table)
        bind_lake(database, records)
        database.execute("COMMIT")
    path.chmod(0o444)


def bind_lake(database: duckdb.DuckDBPyConnection, records: Snapshot) -> None:
    """Make the schema `lake`: a view of the ledger, of what was refused, and of every stored row of each record."""
    database.execute("CREATE SCHEMA IF NOT EXISTS lake")
    for table, columns in lake.TABLES.items():
        if table != "released":
            database.execute(f"CREATE OR REPLACE VIEW lake.{identifier(table)} AS {_rows(records, table, columns)}")


def _rows(records: Snapshot, table: str, columns: Mapping[str, str]) -> str:
    if table == "quarantine":
        held = relations.held(*(records.paths(name) for name in (table, "released", "loads")))
        if held:
            return f"SELECT {', '.join(columns)} FROM ({held})"
    return relations.stored(columns, records.paths(table))


def _comment(database: duckdb.DuckDBPyConnection, name: str) -> None:
    table = catalog.tables().get(name)
    if table is None:
        return
    database.execute(f"COMMENT ON VIEW {identifier(name)} IS {literal(table.description)}")
    for column, comment in table.comments.items():
        database.execute(f"COMMENT ON COLUMN {identifier(name)}.{identifier(column)} IS {literal(comment)}")
