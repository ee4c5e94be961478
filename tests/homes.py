"""Homes for the tests of build, publish and the command: records given inline, and what is then published."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import subprocess
import sys
import time
from contextlib import redirect_stderr, redirect_stdout
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import duckdb
import pytest

from tidemill import Tidemill
from tidemill.catalog import tables as catalog_tables
from tidemill.cli import main
from tidemill.snapshots import manifest as snapshots_manifest

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from tidemill.readers.snapshot import Published

Record = dict[str, Any]

AS_OF: Final = "2026-02-12T12:00:00+00:00"


def event(key: str, at: str, **fields: object) -> Record:
    """An event with an id, a question unless it is of another type."""
    return {"record": "event", "id": key, "timestamp": at, "type": "question"} | fields


def job(key: str, at: str, **fields: object) -> Record:
    """An observation of a job that was created at that moment."""
    return {"record": "job", "job_id": key, "created_at": at, "status": "completed"} | fields


def metric(key: str, at: str, value: float = 1.5) -> Record:
    """A sample of a gauge."""
    return {"record": "metric", "id": key, "timestamp": at, "name": "cpu", "value": value}


def home(folder: Path, *records: Record, settings: str = "", name: str = "home") -> Tidemill:
    """A home in a folder of pytest's; the lake of the same records is loaded once and then copied."""
    mill = Tidemill(folder / name)
    write_settings(mill, settings)
    if records:
        shutil.copytree(_lake(folder.parent / "lakes", records), mill.home.lake)
    return mill


def _lake(folder: Path, records: Sequence[Record]) -> Path:
    mill = Tidemill(folder / hashlib.sha256(json.dumps(records).encode()).hexdigest()[:16])
    if not mill.home.lake.exists():
        write_settings(mill, "")
        feed(mill, *records)
    return mill.home.lake


def simulated(folder: Path, *, events: int, days: int, seed: int) -> Tidemill:
    """A home that has loaded simulated records, the last of 2026-02-28."""
    made = home(folder)
    tm("simulate", "--events", events, "--days", days, "--seed", seed, at=made)
    made.ingest(made.home.path / "raw")
    return made


def write_settings(mill: Tidemill, settings: str) -> None:
    """Write a home's tidemill.toml; one thread is enough for a handful of records."""
    mill.home.path.mkdir(parents=True, exist_ok=True)
    mill.home.settings_file.write_text(f"threads = 1\n{settings}")


def feed(mill: Tidemill, *records: Record) -> None:
    """Ingest records, all of which must be accepted or known, from a file of their own."""
    text = "".join(json.dumps(record) + "\n" for record in records)
    file = mill.home.path / "raw" / f"{hashlib.sha256(text.encode()).hexdigest()[:16]}.jsonl"
    file.parent.mkdir(exist_ok=True)
    file.write_text(text)
    reports = mill.ingest(file)
    assert [str(failure) for report in reports for failure in report.failures] == []
    assert sum(report.total("quarantined") for report in reports) == 0


@pytest.fixture(autouse=True)
def few_tables(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only the tables that a module names as FEW and what they read, so that builds are quick.

    Not for a test that is marked `every_table`. Modules import this fixture.
    """
    if not request.node.get_closest_marker("every_table"):
        also = [name for marker in request.node.iter_markers("also_tables") for name in marker.args]
        few = {name: catalog_tables.table(name) for name in catalog_tables.with_inputs([*request.module.FEW, *also])}
        monkeypatch.setattr(catalog_tables, "tables", lambda: few)


def built(mill: Tidemill, *names: str, **options: Any) -> dict[str, list[str]]:
    """Build; which partitions of which tables were built."""
    return {made.table: list(made.partitions) for made in mill.build(*names, **options)}


def opened(folder: Path, *records: Record, tables: Iterable[str], settings: str = "") -> Published:
    """Some tables of a home that holds those records, built as of AS_OF, and opened for readers."""
    mill = home(folder, *records, settings=settings)
    built(mill, *tables, as_of=AS_OF)
    return mill.newest()


def readers_of(relation: str) -> set[str]:
    """The tables that read a relation, themselves or through another table."""
    found: set[str] = set()
    for table in catalog_tables.tables().values():  # each after those that it reads
        if table.reads & (found | {relation}):
            found.add(table.name)
    return found


def rows(mill: Tidemill, query: str) -> list[tuple[Any, ...]]:
    """The rows of a query over the newest snapshot."""
    return mill.sql(query).fetchall()


def published(mill: Tidemill) -> dict[str, str]:
    """Every published table but `builds`, as text: names, types, and the rows in their order, doubles bit for bit."""
    with duckdb.connect(str(mill.snapshot() / "catalog.duckdb"), read_only=True) as connection:
        connection.execute("SET TimeZone = 'UTC'")
        names = [
            name
            for (name,) in connection.execute(
                "SELECT view_name FROM duckdb_views() WHERE schema_name = 'main'"
            ).fetchall()
        ]
        found = {}
        for name in sorted(set(names) & catalog_tables.tables().keys()):
            relation = connection.sql(f'FROM "{name}"')
            found[name] = f"{relation.columns} {relation.types} {relation.fetchall()!r}"
        return found


def rewrite_manifest(folder: Path, *without: str, **values: object) -> None:
    """Write the manifest of a snapshot anew: without some keys, with other values, with the stamps of its files now."""
    manifest = json.loads((folder / snapshots_manifest.MANIFEST).read_text())
    kept = {name: value for name, value in manifest.items() if name not in {"digest", *without}}
    (folder / snapshots_manifest.MANIFEST).unlink()
    snapshots_manifest.write(folder, kept | {"stamps": snapshots_manifest.stamped(folder)} | values)


def digests(folder: Path) -> dict[str, str]:
    """The digest of every file under a folder."""
    files: Iterable[Path] = (path for path in sorted(folder.rglob("*")) if path.is_file())
    return {str(file.relative_to(folder)): hashlib.sha256(file.read_bytes()).hexdigest() for file in files}


@dataclass(frozen=True)
class Said:
    """What a command left behind."""

    code: int
    data: bytes
    err: str

    @property
    def out(self) -> str:
        """Its standard output as text."""
        return self.data.decode()

    @property
    def fault(self) -> str:
        """The one line of a command that failed, without the command's name."""
        assert self.data == b""
        assert self.err.startswith("tidemill: ")
        assert self.err.endswith("\n")
        assert self.err.count("\n") == 1, self.err
        return self.err.removeprefix("tidemill: ").strip()


def tm(*arguments: object, at: Tidemill | Path | None = None, environment: Mapping[str, str] | None = None) -> Said:
    """Run the command in this process, on a home; of the environment's TIDEMILL_ variables it sees those given."""
    place = [] if at is None else ["--home", at if isinstance(at, Path) else at.home.path]
    out, err = io.TextIOWrapper(io.BytesIO(), encoding="utf-8"), io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(out), redirect_stderr(err):
        for name in [name for name in os.environ if name.startswith("TIDEMILL_")]:
            patch.delenv(name)
        for name, value in (environment or {}).items():
            patch.setenv(name, value)
        with pytest.raises(SystemExit) as end:
            main.main([str(argument) for argument in (*place, *arguments)])
    out.flush()
    return Said(int(end.value.code or 0), out.buffer.getvalue(), err.getvalue())


def process(*arguments: object, **options: Any) -> subprocess.Popen[bytes]:
    """Start the command in a process of its own, with its standard error in a pipe."""
    return subprocess.Popen([sys.executable, "-m", "tidemill", *map(str, arguments)], stderr=subprocess.PIPE, **options)


def until_at_lock(mill: Tidemill, what: str, *processes: subprocess.Popen[Any]) -> None:
    """Wait until processes have come to the lock of the lake or the tables, which somebody else holds."""
    lock = mill.home.path / what / ".lock"
    for one in processes:
        while one.poll() is None and not any(_names(link, lock) for link in Path(f"/proc/{one.pid}/fd").iterdir()):
            time.sleep(0.02)


def _names(link: Path, file: Path) -> bool:
    try:
        return link.readlink() == file
    except FileNotFoundError:  # closed since it was listed
        return False
