"""What DuckDB writes into a snapshot: the pipeline's own tables, and the catalog of views by absolute paths."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.catalog import tables as catalog_tables
from tidemill.catalog.system_tables import BUILDS, OWN, TABLE_COLUMNS
from tidemill.engine import connection as engine_connection
from tidemill.engine import relations
from tidemill.engine.quoting import identifier, literal
from tidemill.lake import relations as lake_relations
from tidemill.lake import schema as lake_schema
from tidemill.records import LEDGER
from tidemill.snapshots import catalog_files

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tidemill.lake.commits import Snapshot
    from tidemill.snapshots.manifest import TableState

CATALOG: Final = "catalog.duckdb"


def write_builds(connection: duckdb.DuckDBPyConnection, folder: Path, states: Mapping[str, TableState]) -> None:
    """Write how each partition came about as the table `builds`."""
    history = [
        {"table_name": table, "partition_value": value, "despite": None, **partition}
        for table, state in states.items()
        for value, partition in state.partitions.items()
    ]
    (folder / BUILDS.name).mkdir()
    arrays = enumerate(BUILDS.columns.items(), 1)
    columns = ", ".join(f"unnest(${n}::{column.type}[]) AS {name}" for n, (name, column) in arrays)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE history AS SELECT {columns}",
        [[row[name] for row in history] for name in BUILDS.columns],
    )
    select = "FROM history ORDER BY table_name, partition_value"
    relations.write(connection, select, folder / BUILDS.name, "all")


def write_catalog(folder: Path, records: Snapshot) -> None:
    """Write a database with a view for every table, every stored row in schema `lake`, and `histogram_percentile`."""
    path = folder / CATALOG
    # Without this, DuckDB writes the newest storage format, which older versions of it cannot open.
    with duckdb.connect(str(path), config={"storage_compatibility_version": catalog_files.STORAGE}) as database:
        database.execute("SET TimeZone = 'UTC'; BEGIN")
        for table in sorted(path.name for path in folder.iterdir() if path.is_dir()):
            _view(database, folder, table)
        _write_columns(database, folder)
        bind_lake(database, records)
        database.execute(engine_connection.kept_macros())
        database.execute("COMMIT")
        database.execute("CHECKPOINT")  # closing would do that, too, and not say so if the disk refused
    path.chmod(0o444)


def _view(database: duckdb.DuckDBPyConnection, folder: Path, table: str) -> None:
    files = [str(file) for file in sorted((folder / table).iterdir())]
    database.execute(f"CREATE OR REPLACE VIEW {identifier(table)} AS {relations.published(files)}")
    _comment(database, table)


def _write_columns(database: duckdb.DuckDBPyConnection, folder: Path) -> None:
    """Write the columns of all views, and its own, as the table `table_columns`."""
    nothing = relations.nothing({name: column.type for name, column in TABLE_COLUMNS.columns.items()})
    database.execute(f"CREATE VIEW {TABLE_COLUMNS.name} AS {nothing}")
    _comment(database, TABLE_COLUMNS.name)
    (folder / TABLE_COLUMNS.name).mkdir()
    select = (
        "SELECT table_name, column_name, data_type AS type, comment AS description "
        "FROM duckdb_columns() WHERE schema_name = 'main' AND NOT internal ORDER BY table_name, column_index"
    )
    relations.write(database, select, folder / TABLE_COLUMNS.name, "all")
    _view(database, folder, TABLE_COLUMNS.name)


def bind_lake(database: duckdb.DuckDBPyConnection, records: Snapshot) -> None:
    """Make the schema `lake`: a view of the ledger, of what was refused, and of every stored row of each record."""
    database.execute("CREATE SCHEMA IF NOT EXISTS lake")
    for table, columns in lake_schema.TABLES.items():
        if table != "released":
            shown = LEDGER if table == "loads" else columns
            database.execute(f"CREATE OR REPLACE VIEW lake.{identifier(table)} AS {_rows(records, table, shown)}")


def _rows(records: Snapshot, table: str, columns: Mapping[str, str]) -> str:
    if table == "quarantine":
        held = lake_relations.held(*(records.paths(name) for name in (table, "released", "loads")))
        if held:
            return f"SELECT {', '.join(columns)} FROM ({held})"
    return lake_relations.stored(columns, records.of(table))


def _comment(database: duckdb.DuckDBPyConnection, name: str) -> None:
    """Say in the catalog what a view and its columns are; one may still have the columns of an older SQL."""
    if name in OWN:
        description = OWN[name].description
        comments = {column: made.description for column, made in OWN[name].columns.items()}
    else:
        description, comments = catalog_tables.table(name).description, dict(catalog_tables.table(name).comments)
    there = {*database.sql(f"FROM {identifier(name)}").columns}
    said = [f"COMMENT ON VIEW {identifier(name)} IS {literal(description)}"]
    said += [
        f"COMMENT ON COLUMN {identifier(name)}.{identifier(column)} IS {literal(comment)}"
        for column, comment in comments.items()
        if column in there
    ]
    database.execute("; ".join(said))
