"""Waiting until the disk has what is written: without it a power failure may keep a name and lose what it names."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path


def sync(path: Path) -> None:
    """Wait until the disk has a file, or the names in a folder."""
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def sync_files(files: Iterable[Path], below: Path) -> None:
    """Wait until the disk has some files, and their names in each folder from one folder on."""
    folders: set[Path] = {below}
    for file in files:
        sync(file)
        folders |= {folder for folder in file.parents if folder.is_relative_to(below)}
    for folder in sorted(folders, reverse=True):
        sync(folder)
