"""dlt: JSON lines to Parquet on the local disk, by its own reader or fed by Arrow."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import dlt
from dlt.sources.filesystem import filesystem, read_jsonl

if TYPE_CHECKING:
    from collections.abc import Iterator

source, target, way = sys.argv[1:]


def arrow() -> Iterator[Any]:
    """The lines as Arrow's own reader reads them, in batches."""
    import pyarrow.json

    with pyarrow.json.open_json(source) as batches:
        yield from batches


if way == "arrow":
    lines = dlt.resource(arrow, name="events")
else:
    found = filesystem(bucket_url=Path(source).parent.as_uri(), file_glob=Path(source).name)
    lines = (found | read_jsonl(chunksize=10_000)).with_name("events")
pipeline = dlt.pipeline(
    "bench",
    pipelines_dir=f"{target}/pipelines",
    destination=dlt.destinations.filesystem(bucket_url=f"{target}/files"),
    dataset_name="bench",
)
pipeline.run(lines, loader_file_format="parquet", write_disposition="append")
