"""A plain Python loop: each line parsed, checked, told apart by its id, and written to its day's Parquet file."""

from __future__ import annotations

import json
import sys
from collections import defaultdict
from datetime import datetime
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

BATCH = 50_000
REQUIRED = ("id", "timestamp", "type")

source, target = map(Path, sys.argv[1:])
target.mkdir()
seen: set[str] = set()
days: defaultdict[str, list[dict[str, Any]]] = defaultdict(list)
writers: dict[str, pq.ParquetWriter] = {}
schemas: dict[str, pa.Schema] = {}


def flush(day: str) -> None:
    """Write what is held of a day."""
    rows = pa.Table.from_pylist(days.pop(day))
    if day not in writers:
        schemas[day] = rows.schema
        writers[day] = pq.ParquetWriter(target / f"{day}.parquet", rows.schema)
    writers[day].write_table(rows.cast(schemas[day]))


with source.open(encoding="utf-8") as lines:
    for line in lines:
        record = json.loads(line)
        if any(not record.get(name) for name in REQUIRED) or record["id"] in seen:
            continue
        seen.add(record["id"])
        record["timestamp"] = datetime.fromisoformat(record["timestamp"])
        day = record["timestamp"].date().isoformat()
        days[day].append(record)
        if len(days[day]) == BATCH:
            flush(day)
for day in list(days):
    flush(day)
for writer in writers.values():
    writer.close()
