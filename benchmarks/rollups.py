"""Six rollups from nothing over the same lake: ours, the bare selects, and every peer."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks import answers, homes, projects, selects
from benchmarks.environments import QUIET, of_packages, own, peers, tidemill
from benchmarks.measure import Contender
from tidemill.catalog import tables as catalog_tables

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence
    from pathlib import Path

    from tidemill.catalog.tables import Table

OURS: Final = "tidemill build"
LIMIT: Final = "the same selects, bare, in one DuckDB session"
LOOP: Final = "a plain Python loop"
DBT: Final = "dbt-duckdb"
SQLMESH: Final = "SQLMesh on DuckDB"
PEERS: Final = {"Polars": "polars", "chDB": "chdb", "pandas": "pandas"}
DIFFERS: Final = "adds doubles up as they come, where ours are exact sums: equal to 1e-9"


def contenders(folder: Path, home: Path, first_day: str) -> list[Contender]:
    """Everything that can make the six rollups; the first is ours."""
    found = [ours(home, selects.ROLLUPS), bare(folder, home, [catalog_tables.table(name) for name in selects.ROLLUPS])]
    events = f"{home}/{homes.WHOLE}/events"
    for name, package in PEERS.items():
        source = events if package == "pandas" else f"{events}/*/*.parquet"
        found.append(_script(name, package, folder / package, home, source))
    return [
        *found,
        dbt(folder / "dbt", home),
        sqlmesh(folder / "sqlmesh", home, first_day),
        _script(LOOP, "python", folder / "loop", home, events, version="pyarrow"),
    ]


def ours(home: Path, names: Sequence[str]) -> Contender:
    """Our build of some tables, after all that was published is gone."""
    command = tidemill(home, "build", *names, "--as-of", "latest")
    return Contender(OURS, [command], partial(homes.clear, home / "tables"), note="also checks them, and publishes")


def bare(folder: Path, home: Path, tables: Sequence[Table]) -> Contender:
    """The tables' selects in one session over the lake's files."""
    target, script = folder / "bare", folder / "bare.sql"
    script.write_text(selects.bare(home, tables, target), encoding="utf-8")
    check = partial(same, home, [table.name for table in tables], _files(target))
    return Contender(
        LIMIT, [own().script("duckdb_session", script)], partial(_empty, target), check, note="in no order of rows"
    )


def dbt(folder: Path, home: Path) -> Contender:
    """The models of dbt from nothing."""
    environment = peers()
    projects.dbt(folder, home)
    return Contender(
        DBT,
        [projects.dbt_run(folder)],
        clear=partial(projects.fresh_database, environment, folder),
        check=partial(same, home, selects.ROLLUPS, projects.DBT_TABLE.format, folder / projects.DATABASE),
        environment=QUIET,
        version=environment.versions("dbt-core", "dbt-duckdb", "duckdb"),
        note="the same SQL; its tables are in a DuckDB file",
        missing=environment.missing,
    )


def sqlmesh(folder: Path, home: Path, first_day: str) -> Contender:
    """SQLMesh's models from nothing."""
    environment = peers("sqlmesh")
    projects.sqlmesh(folder, home, first_day)
    return Contender(
        SQLMESH,
        [projects.sqlmesh_plan(folder, homes.AFTER)],
        clear=partial(projects.fresh_database, environment, folder),
        check=partial(same, home, selects.ROLLUPS, projects.SQLMESH_TABLE.format, folder / projects.DATABASE),
        environment=QUIET,
        version=environment.versions("sqlmesh", "duckdb"),
        note="the same SQL; its tables are in a DuckDB file; it pins duckdb below 2, and runs on what that resolves to",
        missing=environment.missing,
    )


def same(home: Path, names: Sequence[str], theirs: Callable[[str], str], database: Path | None = None) -> None:
    """Raise unless each table is equal to ours."""
    for name in names:
        published = answers.parquet(home / "tables" / "current" / name / "*.parquet")
        answers.same_table(name, theirs(name), published, catalog_tables.table(name).key, database)


def _script(name: str, package: str, target: Path, home: Path, source: str, *, version: str = "") -> Contender:
    environment = of_packages(version or package)
    return Contender(
        name,
        [environment.script(f"{package}_rollups", source, target)],
        clear=partial(_empty, target),
        check=partial(same, home, selects.ROLLUPS, _files(target)),
        environment=QUIET,
        version=environment.versions(version or package),
        note=DIFFERS,
        missing=environment.missing,
    )


def _files(target: Path) -> Callable[[str], str]:
    return lambda name: answers.parquet(target / f"{name}.parquet")


def _empty(folder: Path) -> None:
    homes.clear(folder)
    folder.mkdir(parents=True)
