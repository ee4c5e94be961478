"""A connection of a home: within its memory, on its threads, spilling into a folder of its own."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING

from tidemill.config import memory
from tidemill.engine import connection
from tidemill.home import staging_dir

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from tidemill.config.settings import Settings
    from tidemill.home.home import Home


def connect(home: Home, settings: Settings, *, timezone: str | None, spill: Path | None = None) -> DuckDBPyConnection:
    """Open a database as the settings of a home have it; `timezone` as of the engine's `connect`.

    What does not fit in memory goes into a folder that the engine makes when it must, and removes: in `spill`, in the
    lake's staging folder, which is swept, or where temporary files go if that cannot be written.
    """
    base = spill or (home.staging if os.access(home.staging, os.W_OK | os.X_OK) else Path(tempfile.gettempdir()))
    return connection.connect(
        timezone=timezone,
        memory_limit=memory.of_engine(settings.memory_limit),
        threads=settings.threads,
        temp_directory=base / staging_dir.name_spill(),
    )
