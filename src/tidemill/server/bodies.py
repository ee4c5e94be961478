"""A result as the body of an answer: a file that is kept for a while, or Arrow batches as they come."""

from __future__ import annotations

import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tidemill.engine import export
from tidemill.engine.messages import failures

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyRelation

MEDIA: Final = {
    "json": "application/json",
    "csv": "text/csv",
    "jsonl": "application/x-ndjson",
    "parquet": "application/vnd.apache.parquet",
    "arrow": "application/vnd.apache.arrow.stream",
}
"""The media type of each format."""
BATCH_ROWS: Final = 16_384
"""Rows of an Arrow batch: a few megabytes, of which several are under way."""
_END_OF_STREAM: Final = b"\xff\xff\xff\xff\x00\x00\x00\x00"


@dataclass(frozen=True)
class Made:
    """A file with a result, which goes when nobody holds it any more."""

    folder: tempfile.TemporaryDirectory[str]
    path: Path

    @property
    def size(self) -> int:
        """Return how many bytes the file has."""
        return self.path.stat().st_size


def place(form: str) -> Made:
    """Return the file of a result that is yet to be written."""
    folder = tempfile.TemporaryDirectory(prefix="tidemill-")
    return Made(folder, Path(folder.name, f"result.{form}"))


def made(result: DuckDBPyRelation, form: str) -> Made:
    """Write a result to a file of its own.

    Raises:
        TidemillError: the query failed, or took too long.
    """
    file = place(form)
    export.write(result, form, file.path)
    return file


def batches(relation: DuckDBPyRelation, most: int | None = None) -> Iterator[Any]:
    """A result, or its first so many rows, as the parts of an Arrow stream, each as large as a batch.

    Raises:
        TidemillError: the query failed, or took too long.
    """
    with failures():
        reader = relation.to_arrow_reader(BATCH_ROWS)
        yield memoryview(reader.schema.serialize())
        left = most
        while left != 0 and (batch := next(reader, None)) is not None:
            part = batch if left is None else batch.slice(0, left)
            left = None if left is None else left - part.num_rows
            yield memoryview(part.serialize())
    yield _END_OF_STREAM
