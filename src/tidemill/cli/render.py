"""What the command says of what was done or found: a table on standard output, notices on standard error."""

from __future__ import annotations

import traceback
from typing import TYPE_CHECKING

from tidemill.catalog import tables as catalog_tables
from tidemill.cli.output import Format, note, write
from tidemill.engine import export

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from tidemill.build.outcome import Built, Outcome
    from tidemill.build.plan import Step, TableStatus
    from tidemill.ingest.queue import Report
    from tidemill.maintenance.compact import Compacted
    from tidemill.maintenance.prune import Pruned


def loads(reports: Sequence[Report], refused: Mapping[str, Sequence[str]], *, debug: bool = False) -> None:
    """What became of the records of each source; `refused` are the reasons for which records of it were.

    With `debug`, every failure is told with its traceback; the one that is raised is left to the caller.

    Raises:
        TidemillError: the last of the failures, after the others were said.
    """
    counts = ("records_read", "expanded", "accepted", "duplicates", "quarantined", "ignored")
    columns = {"source": "VARCHAR", "loads": "BIGINT"} | dict.fromkeys(counts, "BIGINT")
    told = [report for report in reports if report.loads or not report.failures]
    _table(columns, [[r.source, len(r.loads), *(r.total(name) for name in counts)] for r in told])
    for report in reports:
        for path in report.empty:
            note(f"{report.source}: {path} is empty")
        if report.unchanged:
            note(f"{report.source}: {_files(report.unchanged, 'holds', 'hold')} nothing new")
        if report.again:
            before = "loaded before in another format; records without an id count again"
            note(f"{report.source}: {_files(report.again, 'was', 'were')} {before}")
        if (ignored := report.total("ignored")) and ignored == report.total("records_read"):
            what = "the only record was" if ignored == 1 else f"all {ignored:,} records were"
            note(f"{report.source}: {what} ignored: {_formats(report)} selects none of them; look at its WHERE")
        if quarantined := report.total("quarantined"):
            why = ", ".join(refused.get(report.source, ()))
            what = "1 record was" if quarantined == 1 else f"{quarantined:,} records were"
            note(f"{report.source}: {what} quarantined ({why}); see: tidemill quarantine list")
    failures = [failure for report in reports for failure in report.failures]
    for failure in failures[:-1]:
        if debug:
            traceback.print_exception(failure)
        note(f"tidemill: {failure}")
    if failures:
        raise failures[-1]


def _formats(report: Report) -> str:
    """Return the names of the formats that a source's loads were read by."""
    return "format " + ", ".join(sorted({str(load["format"]) for load in report.loads}))


def _files(count: int, one: str, many: str) -> str:
    return f"1 file {one}" if count == 1 else f"{count:,} files {many}"


def steps(found: Sequence[Step]) -> None:
    """What a build would do, and why."""
    columns = dict.fromkeys(("table", "partition", "why"), "VARCHAR")
    _table(columns, [[step.table, step.partition, step.why] for step in found])


def built(found: Sequence[Built]) -> None:
    """What a build did."""
    columns = {"table": "VARCHAR", "partitions": "BIGINT", "rows": "BIGINT", "seconds": "DOUBLE"}
    _table(columns, [[made.table, len(made.partitions), made.rows, made.seconds] for made in found])


def tables(form: Format | None, output: Path | None) -> None:
    """The tables that there are."""
    found = sorted(catalog_tables.tables().values(), key=lambda table: (table.family, table.name))
    rows = [[table.name, table.family, table.grain, table.partition, table.description] for table in found]
    columns = dict.fromkeys(("table", "family", "grain", "partition", "description"), "VARCHAR")
    write(export.rows(columns, rows), form, output)


def status(found: Sequence[TableStatus], notices: Sequence[str], form: Format | None, output: Path | None) -> None:
    """How each table stands, and what there is to notice: open breaches of thresholds, records that came too late."""
    columns = {
        "table": "VARCHAR",
        "partitions": "BIGINT",
        "stale": "BIGINT",
        "why": "VARCHAR",
        "rows": "BIGINT",
        "built_at": "TIMESTAMP WITH TIME ZONE",
        "sealed": "BIGINT",
        "breaches": "BIGINT",
    }
    rows = [
        [s.table, s.partitions, s.stale, s.why or None, s.rows, s.built_at or None, s.sealed, s.breaches] for s in found
    ]
    write(export.rows(columns, rows), form, output)
    for line in notices:
        note(f"tidemill: {line}")


def compacted(found: Sequence[Compacted], form: Format | None, output: Path | None) -> None:
    """What compacting did to each table of the lake."""
    numbers = ("days", "files", "files_after", "bytes", "bytes_after", "removed")
    rows = [[made.table, *(getattr(made, name) for name in numbers)] for made in found]
    write(export.rows({"table": "VARCHAR"} | dict.fromkeys(numbers, "BIGINT"), rows), form, output)


def pruned(found: Sequence[Pruned], form: Format | None, output: Path | None) -> None:
    """What left the lake and the tables."""
    columns = {"table": "VARCHAR", "days": "BIGINT", "rows": "BIGINT"}
    write(export.rows(columns, [[made.table, made.days, made.rows] for made in found]), form, output)


def checks(found: Sequence[Outcome], form: Format | None, output: Path | None) -> None:
    """What each check found."""
    columns = dict.fromkeys(("check", "severity", "result"), "VARCHAR") | {"rows": "BIGINT"}
    rows = [[o.check, o.severity.value, o.result.value, o.rows, o.sample, o.why] for o in found]
    write(export.rows(columns | dict.fromkeys(("sample", "why"), "VARCHAR"), rows), form, output)


def _table(columns: dict[str, str], rows: Sequence[Sequence[object]]) -> None:
    """A table for a person; nothing where there are no rows."""
    if rows:
        write(export.rows(columns, rows), Format.TABLE, None)
