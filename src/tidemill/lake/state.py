"""State of the lake at one moment."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tidemill.lake.schema import DataFile
from tidemill.home.file_digest import Stamp


def stamps(files: Iterable[DataFile]) -> list[Stamp]:
    """Return the stamps of some files, as the lake's log has them."""
    return [Stamp(file.path, file.size, file.modified) for file in files]
