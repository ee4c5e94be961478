"""Homes of simulated records, whose last hour is held back, and what their builds say of themselves."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from datetime import date, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from benchmarks.environments import tidemill
from benchmarks.measure import ContenderError, measure
from tidemill.engine import connection as engine_connection
from tidemill.home.home import Home
from tidemill.lake import commits, relations
from tidemill.records import BY_TABLE

if TYPE_CHECKING:
    from benchmarks.measure import Measured

LAST_DAY: Final = "2026-02-28"
"""The last day of simulated records."""
AFTER: Final = "2026-03-01"
LAST_HOUR: Final = f"{LAST_DAY}T23"
WHOLE: Final = "whole"
FOUND_OR_NOT: Final = (0, 1)
"""What grep ends with when there are such lines, and when there are none."""
_MOMENTS: Final = ("timestamp", "observed_at")


def simulated(home: Path, events: int, days: int) -> tuple[Measured, Measured]:
    """A home of a tenth as many jobs and metrics, loaded and built without its last hour; how long both took."""
    loading = loaded(home, events, days)
    return loading, measure(tidemill(home, "build", "--as-of", "latest"))


def loaded(home: Path, events: int, days: int) -> Measured:
    """A home that has loaded simulated records without the last hour; how long that took."""
    measure(tidemill(home, "simulate", "--events", str(events), "--days", str(days)))
    hold_back(home / "raw", home / "late")
    loading = measure(tidemill(home, "ingest", str(home / "raw")))
    write_whole(home)
    return loading


def write_whole(home: Path) -> None:
    """The lake's files with every column, for peers that read files by a glob: the lake leaves out what is NULL."""
    now, wanted = commits.current(Home.at(home)), set()
    with engine_connection.connect(timezone=None) as connection:
        for kind, contract in BY_TABLE.items():
            for file in now.of(kind):
                target = home / WHOLE / Path(file.path).relative_to(Home.at(home).lake)
                wanted.add(target)
                if not target.exists():
                    target.parent.mkdir(parents=True, exist_ok=True)
                    select = relations.stored(contract.stored, [file])
                    connection.execute(f"COPY ({select}) TO '{target}' (FORMAT parquet, PARQUET_VERSION v2)")
    for path in (home / WHOLE).rglob("*.parquet"):
        if path not in wanted:
            path.unlink()


def hold_back(folder: Path, late: Path) -> None:
    """Move the lines of the last hour of a folder's files to files of their own."""
    late.mkdir()
    words = [word for name in _MOMENTS for word in ("-e", f'"{name}":"{LAST_HOUR}')]
    for path in [max(folder.glob("events-*")), folder / "jobs.jsonl", folder / "metrics.jsonl"]:
        head = path.with_suffix(".head")
        for target, options in ((late / path.name, ["-F"]), (head, ["-F", "-v"])):
            with target.open("wb") as file:
                done = subprocess.run(["grep", *options, *words, str(path)], stdout=file, check=False)
            if done.returncode not in FOUND_OR_NOT:
                raise ContenderError(f"grep cannot read {path}")
        head.rename(path)


def one_more_hour(home: Path) -> tuple[Measured, Measured]:
    """Load the hour that was held back, and build: how long both took."""
    return measure(tidemill(home, "ingest", str(home / "late"))), measure(tidemill(home, "build", "--as-of", "latest"))


def first_day(days: int) -> str:
    """The first day of so many that end with the last."""
    return str(date.fromisoformat(AFTER) - timedelta(days=days))


def history(folder: Path, day_events: int, days: int) -> tuple[Path, Path]:
    """A home of so many days, loaded and built without its last hour, and the copy of it that is kept aside.

    It is made once in a run, however many works ask for it.
    """
    home, aside = folder / f"days-{days}", folder / f"days-{days}-kept"
    if not aside.exists():
        simulated(home, day_events * days, days)
        home.rename(aside)
    bring_back(aside, home)
    return home, aside


def bring_back(aside: Path, home: Path) -> None:
    """A home as it was put aside, at the path where it was built: Parquet, which never changes, by links."""
    if home.exists():
        shutil.rmtree(home)
    shutil.copytree(aside, home, symlinks=True, copy_function=_copy)


def rows(home: Path, query: str) -> list[dict[str, Any]]:
    """What our own query says of a home."""
    done = subprocess.run(tidemill(home, "query", query, "--format", "json"), capture_output=True, check=True)
    found: list[dict[str, Any]] = json.loads(done.stdout)
    return found


def seconds(home: Path) -> dict[str, float]:
    """How long each table took in the newest build."""
    query = (
        "SELECT table_name, sum(seconds) AS seconds FROM builds "
        "WHERE run_id = (SELECT arg_max(run_id, built_at) FROM builds) GROUP BY ALL"
    )
    return {row["table_name"]: row["seconds"] for row in rows(home, query)}


def clear(target: Path) -> None:
    """Remove what a run before made."""
    if target.is_dir():
        shutil.rmtree(target)
    target.unlink(missing_ok=True)


def _copy(source: str, target: str) -> None:
    if source.endswith(".parquet"):
        os.link(source, target)
    else:
        shutil.copy2(source, target)
