"""What a build stands on: the lake as its log says, and the snapshot before, of which it takes over what is fresh.

It does not read all of that, but looks at it at a glance, and at the content of what it reads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.errors import DamagedError, Fault
from tidemill.home import file_digest, format_version
from tidemill.home.file_digest import Stamp
from tidemill.lake import commits
from tidemill.lake import schema as lake_schema
from tidemill.lake import state as lake_state

if TYPE_CHECKING:
    from tidemill.home.home import Home
    from tidemill.lake.commits import Snapshot
    from tidemill.snapshots.manifest import Manifest


def check(home: Home, before: Manifest, now: Snapshot) -> None:
    """See that every file of the lake and of the snapshot before is there and as it was.

    Raises:
        DamagedError: some are not.
    """
    if fault := lost(home, before, now):
        raise DamagedError([fault])
    known = [stamp for table in lake_schema.TABLES for stamp in lake_state.stamps(now.of(table))]
    file_digest.glance([*known, *files(before)])


def lost(home: Home, before: Manifest, now: Snapshot) -> Fault | None:
    """What of the lake is not what the snapshot was made of, though the lake may look whole."""
    if before.lake_id and home.lake.is_dir() and not format_version.of_lake(home.lake):
        return Fault(home.lake / format_version.FILE, "is missing", "put it back from a copy, or run: tidemill upgrade")
    if before.lake_id and format_version.identity(home.lake) != before.lake_id:
        begin = f"put it back, or, to begin anew, remove {home.tables}, too"
        return Fault(home.lake, "is missing, or another lake than the one that the tables are made of", begin)
    if before.pruned > now.pruned:
        restore = f"put it back from a copy, or write {before.pruned} into it"
        return Fault(home.lake / commits.PRUNED, f"does not say that days before {before.pruned} were pruned", restore)
    return None


def files(before: Manifest) -> list[Stamp]:
    """What is known of a snapshot's files; of an older version's only their names, which tell their content."""
    if before.format:
        return before.files
    paths = [before.folder / name / file for name, state in before.tables.items() for file in state.files.values()]
    paths += [before.breaches] if before.breaches else []
    return [Stamp(str(path), path.stat().st_size if path.exists() else 0, 0) for path in paths]
