"""G. One file with 1 % bad lines: cut off, without a timestamp, a word for a number."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

from benchmarks import answers, data, ingest, report
from benchmarks.measure import ContenderError

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.plan import Plan

TITLE: Final = "G. One file with 1 % bad lines"
LEAST: Final = 0.6
_COLUMNS: Final = ", ".join(f"{name}: '{kind}'" for name, kind in data.COLUMNS.items())
READS: Final = f"read_json('{{lines}}', columns = {{{{{_COLUMNS}}}}}, ignore_errors = true)"
GOOD: Final = " WHERE id NOT LIKE 'bad-%'"


def run(plan: Plan) -> list[str]:
    """Measure, and say it as lines of RESULTS.md."""
    lines = plan.folder / "bad.jsonl"
    answers.execute(data.bad(lines, plan.events))
    bad = (plan.events + 49) // 100
    found = plan.compete(ingest.engine(plan, lines, plan.events - bad, reads=READS, where=GOOD))
    _all_kept(plan.folder / "home", bad)
    lines.unlink()
    return [
        f"## {TITLE}: {plan.events:,} lines",
        "",
        *report.table(found, ingest.LIMIT, "lines", plan.events),
        f"tidemill keeps the {bad:,} bad lines in its quarantine, each with field, reason and text. The bare copies",
        "are told the types and to ignore errors: they drop lines that are cut off, and write NULL for a value that",
        "is no number and for a timestamp that is missing; these rows are left out of the comparison.",
        "",
        *report.reaches([report.of_limit(found, ingest.LIMIT, LEAST)]),
        report.footer(found, plan.rounds),
    ]


def _all_kept(home: Path, bad: int) -> None:
    """Raise unless every bad line is in the quarantine."""
    kept, *_ = answers.one_row(f"SELECT count(*) FROM {answers.parquet(home / 'lake' / 'quarantine' / '*.parquet')}")
    if kept != bad:
        raise ContenderError(f"{kept} lines are in the quarantine where {bad} are bad")
