"""What the tests of the readers share: a snapshot of nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.homes import opened
from tidemill import catalog

if TYPE_CHECKING:
    from tidemill.readers.published import Published


@pytest.fixture(scope="session")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Every table of a home that never got a record."""
    return opened(tmp_path_factory.mktemp("nothing"), tables=catalog.tables())
