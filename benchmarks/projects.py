"""dbt-duckdb and SQLMesh: projects whose models are our tables' selects, incremental by day."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks import selects
from benchmarks.environments import QUIET, peers
from benchmarks.measure import measure
from tidemill.catalog import tables as catalog_tables

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.environments import Environment

CATALOG: Final = "bench"
DATABASE: Final = f"{CATALOG}.duckdb"
DBT_TABLE: Final = f"{CATALOG}.main.{{}}"
SQLMESH_TABLE: Final = f"{CATALOG}.main_tables.{{}}"
READS: Final = "FROM events"

_DBT_MODEL: Final = """{{{{ config(
    materialized='incremental', incremental_strategy='delete+insert', unique_key='{key}'
) }}}}
{{% set last = run_query('SELECT max({key})::DATE FROM ' ~ this).columns[0][0] if is_incremental() else '1970-01-01' %}}
{select}
"""
_DBT_READS: Final = "FROM (SELECT * FROM {{ source('lake', 'events') }} WHERE day >= DATE '{{ last }}') AS events"
_DBT_PROJECT: Final = """name: bench
version: "1.0.0"
config-version: 2
profile: bench
"""
_DBT_PROFILE: Final = """bench:
  target: dev
  outputs:
    dev:
      type: duckdb
      path: {path}
      threads: 1
"""
_DBT_SOURCES: Final = """version: 2
sources:
  - name: lake
    schema: lake
    tables:
      - name: events
"""
_SQLMESH_MODEL: Final = """MODEL (
  name main_tables.{name},
  kind INCREMENTAL_BY_TIME_RANGE (time_column {key}),
  start '{start}',
  cron '@daily',
  allow_partials true
);

{select}
"""
_SQLMESH_READS: Final = "FROM (SELECT * FROM lake.events WHERE day BETWEEN @start_date AND @end_date) AS events"
_SQLMESH_CONFIG: Final = """gateways:
  local:
    connection:
      type: duckdb
      database: {path}
default_gateway: local
model_defaults:
  dialect: duckdb
"""


def dbt(folder: Path, home: Path) -> None:
    """Write a dbt project, without its database."""
    _write(folder / "dbt_project.yml", _DBT_PROJECT)
    _write(folder / "profiles.yml", _DBT_PROFILE.format(path=folder / DATABASE))
    _write(folder / "models" / "sources.yml", _DBT_SOURCES)
    for name in selects.ROLLUPS:
        table = catalog_tables.table(name)
        select = table.select.replace(READS, _DBT_READS)
        _write(folder / "models" / f"{name}.sql", _DBT_MODEL.format(key=table.partition_column, select=select))
    _write(folder / "setup.sql", _setup(home))


def sqlmesh(folder: Path, home: Path, first_day: str) -> None:
    """Write a SQLMesh project, without its database."""
    _write(folder / "config.yaml", _SQLMESH_CONFIG.format(path=folder / DATABASE))
    for name in selects.ROLLUPS:
        table = catalog_tables.table(name)
        select = table.select.replace(READS, _SQLMESH_READS)
        model = _SQLMESH_MODEL.format(name=name, key=table.partition_column, start=first_day, select=select)
        _write(folder / "models" / f"{name}.sql", model)
    _write(folder / "setup.sql", _setup(home))


def dbt_run(folder: Path) -> list[str]:
    """The command that builds what a dbt project has to build."""
    return [peers().program("dbt"), "run", "--project-dir", str(folder), "--profiles-dir", str(folder)]


def sqlmesh_plan(folder: Path, until: str) -> list[str]:
    """The command that makes and fills every model up to a day, that day left out."""
    return [*_sqlmesh(folder), "plan", "--auto-apply", "--no-prompts", "--execution-time", until]


def sqlmesh_run(folder: Path, until: str) -> list[str]:
    """The command that fills every model's missing days, up to and with a day."""
    return [*_sqlmesh(folder), "run", "--ignore-cron", "-e", until]


def _sqlmesh(folder: Path) -> list[str]:
    return [peers("sqlmesh").program("sqlmesh"), "-p", str(folder), "--log-file-dir", str(folder / "logs")]


def fresh_database(environment: Environment, folder: Path) -> None:
    """The database of a project as it is before its first run: with our macros and the lake's files."""
    for path in folder.glob(f"{DATABASE}*"):
        path.unlink()
    command = environment.script("make_database", folder / DATABASE, folder / "setup.sql")
    measure(command, QUIET)


def _setup(home: Path) -> str:
    lake = selects.files(home, "events", hive=True)
    return f"{selects.macros()}CREATE SCHEMA lake;\nCREATE VIEW lake.events AS SELECT * FROM {lake}"


def _write(path: Path, text: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text, encoding="utf-8")
