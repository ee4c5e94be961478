"""Percentiles of counted buckets instead of kept values, for records of which the values would not fit in memory.

The buckets are those of `latency_histogram`, and as many again below 0: at most a few thousand a group, however many
values there are. With g = 1.01/0.99, a value in the bucket b of g^(b-1) < x ≤ g^b is taken as 2g^b/(g+1), which is
within 1 % of it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterable

    from duckdb import DuckDBPyConnection

_PERCENTILES: Final = re.compile(r"\bpercentiles\((.+?)\)")
_VALUE_BYTES: Final = 8
_ROOM: Final = 4
"""A list of values grows by doubling, the old beside the new: thrice what they take, and the query needs some."""

_BUCKETED: Final = """
CREATE OR REPLACE TEMP MACRO signed_bucket(x) AS CASE
    WHEN x = 0 THEN 0
    ELSE CAST(sign(x) AS BIGINT) * (latency_bucket(abs(CAST(x AS DOUBLE))) + 40000)
END;
CREATE OR REPLACE TEMP MACRO signed_estimate(bucket) AS
    CASE WHEN bucket = 0 THEN 0 ELSE sign(bucket) * latency_estimate(abs(bucket) - 40000) END;
CREATE OR REPLACE TEMP MACRO signed_counts(x) AS list_sort(list_transform(
    map_entries(histogram(signed_bucket(x))),
    lambda entry: struct_pack(ms := signed_estimate(entry.key), events := CAST(entry.value AS BIGINT))
));
CREATE OR REPLACE TEMP MACRO signed_percentile(x, q) AS greatest(
    CAST(min(x) AS DOUBLE),
    least(CAST(max(x) AS DOUBLE), counted_percentile(signed_counts(x), (count(x) - 1) * CAST(q AS DOUBLE)))
);
CREATE OR REPLACE TEMP MACRO percentiles(x) AS struct_pack(
    p50 := signed_percentile(x, 0.5),
    p95 := signed_percentile(x, 0.95),
    p99 := signed_percentile(x, 0.99)
);
"""
"""An index is moved by 40,000, more than any double needs, so that it says on which side of 0 its bucket is."""


def count_buckets(connection: DuckDBPyConnection) -> None:
    """Let `percentiles(x)` on this connection count buckets: within 1 % for values of one sign, between min and max."""
    connection.execute(_BUCKETED)


def fits(connection: DuckDBPyConnection, selects: Iterable[str], rows: int) -> bool:
    """Whether the values of so many rows, of which the selects take exact percentiles, fit the connection's memory."""
    lists = max((len(set(_PERCENTILES.findall(select))) for select in selects), default=0)
    return rows * lists * _VALUE_BYTES * _ROOM <= memory(connection)


def memory(connection: DuckDBPyConnection) -> int:
    """How many bytes the connection may use."""
    found = connection.execute("SELECT parse_formatted_bytes(current_setting('memory_limit'))").fetchall()
    return int(found[0][0])
