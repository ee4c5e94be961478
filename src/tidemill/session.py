"""A connection of a home: within its memory, on its threads, spilling into a folder of this process."""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill import capacity, spill
from tidemill.engines import duckdb as engine

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

    from tidemill.home import Home
    from tidemill.settings import Settings


def connect(home: Home, settings: Settings, *, timezone: str | None) -> DuckDBPyConnection:
    """Open a database as the settings of a home have it; `timezone` as of the engine's `connect`."""
    return engine.connect(
        timezone=timezone,
        memory_limit=capacity.of_engine(settings.memory_limit),
        threads=settings.threads,
        temp_directory=spill.folder(home),
    )
