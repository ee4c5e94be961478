"""One home of all real sets, built once for all files of tests here, by whichever worker comes first."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import TYPE_CHECKING, Final

import pytest

from tests.real import frames
from tests.real.files import DATA
from tidemill import Tidemill

if TYPE_CHECKING:
    from collections.abc import Iterator

    import polars as pl

HERE = Path(__file__).parent
BUILD_SECONDS: Final = 900
"""How long a worker waits for the one that builds."""


@pytest.fixture(scope="session")
def mill(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Iterator[Tidemill]:
    """A home into which every set was ingested, and its tables built."""
    own = tmp_path_factory.getbasetemp()
    mill = Tidemill((own if worker_id == "master" else own.parent) / "real")
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TIDEMILL_REAL_DATA", str(DATA))
        with mill.home.lock("setup", wait=BUILD_SECONDS):
            if not (mill.home.path / "setup" / "done").exists():
                _build(mill)
        yield mill


@pytest.fixture(scope="session")
def events() -> pl.DataFrame:
    """The events of all sets, from their files."""
    return frames.events()


def _build(mill: Tidemill) -> None:
    shutil.copy(HERE / "tidemill.toml", mill.home.path)
    shutil.copytree(HERE / "formats", mill.home.path / "formats")
    mill.ingest()
    mill.build()
    (mill.home.path / "setup" / "done").touch()
