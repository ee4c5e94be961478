"""A place with the whole history, made once, and whether processes can be traced here at all."""

from __future__ import annotations

import platform
import subprocess
import sys
from typing import TYPE_CHECKING

import pytest

from tests.faults.kills import TRACER, Case
from tests.faults.scenario import STEPS, Place, prepare

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


@pytest.fixture(scope="session")
def traceable() -> None:
    """Skip where the kernel does not let us stop a process at its system calls, or they have other numbers."""
    if sys.platform != "linux" or platform.machine() != "x86_64":
        pytest.skip(f"system calls are numbered for x86-64 Linux; this is {platform.machine()} {sys.platform}")
    asked = '{"below": "/nowhere", "at": 0, "errno": 0, "onwards": false, "answer": 1}'
    tried = subprocess.run([*TRACER, asked, "/bin/true"], capture_output=True, text=True, check=False)
    if not tried.stdout:
        pytest.skip(f"processes cannot be traced here: {tried.stderr.strip().splitlines()[-1:]}")


@pytest.fixture(scope="session")
def place(traceable: None, tmp_path_factory: pytest.TempPathFactory) -> Place:  # noqa: ARG001 - for its skip
    """A place in which the history was run."""
    found = Place(tmp_path_factory.mktemp("faults"))
    prepare(found)
    return found


@pytest.fixture(scope="session")
def case(place: Place) -> Callable[[str], Case]:
    """A step of the history by its name, in that place."""
    made = {step.name: Case(place, step) for step in STEPS}
    return made.__getitem__


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """A folder whose changes are traced."""
    found = tmp_path / "folder"
    found.mkdir()
    return found
