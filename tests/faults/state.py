"""What a home holds, so that two can be compared: what readers see, what the lake holds, what lies about."""

from __future__ import annotations

import json
import os
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb

from tidemill.engine import relations
from tidemill.home.home import Home
from tidemill.lake import commits, delta
from tidemill.lake import relations as lake_relations
from tidemill.lake import schema as lake_schema

if TYPE_CHECKING:
    from collections.abc import Set as AbstractSet

    Rows = list[tuple[Any, ...]]
    State = dict[str, Rows]

OF_THE_RUN: Final = frozenset(
    {
        "load_id",
        "run_id",
        "fingerprint",
        "seconds",
        "started_at",
        "finished_at",
        "built_at",
        "breached_at",
        "of_load_id",
    }
)
"""Columns that are others in each run: times, and identities that a retry makes anew."""
DAY: Final = 86_400.0


def published(home: Path, *, now: bool = False) -> dict[str, State]:
    """What both pointers to the newest snapshot lead to, table by table, with the lake's views; empty before any.

    Without the moment of windows, if some were built as of `now`.
    """
    without = OF_THE_RUN | {"as_of"} if now else OF_THE_RUN
    pointed = {}
    link, text = home / "tables" / "current", home / "tables" / "CURRENT"
    if link.is_symlink():
        pointed["current"] = link.resolve(strict=True)
    if text.exists():
        pointed["CURRENT"] = Path(text.read_text())
    read = {folder: _snapshot(folder, without) for folder in {*pointed.values()}}
    return {pointer: read[folder] for pointer, folder in pointed.items()}


def _snapshot(folder: Path, without: AbstractSet[str]) -> State:
    """Every table by its catalog and by its files, which must say the same."""
    with duckdb.connect(str(folder / "catalog.duckdb"), read_only=True, config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        views = connection.execute(
            "SELECT schema_name, view_name FROM duckdb_views() WHERE NOT internal ORDER BY ALL"
        ).fetchall()
        found = {f"{schema}.{view}": _rows(connection, f'{schema}."{view}"', without) for schema, view in views}
        for name in sorted(path.name for path in folder.iterdir() if path.is_dir()):
            assert found[f"main.{name}"] == _rows(connection, f"read_parquet('{folder / name}/*.parquet')", without), (
                name
            )
        return found


def _rows(connection: duckdb.DuckDBPyConnection, relation: str, without: AbstractSet[str] = OF_THE_RUN) -> Rows:
    excluded = ", ".join(f"'{name}'" for name in sorted(without))
    return connection.execute(
        f"SELECT COLUMNS(lambda name: NOT list_contains([{excluded}], name)) FROM {relation} ORDER BY ALL"
    ).fetchall()


def stored(home: Path) -> State:
    """Every row of every table of the lake, what is in the quarantine now, and whether each load has its rows."""
    place = Home.at(home)
    snapshot = commits.current(place)
    with duckdb.connect(config={"threads": 1}) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        for table, columns in lake_schema.TABLES.items():
            relations.bind(connection, table, lake_relations.stored(columns, snapshot.of(table)))
        held = lake_relations.held(*(snapshot.paths(table) for table in ("quarantine", "released", "loads")))
        relations.bind(connection, "held", held or relations.nothing(lake_schema.TABLES["quarantine"]))
        found = {table: _rows(connection, table) for table in (*lake_schema.TABLES, "held")}
        found["unaccounted"] = connection.execute(
            """SELECT * EXCLUDE (load_id, started_at, finished_at) FROM loads
            WHERE records_read + expanded <> accepted + duplicates + quarantined + ignored"""
        ).fetchall()
        found["files"] = [(table, len(snapshot.of(table)), len(_lying(place, table))) for table in lake_schema.TABLES]
    assert found["unaccounted"] == []
    return found


def _lying(home: Home, table: str) -> list[Path]:
    return delta.on_disk(home.lake / table, table)


def leftovers(home: Path) -> list[str]:
    """What a killed run left and nobody cleared; of the staging folder what is still there when it is a day old."""
    for folder in (home / "lake" / "staging").iterdir():
        os.utime(folder, (time.time() - 2 * DAY,) * 2)
    commits.current(Home.at(home))
    patterns = (
        *("lake/staging/*", "lake/journal-*", "lake/*.tmp", "lake/*/_delta_log/*#*"),
        *("tables/building-*", "tables/current-*", "tables/CURRENT-*"),
    )
    found = [str(path.relative_to(home)) for pattern in patterns for path in home.glob(pattern)]
    return found + [f"snapshot {name}" for name in _broken(home)]


def _broken(home: Path) -> list[str]:
    """Snapshots that are not whole, and newer ones than the newest."""
    newest = (home / "tables" / "current").resolve().name
    found = []
    for folder in (home / "tables" / "snapshots").glob("*"):
        try:
            tables = json.loads((folder / "manifest.json").read_text())["tables"]
            files = [folder / name / file for name, state in tables.items() for file in state["files"].values()]
            if folder.name > newest or not all(file.exists() for file in files):
                found.append(folder.name)
        except (OSError, ValueError):
            found.append(folder.name)
    return found


def differences(one: State, other: State) -> list[str]:
    """The tables that two states say different things of, with a row that only one of them has."""
    return [
        f"{name}: {_told(one.get(name, []), other.get(name, []))}"
        for name in sorted(one.keys() | other.keys())
        if one.get(name) != other.get(name)
    ]


def _told(one: Rows, other: Rows) -> str:
    gone = [row for row in one if row not in other][:1]
    new = [row for row in other if row not in one][:1]
    return f"{len(one)} rows and {len(other)}; only here {gone}, only there {new}"
