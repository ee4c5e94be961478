"""H. Wide records: 200 fields, 180 of them into `attributes`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks import answers, data, ingest, report
from benchmarks.measure import ContenderError

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.plan import Plan

TITLE: Final = "H. Wide records: 200 fields, 180 of them into attributes"
SHARE: Final = 10
"""A wide line is more than ten times as long: a tenth as many are measured."""


def run(plan: Plan) -> list[str]:
    """Measure, and say it as lines of RESULTS.md."""
    lines, count = plan.folder / "wide.jsonl", plan.events // SHARE
    answers.execute(data.wide(lines, count))
    size = lines.stat().st_size / 1e9
    found = plan.compete([*ingest.engine(plan, lines, count), *ingest.others(plan.folder, lines)[:2]])
    _all_in_attributes(plan.folder / "home", plan.folder / "bare.parquet")
    lines.unlink()
    return [
        f"## {TITLE}: {count:,} lines ({size:.2f} GB)",
        "",
        *report.table(found, ingest.LIMIT, "lines", count),
        "The others write 200 columns; tidemill writes the contract's columns and one JSON object of all other fields.",
        "",
        report.footer(found, plan.rounds),
    ]


def _all_in_attributes(home: Path, bare: Path) -> None:
    """Raise unless `attributes` holds every field that no column takes, each with its value."""
    stored = answers.parquet(home / "lake" / "events" / "*" / "*.parquet")
    names = [f"field_{n}" for n in range(data.unknown_fields())]
    fields = f"SELECT id, unnest(json_keys(attributes)) AS field, attributes FROM {stored}"
    theirs = f"SELECT id, field, value FROM (UNPIVOT (SELECT id, {', '.join(names)} FROM {answers.parquet(bare)}) "
    theirs += f"ON {', '.join(names)} INTO NAME field VALUE value)"
    ours = f"SELECT id, field, attributes ->> field AS value FROM ({fields})"
    query = "SELECT count(*), sum(hash(id, field, value)::HUGEINT) FROM ({})"
    if answers.one_row(query.format(ours)) != answers.one_row(query.format(theirs)):
        raise ContenderError("attributes do not hold what no column takes")
