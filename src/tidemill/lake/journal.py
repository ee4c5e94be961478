"""The journal of a commit: what it is about to do, in a file that whoever takes the lock next finishes.

Its name carries the digest of what it says, and it names staged files by their place in the home's own staging folder,
so that neither a journal that was changed nor one of a home that was copied does harm.
"""

from __future__ import annotations

import hashlib
import json
import re
import time
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Final

from tidemill.errors import DamagedError, Fault
from tidemill.home import file_digest
from tidemill.lake.schema import Addition

if TYPE_CHECKING:
    from tidemill.home.home import Home

_NAMED: Final = re.compile(r"journal-\d+-([0-9a-f]{16})\.json")
_ADVICE: Final = (
    "put it back from a copy, or remove the journal and load the newest files again: tidemill ingest FILE --reread"
)


@dataclass(frozen=True)
class Entry:
    """What a commit does: the loads it is of, the files that it adds, and the paths of those that it removes.

    One that is `durable` waits for the disk at each step.
    """

    ids: list[str]
    additions: list[Addition]
    removals: list[str]
    durable: bool = False


def written(home: Home, entry: Entry) -> tuple[Path, str]:
    """The journal of a commit: its file, and what is to stand in it."""
    additions = [replace(one, staged=str(Path(one.staged).relative_to(home.staging))) for one in entry.additions]
    text = json.dumps(asdict(replace(entry, additions=additions)))
    return home.lake / f"journal-{time.time_ns()}-{_digest(text)}.json", text


def left(home: Home) -> list[Path]:
    """The journals of commits that were not finished, in their order."""
    return sorted(home.lake.glob("journal-*.json"))


def checked(home: Home, journal: Path) -> Entry:
    """What a journal says that was left.

    Raises:
        DamagedError: it, or a file that it names, is not what was written.
    """
    if faults := faults_of(home, journal):
        raise DamagedError(faults)
    return _read(home, journal)


def faults_of(home: Home, journal: Path) -> list[Fault]:
    """What is wrong with a journal, or with the files that it names."""
    try:
        text = journal.read_text()
        expected = _NAMED.fullmatch(journal.name)
        if expected and _digest(text) != expected[1]:
            return [Fault(journal, "was changed: it is not what its name says", _ADVICE)]
        entry = _read(home, journal)
    except (OSError, ValueError, KeyError, TypeError):
        return [Fault(journal, "cannot be read as the journal of a commit", _ADVICE)]
    return [fault for addition in entry.additions if (fault := _fault(home, journal, addition))]


def _fault(home: Home, journal: Path, addition: Addition) -> Fault | None:
    staged, target = Path(addition.staged), home.lake / addition.table / addition.path
    there = target if target.exists() else staged
    if not there.exists():
        return Fault(staged, f"is missing, and {journal.name} names it", _ADVICE)
    expected = file_digest.promised(addition.path)
    if there.stat().st_size == addition.size and file_digest.digest(there).startswith(expected):
        return None
    return Fault(there, f"was changed, and {journal.name} names it", _ADVICE)


def _read(home: Home, journal: Path) -> Entry:
    entry = json.loads(journal.read_text())
    additions = [Addition(**addition) for addition in entry.pop("additions")]
    return Entry(additions=[replace(one, staged=_here(home, one.staged)) for one in additions], **entry)


def _here(home: Home, staged: str) -> str:
    """Where a staged file is in this home: an older version's journal names it as the home was called then."""
    return str(home.staging / staged.rpartition("/lake/staging/")[2])


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()[:16]
