"""A. JSON lines to validated, deduplicated, queryable Parquet by day."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks import answers, data, homes, report
from benchmarks.environments import QUIET, of_packages, own, tidemill
from benchmarks.measure import Contender
from benchmarks.report import Reach

if TYPE_CHECKING:
    from pathlib import Path

    from benchmarks.measure import Timed
    from benchmarks.plan import Plan

TITLE: Final = "A. JSON lines to validated, deduplicated, queryable Parquet by day"
OURS: Final = "tidemill ingest"
ONE_FILE: Final = "DuckDB's bare COPY, to one file"
LIMIT: Final = "DuckDB's bare COPY, by day"
POLARS: Final = "Polars, to one file"
DLT: Final = "dlt"
LOOP: Final = "a plain Python loop"
READS: Final = "read_json('{lines}')"
LEAST: Final = 0.7
DLT_TIMES: Final = 10
PEAK_GIB: Final = 1.5


def run(plan: Plan) -> list[str]:
    """Measure, and say it as lines of RESULTS.md."""
    lines = plan.folder / "events.jsonl"
    answers.execute(data.clean(lines, plan.events))
    size = lines.stat().st_size / 1e9
    found = plan.compete([*engine(plan, lines, plan.events), *others(plan.folder, lines)])
    lines.unlink()
    return [
        f"## {TITLE}: {plan.events:,} lines ({size:.2f} GB)",
        "",
        *report.table(found, LIMIT, "lines", plan.events),
        *report.reaches(
            [
                report.of_limit(found, LIMIT, LEAST),
                report.ahead(found, POLARS),
                report.ahead(found, DLT, DLT_TIMES),
                _memory(found[0]),
            ]
        ),
        report.footer(found, plan.rounds),
    ]


def engine(plan: Plan, lines: Path, good: int, *, reads: str = READS, where: str = "") -> list[Contender]:
    """Ours and the limits: the engine's bare copies of the same lines, which check, tell apart and refuse nothing.

    `where` names the rows of a bare copy that are compared with ours.
    """
    home = plan.folder / "home"
    stored = answers.parquet(home / "lake" / "events" / "*" / "*.parquet")
    scanned = reads.format(lines=lines)

    def accepted() -> None:
        answers.same_rows(OURS, answers.one_row(f"SELECT count(*) FROM {stored}"), (good,))

    def bare(name: str, select: str, options: str, target: Path, files: str) -> Contender:
        script = plan.folder / f"{target.stem}.sql"
        script.write_text(f"COPY ({select}) TO '{target}' ({options})", encoding="utf-8")

        def check() -> None:
            theirs = answers.digest(answers.parquet(f"{target}{files}") + where, data.COLUMNS)
            answers.same_rows(name, theirs, answers.digest(stored, data.COLUMNS))

        return Contender(name, [own().script("duckdb_session", script)], partial(homes.clear, target), check)

    by_day = f"SELECT *, timestamp::DATE AS day FROM {scanned}"
    return [
        Contender(
            OURS, [tidemill(home, "ingest", str(lines), "--record", "event")], partial(homes.clear, home), accepted
        ),
        bare(ONE_FILE, f"FROM {scanned}", "FORMAT parquet", plan.folder / "bare.parquet", ""),
        bare(LIMIT, by_day, "FORMAT parquet, PARTITION_BY (day)", plan.folder / "days", "/*/*.parquet"),
    ]


def others(folder: Path, lines: Path) -> list[Contender]:
    """The peers: their own simple ways from the same lines to Parquet."""
    stored = answers.parquet(folder / "home" / "lake" / "events" / "*" / "*.parquet")

    def peer(name: str, script: str, target: Path, files: str, *way: str, versions: str, note: str = "") -> Contender:
        def check() -> None:
            theirs = answers.digest(answers.parquet(f"{target}{files}"), data.COLUMNS)
            answers.same_rows(name, theirs, answers.digest(stored, data.COLUMNS))

        environment = of_packages(versions)
        return Contender(
            name,
            [environment.script(script, lines, target, *way)],
            clear=partial(homes.clear, target),
            check=check,
            environment=QUIET,
            version=environment.versions(versions),
            note=note,
            missing=environment.missing,
        )

    unchecked = "checks, tells apart and refuses nothing"
    files = "/files/bench/events/*.parquet"
    return [
        peer(POLARS, "polars_lines", folder / "polars.parquet", "", "one-file", versions="polars", note=unchecked),
        peer("Polars, by day", "polars_lines", folder / "polars", "/*/*.parquet", "by-day", versions="polars"),
        peer(DLT, "dlt_lines", folder / "dlt", files, "own", versions="dlt", note="does not tell ids apart here"),
        peer(
            "dlt, fed by Arrow",
            "dlt_lines",
            folder / "dlt-arrow",
            files,
            "arrow",
            versions="dlt",
            note="as dlt; Arrow parses the lines",
        ),
        peer(
            LOOP,
            "python_lines",
            folder / "loop",
            "/*.parquet",
            versions="pyarrow",
            note="skips lines without an id, timestamp or type, or with an id that it has seen, and keeps none of them",
        ),
    ]


def _memory(timed: Timed) -> Reach:
    return Reach(f"under {PEAK_GIB} GiB, at 50 million lines", f"{timed.memory:.2f} GiB", met=timed.memory < PEAK_GIB)
