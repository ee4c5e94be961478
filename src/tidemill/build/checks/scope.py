"""What a run of checks looks at: which partitions changed, and the relations of a check cut to them."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tidemill.build import staleness
from tidemill.build.checks.definitions import LAKE
from tidemill.build.staleness import ALL, EMPTY
from tidemill.catalog import tables as catalog_tables
from tidemill.config import duration
from tidemill.engine import calendar, relations
from tidemill.lake import relations as lake_relations
from tidemill.lake import schema as lake_schema
from tidemill.lake.retention import first_open
from tidemill.records import BY_TABLE
from tidemill.snapshots import catalog_db, manifest

if TYPE_CHECKING:
    from collections.abc import Container, Mapping, Sequence

    from tidemill.build.context import Build

_OVERLAP: Final = frozenset({"week", "month"})


@dataclass(frozen=True)
class Scope:
    """A build, or what is published, as checks see it.

    `changed` has the changed partitions of each relation (of records their reporting days); None stands for all
    there are. `unfit` says of relations that do not go together with others why that is so.
    """

    build: Build
    changed: Mapping[str, frozenset[str]] | None
    unfit: Mapping[str, str]

    def obstacle(self, reads: frozenset[str]) -> str:
        """Why a check over those relations cannot be run; empty if it can."""
        missing = sorted(reads - {LAKE, *BY_TABLE} - self.build.states.keys())
        if missing:
            return f"{missing[0]} is not built yet"
        unfit = sorted(reads & self.unfit.keys()) if len(reads) > 1 else []
        return self.unfit[unfit[0]] if unfit else ""

    def touches(self, reads: frozenset[str]) -> bool:
        """Whether something changed that a check over those relations sees."""
        return self.changed is None or any(self.changed.get(name) for name in reads)

    def rows(self, name: str) -> int:
        """How many rows a table has, all in all."""
        return sum(int(made["rows"]) for made in self.build.states[name].partitions.values())

    def bind(self, reads: frozenset[str]) -> None:
        """Bind relations for a check over all of them: their changed days, where all of them have days, or whole."""
        days = self._days(reads)
        for name in sorted(reads - {LAKE}):
            if name in BY_TABLE:
                self._bind_records(name, days)
            else:
                self._bind_table(name, days)

    def _days(self, reads: frozenset[str]) -> list[str] | None:
        """The reporting days that a check sees: whole weeks or months, if it reads such; None for all.

        Sealed days are left out of what is cut by days: a sealed week lacks what came later.
        """
        spans = {name: _span(name) for name in reads}
        cut, pruned = set(spans.values()), self.build.lake.pruned
        everything = self.changed is None or cut >= _OVERLAP
        if "" in cut or (everything and not pruned):
            return None
        found = {
            day
            for name, span in spans.items()
            for value in (self._all(name) if everything else self._changed(name)) - {EMPTY}
            for day in calendar.days(value, span)
        }
        if not everything:
            widest = next(iter(cut & _OVERLAP), "day")
            found = {day for period in calendar.periods(found, widest) for day in calendar.days(period, widest)}
        first = max(first_open(pruned, span, self.build.settings.timezone) for span in cut) if pruned else ""
        return sorted(day for day in found if day >= first)

    def _changed(self, name: str) -> frozenset[str]:
        return self.changed.get(name, frozenset()) if self.changed is not None else frozenset()

    def _all(self, name: str) -> frozenset[str]:
        """Every partition of a table, or every reporting day of a kind of record."""
        if name in BY_TABLE:
            return frozenset(calendar.reporting_days(self.build.records[name], self.build.settings.timezone))
        return frozenset(self.build.known(name))

    def _bind_records(self, kind: str, days: Sequence[str] | None) -> None:
        touched, where = None, "true"
        if days is not None:
            touched = {utc for day in days for utc in calendar.lake_days(day, self.build.settings.timezone)}
            where = relations.in_days(BY_TABLE[kind].day_of, days)
        lake_relations.bind_records(self.build.connection, kind, self.build.of_lake(kind, touched), where)

    def _bind_table(self, name: str, days: Sequence[str] | None) -> None:
        table = catalog_tables.table(name)
        periods = None if days is None else calendar.periods(days, table.partition)
        paths = self.build.files(table, periods)
        relations.bind_table(self.build.connection, name, paths, table.partition_column, days)


def _span(name: str) -> str:
    """The period that a relation is cut by; empty if by none."""
    if name in BY_TABLE:
        return "day"
    table = catalog_tables.tables().get(name)
    return table.partition if table and table.partition in duration.PERIODS else ""


def of_build(build: Build, *, deep: bool = False) -> Scope:
    """What a build is about to publish: what it built, and the records that came since the snapshot before."""
    catalog_db.bind_lake(build.connection, build.lake)
    changed = {made.table: frozenset(made.partitions) for made in build.built}
    changed |= _new_records(build)
    if manifest.lake_digest(build.lake) != build.before.lake_digest:
        changed[LAKE] = frozenset({ALL})
    unfit = _unfit(replace(build, full=False), build.states.keys() - build.fresh)
    return Scope(build, None if deep else changed, unfit)


def of_snapshot(build: Build, *, deep: bool = False) -> Scope:
    """What is published: of a build that builds nothing, what the newest one built, and the records after it."""
    catalog_db.bind_lake(build.connection, build.lake)
    runs = {
        name: {value: (str(made["built_at"]), str(made["run_id"])) for value, made in state.partitions.items()}
        for name, state in build.states.items()
    }
    newest = max((made for partitions in runs.values() for made in partitions.values()), default=("", ""))[1]
    changed = {
        name: frozenset(value for value, (_, run) in partitions.items() if run == newest)
        for name, partitions in runs.items()
    }
    days = {kind: _days_of_readers(kind, changed) | fresh for kind, fresh in _new_records(build).items()}
    unfit = _unfit(replace(build, records=build.before.lake), build.states.keys())
    if manifest.lake_digest(build.lake) != build.before.lake_digest:
        behind = "the lake holds what the tables do not yet; run: tidemill build"
        unfit |= dict.fromkeys((*lake_schema.RECORD_TABLES, LAKE), behind)
    return Scope(build, None if deep else {**changed, **days, LAKE: frozenset({ALL})}, unfit)


def _days_of_readers(kind: str, changed: Mapping[str, frozenset[str]]) -> frozenset[str]:
    """The changed days of the day tables that read a kind of record."""
    readers = (table for table in catalog_tables.tables().values() if kind in table.reads and table.partition == "day")
    return frozenset(day for table in readers for day in changed.get(table.name, frozenset()) - {EMPTY})


def _new_records(build: Build) -> dict[str, frozenset[str]]:
    """The reporting days of each kind whose records are not those of the snapshot before."""
    found = {}
    for kind, days in build.records.items():
        now, before = (
            {day: made["records"] for day, made in of.items()} for of in (days, build.before.lake.get(kind, {}))
        )
        changed = [day for day in {*now, *before} if now.get(day) != before.get(day)]
        found[kind] = frozenset(calendar.reporting_days(changed, build.settings.timezone))
    return found


def _unfit(build: Build, names: Container[str]) -> dict[str, str]:
    """Of some tables those that are not of the same records as the others, and those that read such a table."""
    found = {name: f"{name} could not be built" for name in build.failed}
    found |= {name: f"{name} waits for what it reads" for name in build.waiting}
    for table in catalog_tables.tables().values():
        if table.name in names and table.name not in found:
            work = staleness.work(build, table)
            moved = work.gone or not all(mark.only_later for mark in work.stale.values())
            if moved or table.reads & found.keys():
                found[table.name] = f"{table.name} is stale; run: tidemill build"
    return found
