"""What the tests of the readers share: a snapshot of nothing."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.homes import opened
from tidemill.catalog import tables as catalog_tables

if TYPE_CHECKING:
    from tidemill.readers.snapshot import Published


@pytest.fixture(scope="session")
def nothing(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Every table of a home that never got a record."""
    return opened(tmp_path_factory.mktemp("nothing"), tables=catalog_tables.tables())
