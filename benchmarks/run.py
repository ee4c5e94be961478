"""Speed and memory, measured side by side in one run and written to benchmarks/RESULTS.md.

Every contender is a process of its own, its memory is the operating system's own figure, contenders take turns,
and what is compared are medians and their ratios. `--events` and `--build-events` scale the work.
"""

from __future__ import annotations

import argparse
import json
import os
import platform
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from importlib.metadata import version
from pathlib import Path

LAST_HOUR = "2026-02-28T23"
"""The last hour of simulated records."""
RESULTS = Path(__file__).with_name("RESULTS.md")

LINES = """
COPY (
    SELECT md5(i::VARCHAR) AS id,
           strftime(TIMESTAMP '2026-02-01' + to_microseconds(i * (432_000_000_000 // {events})),
                    '%Y-%m-%dT%H:%M:%S.%fZ') AS timestamp,
           ['llm_request', 'tool_use', 'step', 'function_call'][1 + i % 4] AS type, 'name' || (hash(i) % 100) AS name,
           's' || (i // 20) AS session_id, 'u' || (hash(i // 20) % 5000) AS user_id, (hash(i + 7) % 10) > 0 AS success,
           (hash(i + 1) % 100000) / 10.0 AS duration_ms, (hash(i + 2) % 1000)::INTEGER AS input_tokens,
           (hash(i + 3) % 1000)::INTEGER AS output_tokens, 'gpt-4o' AS model, (hash(i + 4) % 1000) / 10000.0 AS cost_usd
    FROM range({events}) AS t(i)
) TO '{path}' (FORMAT json)
"""

BARE = """
import duckdb, sys
connection = duckdb.connect()
connection.execute("SET enable_progress_bar = false")
connection.execute(f"COPY (FROM read_json('{sys.argv[1]}')) TO '{sys.argv[2]}' (FORMAT parquet)")
"""
BARE_BY_DAY = BARE.replace(
    "FROM read_json('{sys.argv[1]}')", "SELECT *, timestamp::DATE AS day FROM read_json('{sys.argv[1]}')"
).replace("(FORMAT parquet)", "(FORMAT parquet, PARTITION_BY (day), OVERWRITE)")


@dataclass(frozen=True)
class Measured:
    """One process: seconds on the clock, seconds of processor time, and its peak memory in GiB."""

    wall: float
    processor: float
    memory: float


def measure(command: list[str]) -> Measured:
    """Run a command to its end; fails when the command does."""
    started = time.perf_counter()
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    _, status, usage = os.wait4(process.pid, 0)
    wall = time.perf_counter() - started
    if os.waitstatus_to_exitcode(status):
        message = process.stderr.read().decode() if process.stderr else ""
        raise SystemExit(f"{' '.join(command)} failed: {message}")
    return Measured(wall, usage.ru_utime + usage.ru_stime, usage.ru_maxrss / (1 << 20))


def median(runs: list[Measured]) -> Measured:
    """The median of each figure."""
    return Measured(
        *(statistics.median(getattr(run, name) for run in runs) for name in ("wall", "processor", "memory"))
    )


def tidemill(home: Path, *words: str) -> list[str]:
    """The command over a home."""
    return [sys.executable, "-m", "tidemill", "--home", str(home), *words]


def ingest(folder: Path, events: int, rounds: int) -> list[str]:
    """JSON lines to the lake, against DuckDB's bare copy of the same file."""
    import duckdb

    lines = folder / "events.jsonl"
    with duckdb.connect() as connection:
        connection.execute(LINES.format(events=events, path=lines))
    home = folder / "ingest"
    runs: dict[str, list[Measured]] = {"DuckDB's bare COPY": [], "DuckDB's bare COPY by day": [], "tidemill ingest": []}
    for _ in range(rounds):
        runs["DuckDB's bare COPY"].append(
            measure([sys.executable, "-c", BARE, str(lines), str(folder / "bare.parquet")])
        )
        runs["DuckDB's bare COPY by day"].append(
            measure([sys.executable, "-c", BARE_BY_DAY, str(lines), str(folder / "days")])
        )
        shutil.rmtree(home, ignore_errors=True)
        runs["tidemill ingest"].append(measure(tidemill(home, "ingest", str(lines), "--record", "event")))
    bare = median(runs["DuckDB's bare COPY"]).wall
    size = lines.stat().st_size / 1e9
    rows = [f"### Ingest: {events:,} JSON lines of events ({size:.2f} GB), median of {rounds} interleaved runs", ""]
    rows += ["| | seconds | lines a second | peak GiB | rate, bare = 1 |", "|---|---|---|---|---|"]
    for name, found in runs.items():
        m = median(found)
        rows.append(f"| {name} | {m.wall:.2f} | {events / m.wall:,.0f} | {m.memory:.2f} | {bare / m.wall:.2f} |")
    lines.unlink()
    return rows


def lake(home: Path, events: int, days: int) -> tuple[Measured, Measured]:
    """A home of simulated records without their last hour, which is held back; how long loading and building took."""
    sizes = {"events": events, "jobs": events // 20, "metrics": events // 10, "days": days}
    measure(tidemill(home, "simulate", *(word for name, size in sizes.items() for word in (f"--{name}", str(size)))))
    hold_back(home / "raw", home / "late")
    loading = measure(tidemill(home, "ingest", str(home / "raw")))
    return loading, measure(tidemill(home, "build", "--as-of", "latest"))


def hold_back(folder: Path, late: Path) -> None:
    """Move the lines of the last hour of a folder's files to files of their own."""
    late.mkdir()
    words = [word for field in ("timestamp", "observed_at") for word in ("-e", f'"{field}":"{LAST_HOUR}')]
    for path in [max(folder.glob("events-*")), folder / "jobs.jsonl", folder / "metrics.jsonl"]:
        head = path.with_suffix(".head")
        for target, options in ((late / path.name, ["-F"]), (head, ["-F", "-v"])):
            with target.open("wb") as file:
                subprocess.run(["grep", *options, *words, str(path)], stdout=file, check=True)
        head.rename(path)


def seconds(home: Path) -> dict[str, float]:
    """How long each table took in the newest build."""
    query = (
        "SELECT table_name, sum(seconds) AS seconds FROM builds "
        "WHERE run_id = (SELECT arg_max(run_id, built_at) FROM builds) GROUP BY ALL"
    )
    done = subprocess.run(tidemill(home, "query", query, "--format", "json"), capture_output=True, check=True)
    return {row["table_name"]: row["seconds"] for row in json.loads(done.stdout)}


def one_more_hour(home: Path) -> tuple[Measured, Measured, dict[str, float]]:
    """Load the hour that was held back and build: how long that took, and each table of it."""
    loading = measure(tidemill(home, "ingest", str(home / "late")))
    building = measure(tidemill(home, "build", "--as-of", "latest"))
    return loading, building, seconds(home)


def rate(events: int, seconds: float) -> str:
    """How many events a second that is."""
    return f"{events / seconds:,.0f} events/s" if seconds else ""


def build(folder: Path, events: int) -> list[str]:
    """Every table from nothing, after one more hour of records, and a run with nothing to do."""
    home = folder / "build"
    loading, building = lake(home, events, 30)
    first = seconds(home)
    sums = "SELECT table_name, count(*) AS partitions, sum(rows)::BIGINT AS rows FROM builds GROUP BY ALL ORDER BY ALL"
    done = subprocess.run(tidemill(home, "query", sums, "--format", "json"), capture_output=True, check=True)
    more_loading, more, again = one_more_hour(home)
    rows = [
        f"### Build: every table over {events:,} simulated events, {events // 20:,} jobs, {events // 10:,} metrics",
        "",
        f"30 days. Loaded in {loading.wall:.1f} s (peak {loading.memory:.2f} GiB).",
        f"Built from nothing in {building.wall:.1f} s (peak {building.memory:.2f} GiB), {rate(events, building.wall)}.",
        f"One more hour: loaded in {more_loading.wall:.1f} s, built in {more.wall:.1f} s (peak {more.memory:.2f} GiB).",
        "",
        "| table | partitions | rows | seconds | speed | seconds after one more hour |",
        "|---|---|---|---|---|---|",
    ]
    for table in json.loads(done.stdout):
        took = first[table["table_name"]]
        later = again.get(table["table_name"])
        cells = [table["table_name"], table["partitions"], f"{table['rows']:,}", f"{took:.2f}", rate(events, took)]
        rows.append(f"| {' | '.join(map(str, cells))} | {'' if later is None else f'{later:.2f}'} |")
    (home / "tidemill.toml").write_text('[sources.files]\npath = ["raw", "late"]\n', encoding="utf-8")
    measure(tidemill(home, "run"))
    nothing = median([measure(tidemill(home, "run")) for _ in range(5)])
    shutil.rmtree(home)
    return [*rows, "", f"A second `run` with nothing new: {nothing.wall:.2f} s."]


def growth(folder: Path, events_a_day: int, days: tuple[int, ...] = (3, 90), rounds: int = 3) -> list[str]:
    """What one more hour costs on a short and on a long history, by how tables are cut into partitions."""
    from tidemill import catalog

    kinds = {name: table.partition for name, table in catalog.tables().items()}
    found: dict[int, dict[str, float]] = {}
    for length in days:
        whole: list[dict[str, float]] = []
        home = folder / f"growth-{length}"
        lake(home, events_a_day * length, length)
        for turn in range(rounds):
            copy = folder / f"growth-{length}-{turn}"
            shutil.copytree(home, copy, symlinks=True)
            measure(tidemill(copy, "build", "--as-of", "latest"))  # a home that was moved is published anew
            _, building, tables = one_more_hour(copy)
            sums = {kind: sum(t for name, t in tables.items() if kinds[name] == kind) for kind in catalog.PARTITIONS}
            whole.append(sums | {"the whole build, in seconds on the clock": building.wall})
            shutil.rmtree(copy)
        shutil.rmtree(home)
        found[length] = {kind: statistics.median(sums[kind] for sums in whole) for kind in whole[0]}
    rows = [f"### One more hour on a lake of {events_a_day:,} events a day, median of {rounds}", ""]
    rows += [f"| partitions | {' | '.join(f'{n} days: s' for n in days)} | ratio |", "|---" * (len(days) + 2) + "|"]
    for kind in found[days[0]]:
        short, long = found[days[0]][kind], found[days[-1]][kind]
        cells = " | ".join(f"{found[length][kind]:.2f}" for length in days)
        rows.append(f"| {kind} | {cells} | {long / short if short else float('nan'):.2f} |")
    return rows


def start(rounds: int = 11) -> str:
    """How long the command takes to say what it can do."""
    help_text = [sys.executable, "-m", "tidemill", "--help"]
    return f"`tidemill --help`: {median([measure(help_text) for _ in range(rounds)]).wall:.2f} s."


def machine() -> str:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE") / (1 << 30)
    versions = ", ".join(f"{name} {version(name)}" for name in ("duckdb", "polars", "pyarrow", "deltalake"))
    system = f"{platform.system()} {platform.machine()}, Python {platform.python_version()}"
    return f"{os.cpu_count()} cores, {memory:.0f} GiB, {system}, {versions}."


def main() -> None:
    """Measure everything and write RESULTS.md."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--events", type=int, default=5_000_000, help="lines of the ingest")
    parser.add_argument("--build-events", type=int, default=20_000_000, help="events of the build")
    parser.add_argument("--day-events", type=int, default=20_000, help="events a day, of one more hour")
    parser.add_argument("--rounds", type=int, default=5, help="interleaved runs of each contender")
    parser.add_argument("--folder", type=Path, default=None, help="where the data are made, and removed again")
    given = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=given.folder) as name:
        folder = Path(name)
        parts = [["# Results", "", f"Measured by `make bench` on {machine()}", "", start(), ""]]
        parts.append([*ingest(folder, given.events, given.rounds), ""])
        parts.append([*build(folder, given.build_events), ""])
        parts.append(growth(folder, given.day_events))
    text = "\n".join(line for part in parts for line in part) + "\n"
    RESULTS.write_text(text, encoding="utf-8")
    print(text)


if __name__ == "__main__":
    main()
