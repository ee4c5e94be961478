"""What the files of the real sets hold, by other means than the ones that are tested: json, csv and Python."""

from __future__ import annotations

import csv
import gzip
import json
import math
import os
from datetime import datetime, timedelta
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import pytest

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DATA = Path(os.environ.get("TIDEMILL_REAL_DATA", Path(__file__).parents[3] / "shared" / "data")).resolve()
MAX_TEXT_BYTES = 64 * 1024

NEED_DATA = [
    pytest.mark.skipif(not DATA.is_dir(), reason=f"no real data: {DATA} is missing (TIDEMILL_REAL_DATA says where)"),
    pytest.mark.slow,
]
"""The marks of every file of tests that read the sets."""


class Ledger(NamedTuple):
    """What became of a set's records, over all its loads."""

    records_read: int
    expanded: int
    accepted: int
    duplicates: int
    quarantined: int
    ignored: int


def snapshots() -> Iterator[dict[str, Any]]:
    """The documents of github_actions."""
    return (json.loads(file.read_bytes()) for file in sorted((DATA / "github_actions").glob("*.json")))


class Step(NamedTuple):
    """What ran within a run of github_actions: one of its jobs, or a step of one."""

    id: str
    run: str
    name: str
    began: datetime
    seconds: float | None
    success: bool | None


def steps_of_runs() -> list[Step]:
    """Each job of a run and each of its steps once, but for jobs that ended before they began."""
    listed = {job["id"]: (run, job) for document in snapshots() for run in document["runs"] for job in run["jobs"]}
    return [step for run, job in listed.values() for step in _steps(f"{run['id']}/{run['run_attempt']}", job)]


def _steps(run: str, job: dict[str, Any]) -> Iterator[Step]:
    began = datetime.fromisoformat(job["started_at"])
    seconds = None if job["conclusion"] == "skipped" else job["exec_seconds"]
    success = {"success": True, "failure": False, "timed_out": False}.get(job["conclusion"])
    if seconds is None or seconds >= 0:
        yield Step(f"job/{job['id']}", run, job["name"], began, seconds, success)
    steps = job.get("steps", [])
    before = accumulate((step["seconds"] for step in steps), initial=0.0)
    for place, (step, waited) in enumerate(zip(steps, before, strict=False), 1):
        at = began + timedelta(seconds=waited)
        yield Step(f"job/{job['id']}/{place}", run, step["name"], at, step["seconds"], None)


def csv_rows(folder: str) -> Iterator[tuple[Path, dict[str, str]]]:
    """Each row of a set's CSV files, beside its file."""
    for file in sorted((DATA / folder).rglob("*.csv*")):
        with gzip.open(file, "rt", newline="") if file.suffix == ".gz" else file.open(newline="") as lines:
            yield from ((file, record) for record in csv.DictReader(lines))


def aider_events() -> Iterator[dict[str, Any]]:
    """The events of aider."""
    with (DATA / "aider" / "analytics.jsonl").open() as lines:
        yield from map(json.loads, lines)


def llmperf_requests() -> dict[str, list[dict[str, Any]]]:
    """The requests of llmperf by their file's stem, provider_model."""
    return {file.stem: json.loads(file.read_bytes()) for file in (DATA / "llmperf").rglob("*.json")}


def percentile(values: list[float], share: float) -> float:
    """The percentile by linear interpolation between the two nearest values."""
    values = sorted(values)
    place = share * (len(values) - 1)
    below, above = values[math.floor(place)], values[math.ceil(place)]
    return below + (above - below) * (place % 1)


def github_actions_ledger() -> Ledger:
    """One document a snapshot; a record for each run, each of its jobs and each of their steps."""
    documents = list(snapshots())
    runs = [run for document in documents for run in document["runs"]]
    jobs = [job for run in runs for job in run["jobs"]]
    refused = [job for job in jobs if job["conclusion"] != "skipped" and job["exec_seconds"] < 0]
    steps = [(job["id"], place) for job in jobs for place, _ in enumerate(job.get("steps", ()))]
    produced = len(runs) + len(jobs) + len(steps)
    known = len({job["id"] for job in jobs} - {job["id"] for job in refused}) + len(set(steps))
    accepted = len(runs) + known
    return Ledger(
        records_read=len(documents),
        expanded=produced - len(documents),
        accepted=accepted,
        duplicates=produced - accepted - len(refused),
        quarantined=len(refused),
        ignored=0,
    )


def aider_ledger() -> Ledger:
    """Every line is an event; two hold the whole prompt in their exception, more than 64 KiB."""
    sizes = [len(event["properties"].get("exception", "").encode()) for event in aider_events()]
    refused = sum(size > MAX_TEXT_BYTES for size in sizes)
    return Ledger(len(sizes), 0, len(sizes) - refused, 0, refused, 0)


def csv_ledger(folder: str) -> Ledger:
    """Every row is one record, and every one is good and new."""
    read = sum(1 for _ in csv_rows(folder))
    return Ledger(read, 0, read, 0, 0, 0)


def llmperf_ledger() -> Ledger:
    """Every element is a request, equal ones too: 130 failures of one file differ in nothing."""
    read = sum(map(len, llmperf_requests().values()))
    return Ledger(read, 0, read, 0, 0, 0)


LEDGERS: dict[str, Callable[[], Ledger]] = {
    "github_actions": github_actions_ledger,
    "eagle": lambda: csv_ledger("eagle"),
    "aider": aider_ledger,
    "azure_llm_2023": lambda: csv_ledger("azure_llm_2023"),
    "llmperf": llmperf_ledger,
    "banking77": lambda: csv_ledger("banking77"),
    "azure_vm_noise": lambda: csv_ledger("azure_vm_noise"),
}
