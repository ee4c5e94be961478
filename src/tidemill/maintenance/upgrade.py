"""Migrating a home of an older version to this one; every step may be killed, and done again.

From version 0: each file of the lake gets the name that tells its content (a hard link, and a commit that puts it in
the place of the old name, so that nothing becomes stale), the logs are sealed, and the tables are published again.
The version is written last.
"""

from __future__ import annotations

import shutil
import uuid
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.build import run as build_run
from tidemill.engine import connection as engine_connection
from tidemill.errors import DamagedError, Fault
from tidemill.home import file_digest, format_version, staging_dir
from tidemill.lake import auditing, commits, log_checksums
from tidemill.lake import schema as lake_schema
from tidemill.lake import state as lake_state
from tidemill.lake.schema import Addition
from tidemill.snapshots import publish

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

    from tidemill.config.settings import Settings
    from tidemill.home.home import Home
    from tidemill.lake.schema import DataFile


def upgrade(home: Home, settings: Settings, *, say: Callable[[str], None] | None = None) -> None:
    """Migrate a home to this version, and seal what has lost its seals; `say` is called with a line for each step.

    Raises:
        DamagedError: a file of the lake cannot be read, or is not what was written; nothing is changed for it.
    """
    tell = say or (lambda _: None)
    done = home.lake.is_dir() and _upgrade_lake(home, tell)
    if publish.current(home).id and publish.current(home).format < format_version.FORMAT:
        with build_run.begin(home, settings) as going:
            build_run.finish(going)
        tell("the tables are published again")
        done = True
    tell(f"{home.path} is of format version {format_version.FORMAT}" + ("" if done else " already"))


def _upgrade_lake(home: Home, tell: Callable[[str], None]) -> bool:
    """Migrate the lake, while nobody else writes or builds; False if there is nothing to do."""
    with home.lock("tables"), home.lock("lake"), staging_dir.held(home):
        older = format_version.of_lake(home.lake) < format_version.FORMAT
        unsealed = [
            table for table in lake_schema.TABLES if older or not log_checksums.beside(home.lake / table).exists()
        ]
        if not unsealed:
            return False
        if not older:
            _seal(home, unsealed)
        commits.prepare(home)
        if older:
            tell(f"{_name_by_content(home):,} files of the lake are named by their content")
            _seal(home, unsealed)
            known = publish.current(home).lake_id
            commits.replace(home.lake / format_version.FILE, format_version.new(known))
        tell(f"the logs are sealed: {', '.join(unsealed)}")
        return True


def _seal(home: Home, tables: Sequence[str]) -> None:
    for table in tables:
        log_checksums.beside(home.lake / table).unlink(missing_ok=True)
        log_checksums.renew(home.lake / table)


def _name_by_content(home: Home) -> int:
    """Give each file of the lake the name that tells its content; how many have got one."""
    old = {
        table: [file for file in files if not file_digest.promised(file.path)]
        for table, files in commits.snapshot(home).files.items()
    }
    files = [file for those in old.values() for file in those]
    file_digest.glance(lake_state.stamps(files))
    with engine_connection.connect(timezone=None) as connection:
        read = ((Path(file.path), auditing.unreadable(connection, file.path, file.rows)) for file in files)
        faults = [Fault(path, why) for path, why in read if why]
    if faults:
        raise DamagedError(faults)
    for table, those in old.items():
        if those:
            _rename(home, table, those)
    return len(files)


def _rename(home: Home, table: str, files: Sequence[DataFile]) -> None:
    folder = staging_dir.of(home) / uuid.uuid4().hex
    folder.mkdir()
    with ExitStack() as staged:
        staged.callback(shutil.rmtree, folder, ignore_errors=True)
        additions = [_renamed(table, file, folder / f"{number}.parquet") for number, file in enumerate(files)]
        commits.commit(home, [f"upgrade-{uuid.uuid4().hex}"], additions, instead_of=files, staged=staged)


def _renamed(table: str, file: DataFile, staged: Path) -> Addition:
    staged.hardlink_to(file.path)
    return Addition(
        table=table,
        staged=str(staged),
        path=lake_schema.name_file(file_digest.digest(staged), file.day),
        size=staged.stat().st_size,
        rows=file.rows,
        day=file.day,
        first_load=file.first_load,
        last_load=file.last_load,
        absent=sorted(file.absent),
    )
