"""F. Many small files of 100 lines, each its own line in the ledger."""

from __future__ import annotations

import shutil
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks import answers, data, homes, ingest, report
from benchmarks.environments import own, tidemill
from benchmarks.measure import Contender, ContenderError
from benchmarks.report import Reach

if TYPE_CHECKING:
    from benchmarks.plan import Plan

TITLE: Final = "F. Small files of 100 lines"
LIMIT: Final = "DuckDB's bare COPY of all at once, to one file"
LEAST: Final = 1_500


def run(plan: Plan) -> list[str]:
    """Measure, and say it as lines of RESULTS.md."""
    folder, home, target = plan.folder / "small", plan.folder / "home", plan.folder / "bare.parquet"
    folder.mkdir()
    answers.execute(data.small(folder, plan.files))
    script = plan.folder / "bare.sql"
    script.write_text(f"COPY (FROM read_json('{folder}/*.jsonl')) TO '{target}' (FORMAT parquet)", encoding="utf-8")
    stored = answers.parquet(home / "lake" / "events" / "*" / "*.parquet")

    def ledger() -> None:
        loads = answers.parquet(home / "lake" / "loads" / "*.parquet")
        query = f"SELECT count(DISTINCT uri), min(accepted), max(accepted) FROM {loads}"
        if answers.one_row(query) != (plan.files, data.FILE_LINES, data.FILE_LINES):
            raise ContenderError(f"the ledger does not have {plan.files} files of {data.FILE_LINES} lines")

    def same() -> None:
        theirs = answers.digest(answers.parquet(target), data.COLUMNS)
        answers.same_rows(LIMIT, theirs, answers.digest(stored, data.COLUMNS))

    command = tidemill(home, "ingest", str(folder), "--record", "event")
    bare = [own().script("duckdb_session", script)]
    found = plan.compete(
        [
            Contender(ingest.OURS, [command], partial(homes.clear, home), ledger),
            Contender(LIMIT, bare, partial(homes.clear, target), same, note="has no ledger, and knows no file again"),
        ]
    )
    shutil.rmtree(folder)
    rate = plan.files / found[0].wall
    return [
        f"## {TITLE}: {plan.files:,} files",
        "",
        *report.table(found, LIMIT, "files", plan.files),
        *report.reaches([Reach(f"at least {LEAST:,} files a second", f"{rate:,.0f}", met=rate >= LEAST)]),
        report.footer(found, plan.rounds),
    ]
