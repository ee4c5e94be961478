"""The snapshots that a server has open: the newest, taken up when it is published, and those that pages go on with."""

from __future__ import annotations

from collections import OrderedDict
from threading import Lock
from typing import TYPE_CHECKING, Final

from tidemill.errors import NotFoundError
from tidemill.readers import snapshot
from tidemill.snapshots import manifest as snapshots_manifest
from tidemill.snapshots import publish

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill.home.home import Home
    from tidemill.readers.snapshot import Published

KEPT: Final = 3
"""How many snapshots stay open; one that somebody still reads stays so until that is done."""
ENGINES: Final = 2
"""One engine reads the tables and one the lake. They share the memory."""
WITH_SQL: Final = ENGINES + 1
"""Users' SQL runs on an engine of its own, in another process."""


class Snapshots:
    """Snapshots of a home, each opened once, by whichever thread asks first."""

    def __init__(self, home: Home, *, seconds: float, engines: int = ENGINES) -> None:
        self.home = home
        self._seconds = seconds
        self._engines = engines
        self._lock = Lock()
        self._open: OrderedDict[str, Published] = OrderedDict()

    def at_hand(self) -> Published | None:
        """The newest snapshot, if it is open already; takes no time."""
        return self._open.get(self.pointed())

    def pointed(self) -> str:
        """The name of the newest snapshot; empty before there is one."""
        try:
            return (self.home.tables / "current").readlink().name
        except OSError:
            return ""

    def newest(self) -> Published:
        """The newest snapshot.

        Raises:
            TidemillError: nothing is published yet, or it cannot be read.
        """
        return self.at_hand() or self._opened(publish.current(self.home).folder)

    def named(self, name: str) -> Published:
        """A snapshot by its name.

        Raises:
            NotFoundError: it is not kept any more.
        """
        known = {path.name: path for path in (self.home.tables / "snapshots").glob("*")}
        if name not in known:
            raise NotFoundError(f"snapshot {name} is not kept any more; ask without the cursor")
        return self._opened(known[name])

    def _opened(self, folder: Path) -> Published:
        with self._lock:
            found = self._open.get(folder.name)
            if found is None:
                manifest = snapshots_manifest.read(folder) if folder.name else snapshots_manifest.Manifest()
                found = snapshot.opened(self.home, manifest, seconds=self._seconds, share=self._engines)
                self._open[found.id] = found
            self._open.move_to_end(found.id)
            while len(self._open) > KEPT:
                self._open.popitem(last=False)
            return found
