"""What a home remembers of files, so that those which did not change are not read again."""

from __future__ import annotations

import json
import uuid
from contextlib import suppress
from dataclasses import replace
from typing import TYPE_CHECKING

from tidemill.sources import files

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from tidemill.home.home import Home
    from tidemill.ingest.load import Load


class Memory:
    """What is remembered of each file's last load: a shortcut only, a lost one costs a reading and nothing else."""

    def __init__(self, home: Home, source: str) -> None:
        """Of the files of one source."""
        self._staging = home.staging
        self._file = home.lake / f"seen-{uuid.uuid5(uuid.NAMESPACE_URL, source).hex}.json"
        self._seen: dict[str, files.Seen] = {}
        with suppress(OSError, ValueError, TypeError):
            self._seen = {path: files.Seen(**seen) for path, seen in json.loads(self._file.read_text()).items()}

    def of(self, path: Path) -> files.Seen | None:
        """A file's last load."""
        return self._seen.get(str(path))

    def keep(self, loads: Sequence[Load]) -> None:
        """Remember that loads are in the lake."""
        if not loads:
            return
        self._seen |= {str(load.portion.path): _seen(load, load.portion) for load in loads if load.portion}
        beside = (
            self._staging / f"{uuid.uuid4().hex}.json"
        )  # where it is swept if this is killed before it has its name
        beside.write_text(json.dumps({path: vars(seen) for path, seen in self._seen.items()}))
        beside.rename(self._file)


def _seen(load: Load, portion: files.Portion) -> files.Seen:
    """Return what is remembered of a file; of one that may grow, also the fields that its records have."""
    found = load.types if portion.layout is files.Layout.LINES else ()
    return replace(portion.seen, fields=tuple(dict.fromkeys([*portion.seen.fields, *found])))
