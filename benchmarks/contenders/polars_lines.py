"""Polars: JSON lines to Parquet, to one file or by day."""

from __future__ import annotations

import sys

import polars as pl

source, target, way = sys.argv[1:]
lines = pl.scan_ndjson(source).with_columns(pl.col("timestamp").str.to_datetime(time_zone="UTC"))
if way == "by-day":
    days = lines.with_columns(day=pl.col("timestamp").dt.date())
    days.sink_parquet(pl.PartitionBy(target, key="day"), mkdir=True)
else:
    lines.sink_parquet(target)
