from __future__ import annotations

import duckdb
import pyarrow as pa
import pytest

from tidemill.server import bodies


@pytest.mark.parametrize("most", [None, 1, bodies.BATCH_ROWS, bodies.BATCH_ROWS + 1, 100_000])
def test_a_stream_has_the_first_rows_that_are_asked_for(most: int | None) -> None:
    """A stream ends after so many rows, whatever a batch holds, or with the last that there is."""
    with duckdb.connect() as connection:
        parts = list(bodies.batches(connection.sql("FROM range(40_000) AS numbers(n)"), most))
    found = pa.ipc.open_stream(b"".join(parts)).read_all()
    assert found["n"].to_pylist() == list(range(min(40_000, most or 40_000)))
