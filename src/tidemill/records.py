"""The three contracts: what a job, an event and a metric are. The only place that lists columns.

`shared` words of the dictionary: a record is *refused* with a field and a reason when a required
column is missing or a value is not of its column's type or range.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

MAX_TEXT_BYTES: Final = 65_536
FIRST_INSTANT: Final = "1970-01-01 00:00:00+00"
END_OF_TIME: Final = "2200-01-01 00:00:00+00"


class Type(StrEnum):
    """A column's type, as DuckDB and the dictionary write it."""

    TEXT = "VARCHAR"
    TIMESTAMP = "TIMESTAMP WITH TIME ZONE"
    BOOLEAN = "BOOLEAN"
    INTEGER = "BIGINT"
    DOUBLE = "DOUBLE"
    LABELS = "JSON object of text"

    @property
    def sql(self) -> str:
        """The type in which the lake stores the column."""
        return "VARCHAR" if self is Type.LABELS else self.value


NUMBERS: Final = frozenset({Type.INTEGER, Type.DOUBLE})


@dataclass(frozen=True)
class Column:
    """One column of a contract; `low` and `high` are inclusive bounds of a number."""

    name: str
    type: Type = Type.TEXT
    required: bool = False
    low: float | None = None
    high: float | None = None
    choices: tuple[str, ...] = ()
    is_id: bool = False


@dataclass(frozen=True)
class Contract:
    """The columns of one kind of record, and the instant that puts it in its day of the lake."""

    record: str
    columns: tuple[Column, ...]
    day_of: str

    @property
    def table(self) -> str:
        """The relation that holds these records: jobs, events or metrics."""
        return f"{self.record}s"

    @property
    def names(self) -> tuple[str, ...]:
        """The columns' names, in the contract's order."""
        return tuple(column.name for column in self.columns)

    @property
    def filters(self) -> tuple[str, ...]:
        """The columns that a window can be filtered by: ids, types, names and categories, but no text that is free."""
        return tuple(column.name for column in self.columns if column.type is Type.TEXT and column.name not in _FREE)

    @property
    def stored(self) -> dict[str, str]:
        """Every column that the lake keeps of this record, with its SQL type."""
        return {column.name: column.type.sql for column in self.columns} | dict(PROVENANCE)


_FREE: Final = frozenset({"message", "error_message", "text"})

PROVENANCE: Final = (("source", "VARCHAR"), ("load_id", "VARCHAR"), ("attributes", "VARCHAR"))
"""What the lake adds to each record: where it came from, and the fields that no column takes."""


def _texts(*names: str, required: bool = False, is_id: bool = False) -> tuple[Column, ...]:
    return tuple(Column(name, required=required, is_id=is_id) for name in names)


def _instants(*names: str) -> tuple[Column, ...]:
    return tuple(Column(name, Type.TIMESTAMP) for name in names)


def _amount(name: str) -> Column:
    return Column(name, Type.DOUBLE, low=0, high=1e15)


def _count(name: str) -> Column:
    return Column(name, Type.INTEGER, low=0, high=1e12)


JOB: Final = Contract(
    "job",
    (
        Column("job_id", required=True, is_id=True),
        Column("status", required=True),
        Column("created_at", Type.TIMESTAMP),
        *_instants("scheduled_at", "started_at", "completed_at", "deleted_at", "observed_at"),
        *_texts("name", "project"),
        Column("user_id", is_id=True),
        Column("workflow_id", is_id=True),
        Column("workflow_kind"),
        _count("step_count"),
        _amount("cost_usd"),
        *_texts("error_type", "error_message"),
    ),
    day_of="created_at",
)

EVENT: Final = Contract(
    "event",
    (
        Column("id"),
        Column("timestamp", Type.TIMESTAMP, required=True),
        Column("type", required=True),
        Column("name"),
        *_texts("session_id", "user_id", is_id=True),
        Column("user_name"),
        *_texts("agent_id", "assistant_id", is_id=True),
        *_texts("tool_name", "project"),
        *_texts("job_id", "workflow_id", "request_id", "document_id", "connector_id", is_id=True),
        Column("status"),
        Column("success", Type.BOOLEAN),
        *_texts("category", "error_type", "message", "text"),
        *(_amount(name) for name in ("duration_ms", "ttft_ms", "overhead_ms")),
        *_texts("model", "provider"),
        *(_count(name) for name in ("input_tokens", "output_tokens", "total_tokens")),
        _amount("cost_usd"),
        Column("cached", Type.BOOLEAN),
        Column("value", Type.DOUBLE),
    ),
    day_of="timestamp",
)

METRIC: Final = Contract(
    "metric",
    (
        Column("id"),
        Column("timestamp", Type.TIMESTAMP, required=True),
        Column("name", required=True),
        Column("value", Type.DOUBLE, required=True),
        Column("unit"),
        Column("kind", choices=("gauge", "counter", "delta")),
        Column("labels", Type.LABELS),
    ),
    day_of="timestamp",
)

CONTRACTS: Final = {contract.record: contract for contract in (JOB, EVENT, METRIC)}
BY_TABLE: Final = {contract.table: contract for contract in CONTRACTS.values()}

LEDGER: Final = {
    "load_id": "VARCHAR",
    "source": "VARCHAR",
    "kind": "VARCHAR",
    "format": "VARCHAR",
    "uri": "VARCHAR",
    "bytes": "BIGINT",
    "content_hash": "VARCHAR",
    "records_read": "BIGINT",
    "expanded": "BIGINT",
    "accepted": "BIGINT",
    "duplicates": "BIGINT",
    "quarantined": "BIGINT",
    "ignored": "BIGINT",
    "first_timestamp": "TIMESTAMP WITH TIME ZONE",
    "last_timestamp": "TIMESTAMP WITH TIME ZONE",
    "started_at": "TIMESTAMP WITH TIME ZONE",
    "finished_at": "TIMESTAMP WITH TIME ZONE",
}
"""`lake.loads`: one row a load; records_read + expanded = accepted + duplicates + quarantined + ignored."""

LOADS: Final = LEDGER | {"given": "VARCHAR"}
"""What the lake keeps of a load: the ledger, and as JSON what a retry must know of it."""

QUARANTINE: Final = {
    "load_id": "VARCHAR",
    "source": "VARCHAR",
    "uri": "VARCHAR",
    "line": "BIGINT",
    "record": "VARCHAR",
    "field": "VARCHAR",
    "reason": "VARCHAR",
    "raw": "VARCHAR",
}
"""`lake.quarantine`: one row a refused record, with its reason and its whole text."""

RELEASED: Final = {"load_id": "VARCHAR", "of_load_id": "VARCHAR", "line": "BIGINT", "record": "VARCHAR"}
"""Which records of which lines and loads left the quarantine, and by which retry."""

STATUSES: Final = {
    "pending": "pending",
    "queued": "queued",
    "running": "running",
    "paused": "paused",
    "completed": "completed",
    "failed": "failed",
    "cancelled": "cancelled",
    "success": "completed",
    "succeeded": "completed",
    "finished": "completed",
    "error": "failed",
    "errored": "failed",
    "crashed": "failed",
    "canceled": "cancelled",
    "aborted": "cancelled",
    "scheduled": "pending",
    "waiting": "pending",
    "started": "running",
    "in_progress": "running",
}
"""A job's status by the word that a source uses for it, in lower case. Any other word stays as it is."""
