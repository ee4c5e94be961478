from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pytest

from tests.homes import AS_OF, built, event, few_tables, home, rewrite_manifest, simulated
from tidemill.snapshots import catalog_files
from tidemill.snapshots.catalog_db import CATALOG

if TYPE_CHECKING:
    from tidemill import Tidemill

__all__ = ["few_tables"]

FEW: Final = ("activity_daily",)
ROOT: Final = Path(__file__).parents[1]
ASK: Final = ROOT / "tests" / "duckdbs" / "ask.py"
VERSIONS: Final = ("1.3", "1.4", "1.5", "2")
"""The newest release of each is in a folder of its own below build/, which `make test` installs."""


def answers(snapshot: Path, version: str = "") -> dict[str, Any]:
    """Return the answers of a DuckDB to all that a snapshot's catalog offers; by default the project's own."""
    folder = ROOT / "build" / f"duckdb-{version}"
    if version:
        assert (folder / ".installed").is_file(), f"DuckDB {version} is not installed in {folder}; run: make test"
    environment = os.environ | ({"PYTHONPATH": str(folder)} if version else {})
    command = [sys.executable, str(ASK), str(snapshot / CATALOG)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    said: dict[str, Any] = json.loads(done.stdout)
    assert str(said["version"]).startswith(f"{version}." if version else duckdb.__version__)
    found: dict[str, Any] = said["answers"]
    return found


@pytest.fixture(scope="module")
def snapshot(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Build every table of a simulated home."""
    mill = simulated(tmp_path_factory.mktemp("versions") / "simulated", events=2_000, days=3, seed=1)
    mill.build(as_of="latest")
    return mill.snapshot()


@pytest.fixture(scope="module")
def expected(snapshot: Path) -> dict[str, Any]:
    """Ask the DuckDB that wrote the catalog."""
    return answers(snapshot)


@pytest.mark.every_table
@pytest.mark.parametrize("version", VERSIONS)
def test_catalog_and_parquet_answer_the_same_in_every_duckdb(
    version: str, snapshot: Path, expected: dict[str, Any]
) -> None:
    """Views, the lake's views, comments, types, macros and the Parquet files themselves."""
    found = answers(snapshot, version)
    assert len(found["views"]) > 60
    assert all(percentile > 0 for _, *both in found["percentiles"] for percentile in both)
    assert {name: one for name, one in found.items() if one != expected[name]} == {}
    assert found.keys() == expected.keys()


def older(mill: Tidemill) -> None:
    """Put a catalog into the newest snapshot that has the newest storage format, as older versions of tidemill did."""
    folder = mill.snapshot()
    (folder / CATALOG).rename(folder / "old.duckdb")
    with duckdb.connect() as database:
        database.execute(f"ATTACH '{folder}/old.duckdb' AS old (READ_ONLY)")
        database.execute(f"ATTACH '{folder / CATALOG}' AS new (STORAGE_VERSION 'latest')")
        database.execute("COPY FROM DATABASE old TO new")
    (folder / "old.duckdb").unlink()
    rewrite_manifest(folder)


def test_catalog_of_older_tidemill_is_published_again_by_the_next_build(tmp_path: Path) -> None:
    """Nothing else changed: no table is built, and the build after that one publishes nothing."""
    mill = home(tmp_path, event("a", "2026-02-10T10:00:00Z"))
    built(mill, *FEW, as_of=AS_OF)
    older(mill)
    before = mill.snapshot()
    assert catalog_files.is_outdated(before / CATALOG)
    assert built(mill, *FEW, as_of=AS_OF) == {}
    after = mill.snapshot()
    assert after != before
    assert not catalog_files.is_outdated(after / CATALOG)
    built(mill, *FEW, as_of=AS_OF)
    assert mill.snapshot() == after
