"""Removing old files of the lake from the disk: those that no table, no kept snapshot and no hour holds any more."""

from __future__ import annotations

import json
import time
from collections import Counter
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from tidemill.errors import LockTimeoutError
from tidemill.lake import commits, delta
from tidemill.lake import schema as lake_schema
from tidemill.snapshots import catalog_files
from tidemill.snapshots.catalog_db import CATALOG

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

    from tidemill.home.home import Home
    from tidemill.lake.commits import Snapshot

LEFT: Final = "left.json"
"""Since when each file on the disk is in no table any more. Delta's log forgets it after a week, and never knew of
files that lost their commit."""
GRACE_SECONDS: Final = 3_600.0
"""How long a file stays after it left the lake, for builds and readers that have just begun."""


def now_and_then(home: Home) -> None:
    """Remove what is due, if nobody did within the hour: so what crashed runs left goes without being asked for."""
    try:
        looked = (home.lake / LEFT).stat().st_mtime
    except FileNotFoundError:
        looked = 0.0
    if home.lake.is_dir() and not 0 <= time.time() - looked < GRACE_SECONDS:
        with suppress(OSError):  # a full disk: what was asked for is done
            vacuum(home)


def vacuum(home: Home, *, grace: float = GRACE_SECONDS, dry_run: bool = False) -> Mapping[str, int]:
    """Remove the files that left the lake so many seconds ago and that no kept snapshot names; how many of each table.

    None at all while somebody builds, who might publish a snapshot that names what left the lake since the build began.
    """
    if dry_run:
        return _count(home, _due(home, _left(home, commits.current(home)), grace))
    try:
        with home.lock("tables", wait=0), home.lock("lake"):
            commits.prepare(home)
            left = _left(home, commits.snapshot(home))
            due = _due(home, left, grace)
            stay = {path.relative_to(home.lake): since for path, since in left.items() if path not in due}
            for path in due:
                _remove(path)
            commits.replace(home.lake / LEFT, json.dumps({str(path): since for path, since in stay.items()}))
            return _count(home, due)
    except LockTimeoutError:
        return {}


def _left(home: Home, now: Snapshot) -> dict[Path, float]:
    """Every file that lies in the folder of a table and is not in it: since when, which is now for a new one."""
    known: Mapping[str, float] = {}
    with suppress(FileNotFoundError, ValueError):
        known = json.loads((home.lake / LEFT).read_text())
    there = {path for table in lake_schema.TABLES for path in now.paths(table)}
    lying = (path for table in lake_schema.TABLES for path in delta.on_disk(home.lake / table, table))
    moment = time.time()
    return {
        path: min(known.get(str(path.relative_to(home.lake)), moment), moment)
        for path in lying
        if str(path) not in there
    }


def _due(home: Home, left: Mapping[Path, float], grace: float) -> set[Path]:
    due = {path for path, since in left.items() if time.time() - since >= grace}
    needed = _named_by_snapshots(home) if due else set()
    return {path for path in due if path.name not in needed}


def _named_by_snapshots(home: Home) -> set[str]:
    """The names of the files that the catalogs of kept snapshots name."""
    return {
        name for path in (home.tables / "snapshots").glob(f"*/{CATALOG}") for name in catalog_files.lake_files(path)
    }


def _remove(path: Path) -> None:
    path.unlink(missing_ok=True)
    with suppress(OSError):  # a day's folder goes with its last file
        path.parent.rmdir()


def _count(home: Home, paths: set[Path]) -> Mapping[str, int]:
    return Counter(path.relative_to(home.lake).parts[0] for path in paths)
