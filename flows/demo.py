"""The demo: sample records, the pipeline as a Prefect flow on Prefect's own embedded server, and what came out."""

from __future__ import annotations

import os
import shutil
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
HOME = ROOT / "build" / "demo"
os.environ.setdefault("PREFECT_HOME", str(ROOT / "build" / "prefect"))
os.environ.setdefault("PREFECT_SERVER_ANALYTICS_ENABLED", "false")
os.environ.setdefault("PREFECT_LOGGING_LEVEL", "WARNING")
os.environ.setdefault("PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS", "120")

SETTINGS = """\
[sources.simulated]
path = "raw/*.jsonl"
"""
LEDGER = """
SELECT source, kind, count(*) AS loads, sum(records_read)::BIGINT AS records_read, sum(accepted)::BIGINT AS accepted,
       sum(duplicates)::BIGINT AS duplicates, sum(quarantined)::BIGINT AS quarantined, sum(ignored)::BIGINT AS ignored
FROM lake.loads GROUP BY ALL ORDER BY ALL
"""
REFUSED = "SELECT record, field, reason, count(*) AS records FROM lake.quarantine GROUP BY ALL ORDER BY ALL"
BUILT = "SELECT table_name, count(*) AS partitions, sum(rows)::BIGINT AS rows FROM builds GROUP BY ALL ORDER BY ALL"
SHOWN = {
    "activity_daily": "day, events, errors, sessions, p50_duration_ms, p99_duration_ms, cost_usd",
    "jobs_daily": "day, workflow_id, jobs, completed, failed, success_rate, p95_duration_seconds",
    "llm_hourly": "hour, model, requests, failures, p99_ttft_ms, cost_usd, unpriced_requests",
}


def main() -> None:
    """Run the demo in build/demo, from nothing."""
    sys.path.insert(0, str(ROOT))
    (ROOT / "build" / "prefect").mkdir(parents=True, exist_ok=True)
    shutil.rmtree(HOME, ignore_errors=True)
    (HOME / "raw").mkdir(parents=True)
    (HOME / "tidemill.toml").write_text(SETTINGS, encoding="utf-8")

    from tidemill import Tidemill
    from tidemill.cli.output import Format, write
    from tidemill.simulation.simulate import simulate

    print("Simulating 20,000 events, 2,000 jobs and 2,000 metrics over 7 days ...")
    simulate(HOME / "raw", events=20_000, days=7)
    print("Running the pipeline as a Prefect flow; Prefect's own server takes 10 to 20 seconds to start ...")

    from flows.pipeline import pipeline

    state = pipeline(home=str(HOME), as_of="latest", return_state=True)
    counts = state.result(raise_on_failure=False)
    if not isinstance(counts, dict):
        sys.exit(str(state.message))
    print("\n" + ", ".join(f"{number:,} {what}" for what, number in counts.items()))

    mill = Tidemill(HOME)
    print("\nWhat was loaded")
    write(mill.sql(LEDGER), Format.TABLE, None)
    print("\nWhat was refused, and why")
    write(mill.sql(REFUSED), Format.TABLE, None)
    print("\nWhat was built")
    write(mill.sql(BUILT), Format.TABLE, None)
    for table, columns in SHOWN.items():
        print(f"\n{table}, the first rows")
        write(mill.sql(f"SELECT {columns} FROM {table} LIMIT 3"), Format.TABLE, None)  # noqa: S608 - both stand above
    print(f"\nThe tables are in {mill.snapshot().relative_to(ROOT)}")
    print(f'Ask them anything: .venv/bin/tidemill --home {HOME.relative_to(ROOT)} query "FROM activity_hourly"')


if __name__ == "__main__":
    main()
