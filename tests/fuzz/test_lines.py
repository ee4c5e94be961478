"""A sample of what `make fuzz` does a million times: mutated lines of JSON and rows of CSV, many to a file."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from tests.fuzz import batches

if TYPE_CHECKING:
    from pathlib import Path


@pytest.mark.parametrize("seed", [1, 2, 3, 4, 5, 6])
@pytest.mark.parametrize("kind", batches.BATCHES)
def test_every_mutated_line_is_accounted_for(tmp_path: Path, kind: str, seed: int) -> None:
    """None is lost or counted twice; what is accepted is what Python reads, and what is refused keeps its text."""
    tally = batches.BATCHES[kind](tmp_path, seed, 1_500)
    assert tally.lines > 300
    assert tally.accepted > 0
    assert tally.quarantined > 0
