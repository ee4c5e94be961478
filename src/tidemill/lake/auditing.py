"""Reading stored records for nothing but to see that they are there: a file to its end, and the ledger's sums."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.engine import relations
from tidemill.engine.quoting import literal
from tidemill.lake import relations as lake_relations
from tidemill.records import CONTRACTS, LOADS

if TYPE_CHECKING:
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.lake.commits import Snapshot

TOLD: Final = 100
"""How many loads are told one by one."""


def unreadable(connection: DuckDBPyConnection, path: str, rows: int | None = None) -> str:
    """Why a Parquet file cannot be read to its end, or has not as many rows as are known; empty if it is whole.

    All its pages are unpacked: a changed byte that still unpacks is not found.
    """
    file = f"read_parquet({literal(path)}, hive_partitioning=false)"
    try:
        found = connection.execute(f"SELECT count(*), max(hash(COLUMNS(*))) FROM {file}").fetchall()[0][0]
    except duckdb.Error as error:
        return f"cannot be read ({str(error).splitlines()[0]})"
    return "" if rows is None or found == rows else f"has {found:,} rows instead of {rows:,}"


@dataclass(frozen=True)
class Promise:
    """The ledger's sums: records that are stored and that were quarantined, retries, and known loads that it lacks.

    A retry quarantines nothing: what it refuses keeps its row.
    """

    accepted: int
    quarantined: int
    retries: int
    forgotten: int


def promise(connection: DuckDBPyConnection, records: Snapshot, known: Path | None = None) -> Promise:
    """Read the ledger once for its sums, and for the loads of a file by `write_loads` that it lacks."""
    loads = relations.published([str(known)]) if known else relations.nothing({"load": "UBIGINT"})
    found = connection.execute(
        f"""SELECT coalesce(sum(accepted), 0), coalesce(sum(quarantined) FILTER (WHERE kind <> 'retry'), 0),
            count(*) FILTER (WHERE kind = 'retry'), (SELECT count(*) FROM ({loads})) - count(k.load)
        FROM ({_ledger(records, "accepted", "quarantined", "kind")}) l LEFT JOIN ({loads}) k USING (load)"""
    ).fetchall()[0]
    return Promise(*map(int, found))


def loads_of(connection: DuckDBPyConnection, records: Snapshot, table: str) -> int:
    """Return how many loads have rows in a table of the lake."""
    rows = lake_relations.stored({"load_id": "VARCHAR"}, records.of(table))
    return int(connection.execute(f"SELECT count(DISTINCT load_id) FROM ({rows})").fetchall()[0][0])


def write_loads(connection: DuckDBPyConnection, records: Snapshot, folder: Path) -> str:
    """Write the loads of the ledger, eight bytes each, into a file of a snapshot; returns its name."""
    name, _ = relations.write(connection, f"{_ledger(records)} ORDER BY load", folder, "loads")
    return name


def _ledger(records: Snapshot, *columns: str) -> str:
    ledger = lake_relations.stored({name: LOADS[name] for name in ("load_id", *columns)}, records.of("loads"))
    return f"SELECT {', '.join(('md5_number_lower(load_id) AS load', *columns))} FROM ({ledger})"


def unbalanced(connection: DuckDBPyConnection, records: Snapshot) -> list[tuple[str, int | None, int]]:
    """The loads of which the lake does not hold what the ledger says: load_id, accepted (None of none), rows.

    Of a lake that was pruned it may hold less.
    """
    stored = " UNION ALL ".join(
        f"SELECT load_id FROM ({lake_relations.stored({'load_id': 'VARCHAR'}, records.of(contract.table))})"
        for contract in CONTRACTS.values()
    )
    ledger = lake_relations.stored({name: LOADS[name] for name in ("load_id", "accepted")}, records.of("loads"))
    less = "false" if records.pruned else "coalesce(held, 0) < accepted"
    return connection.execute(
        f"SELECT load_id, accepted, coalesce(held, 0) FROM ({ledger}) "
        f"FULL JOIN (SELECT load_id, count(*) AS held FROM ({stored}) GROUP BY ALL) USING (load_id) "
        f"WHERE held > coalesce(accepted, 0) OR {less} ORDER BY load_id LIMIT {TOLD}"
    ).fetchall()
