"""Lineage of the lake: it must hold all that the newest snapshot was made of.

A part of the lake that came back from an older copy is whole in itself: its files, its log and its seals fit.
Only the newest snapshot and the ledger know that there was more. So a build compares the lake with both:

- Every load that the snapshot knew is in the ledger.
- The logs hold as many rows as the ledger says. A difference that was there at the last publish is known.

Both are true again when the missing files were loaded again, though the tables' versions may differ then.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tidemill.errors import DamagedError, Fault
from tidemill.lake import auditing
from tidemill.lake import schema as lake_schema
from tidemill.snapshots import manifest

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.home.home import Home
    from tidemill.lake.commits import Snapshot
    from tidemill.snapshots.manifest import Manifest

RECORDS: Final = "records"
_OLDER: Final = "came back from an older copy: it"
_WHAT: Final = {
    RECORDS: "records that the ledger says are stored",
    "quarantine": "records that the ledger says were quarantined",
    "released": "retries that the ledger knows",
    "loads": "loads that the tables were published from",
}


def check(home: Home, connection: DuckDBPyConnection, before: Manifest, now: Snapshot) -> None:
    """See that the lake holds all that the newest snapshot was made of.

    Raises:
        DamagedError: the lake, or a part of it, came back from an older copy.
    """
    if found := faults(home, connection, before, now):
        raise DamagedError(found)


def faults(home: Home, connection: DuckDBPyConnection, before: Manifest, now: Snapshot) -> list[Fault]:
    """Return a fault for each table of the lake that came back from an older copy."""
    if not before.id or before.lake_digest == manifest.lake_digest(now):
        return []
    known = before.folder / before.loads if before.loads else None
    grown = {part: count - before.lacking.get(part, 0) for part, count in lacking(connection, now, known).items()}
    return _Comparison(home, before, now, grown).faults()


def lacking(connection: DuckDBPyConnection, records: Snapshot, known: Path | None = None) -> dict[str, int]:
    """Return how much less than the ledger says the logs hold; after a prune that is no loss.

    Of the loads of a snapshot's file, if it is given, also how many the ledger lacks.
    """
    promise = auditing.promise(connection, records, known)
    rows = {table: sum(file.rows for file in records.of(table)) for table in lake_schema.TABLES}
    return {
        RECORDS: promise.accepted - sum(rows[table] for table in lake_schema.RECORD_TABLES),
        "quarantine": promise.quarantined - rows["quarantine"],
        "released": promise.retries - auditing.loads_of(connection, records, "released"),
        "loads": promise.forgotten,
    }


@dataclass(frozen=True)
class _Comparison:
    """The lake beside the newest snapshot: `grown` says how much more it lacks of each part, or less below 0."""

    home: Home
    before: Manifest
    now: Snapshot
    grown: Mapping[str, int]

    @property
    def older(self) -> list[str]:
        """The tables whose version is lower than the one that the snapshot was made of."""
        return [table for table, version in self.before.lake_versions.items() if self._version(table) < version]

    def faults(self) -> list[Fault]:
        """Return the faults by what is gone, and by the versions alone where nothing else can be compared."""
        if not self.before.loads:
            # An older tidemill published it, and noted the versions only.
            return [self._by_version(table) for table in self.older]
        gone = {part: count for part, count in self.grown.items() if count > 0}
        by_version: list[str] = []
        if self.now.pruned != self.before.pruned:
            # The ledger does not say how many records left with the days that were pruned since.
            gone.pop(RECORDS, None)
            by_version = [table for table in self.older if table in lake_schema.RECORD_TABLES]
        advice = self._advice(again=gone.keys() == {"loads"} and self.grown[RECORDS] == 0)
        found = [self._gone(table, part, advice) for part in gone for table in self._tables(part)]
        return [*(self._by_version(table) for table in by_version), *found]

    def _tables(self, part: str) -> list[str]:
        """Return the tables that a part may have gone from; the lake itself where no version tells."""
        if part == RECORDS:
            return [table for table in self.older if table in lake_schema.RECORD_TABLES] or [""]
        return [part]

    def _gone(self, table: str, part: str, advice: str) -> Fault:
        versions = f"; it {self._versions(table)}" if table in self.older else ""
        what = f"{_OLDER} lacks {self.grown[part]:,} of the {_WHAT[part]}{versions}"
        return Fault(self.home.lake / table, what, advice)

    def _by_version(self, table: str) -> Fault:
        return Fault(self.home.lake / table, f"{_OLDER} {self._versions(table)}", self._advice())

    def _versions(self, table: str) -> str:
        version = self._version(table)
        found = f"is at version {version}" if version >= 0 else "has no log"
        return f"{found}, and the tables were published from version {self.before.lake_versions[table]}"

    def _version(self, table: str) -> int:
        return self.now.versions.get(table, -1)

    def _advice(self, *, again: bool = False) -> str:
        """Return how to go on; the files can be loaded `again` if only their loads are gone."""
        restore = f"put all of {self.home.lake} back from the newest copy"
        if self.grown[RECORDS] < 0:
            # Of some records the ledger knows no load, so that no build can use this lake.
            anew = f"remove {self.home.lake} and {self.home.tables} and load all files again"
            return f"{restore}, or, to begin anew, {anew}: tidemill ingest FILE"
        load = ", load again what came since (tidemill ingest FILE)" if again else ""
        forgets = f" (tables then forget the days before {self.before.pruned})" if self.before.pruned else ""
        build = f"remove {self.home.tables} and run: tidemill build{forgets}"
        return f"{restore}{load}, or, to go on with what it holds, {build}"
