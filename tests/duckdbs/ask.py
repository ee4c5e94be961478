"""Print the answers of whichever DuckDB this Python imports to everything that a catalog offers, as JSON."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any, Final

import duckdb

PERCENTILES: Final = """
    SELECT type, histogram_percentile(bucket, events, 0.5), histogram_percentile(bucket, events, 0.99)
    FROM (SELECT type, bucket, sum(events) AS events FROM latency_histogram GROUP BY ALL) GROUP BY ALL ORDER BY ALL
"""
MACROS: Final = """
    SELECT latency_bucket(12.5), latency_estimate(7), histogram_counts(bucket, 2),
        counted_value([{ms: 1, events: 3}], 2), counted_percentile([{ms: 1, events: 1}, {ms: 3, events: 1}], 0.5)
    FROM (VALUES (NULL), (7), (9)) buckets(bucket) GROUP BY ALL
"""
CUT: Final = "SELECT count(*) FROM lake.events WHERE timestamp >= TIMESTAMPTZ '2026-02-27 00:00:00+00'"


def ask(catalog: Path) -> dict[str, Any]:
    """Return the answers by what was asked."""
    with duckdb.connect(str(catalog), read_only=True) as database:
        database.execute("SET TimeZone = 'UTC'")

        def rows(query: str) -> list[Any]:
            return database.execute(query).fetchall()

        views = rows("SELECT schema_name, view_name, comment FROM duckdb_views() WHERE NOT internal ORDER BY ALL")
        found: dict[str, Any] = {"views": views, "percentiles": rows(PERCENTILES), "cut": rows(CUT)}
        for schema, name, _ in views:
            view = f'{schema}."{name}"'
            found[view] = {
                "columns": rows(f"DESCRIBE {view}"),
                "first": rows(f"FROM {view} LIMIT 3"),
                "rows": sorted(map(repr, map(_plain, rows(f"FROM {view}")))),
                "count": rows(f"SELECT count(*) FROM {view}"),
            }
        columns = "SELECT table_name, column_name, data_type, comment FROM duckdb_columns() WHERE NOT internal"
        found["comments"] = rows(f"{columns} ORDER BY ALL")
        found["macros"] = [
            rows(MACROS),
            rows("SELECT DISTINCT function_name FROM duckdb_functions() WHERE NOT internal ORDER BY ALL"),
        ]
        for folder in sorted(path for path in catalog.parent.iterdir() if path.is_dir()):
            parquet = f"read_parquet('{folder}/*.parquet')"
            found[f"Parquet of {folder.name}"] = rows(f"SELECT count(*), count(DISTINCT hash(t)) > 0 FROM {parquet} t")
    return found


def _plain(row: tuple[Any, ...]) -> list[str]:
    """Return values as text: an instant's timezone is another object in each version."""
    return [repr(value) if isinstance(value, float) else str(value) for value in row]


if __name__ == "__main__":
    json.dump({"version": duckdb.__version__, "answers": ask(Path(sys.argv[1]))}, sys.stdout, default=str)
