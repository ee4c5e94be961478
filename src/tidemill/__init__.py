"""tidemill: raw records of jobs, events and metrics in, published tables out."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from tidemill.api import Tidemill

__all__ = ["Tidemill"]

__version__ = "0.1.0"


def __getattr__(name: str) -> object:
    """Import the client when it is asked for: the command starts without it."""
    if name == "Tidemill":
        from tidemill.api import Tidemill

        return Tidemill
    raise AttributeError(name)
