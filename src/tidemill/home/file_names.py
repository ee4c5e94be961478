"""Names of files as text: a name is bytes, which need not be UTF-8."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pathlib import Path


def shown(path: Path) -> str:
    r"""Return a path as text, with bytes that are not UTF-8 as `\xe9`."""
    return os.fsencode(path).decode(errors="backslashreplace")


def is_utf8(path: Path) -> bool:
    """Return whether the engine, which takes UTF-8 alone, can be given a path."""
    try:
        return str(path).encode() == os.fsencode(path)
    except UnicodeEncodeError:
        return False
