"""Records that are hard on a table: ties, boundaries, missing ids, partial observations, odd spellings; by a seed."""

from __future__ import annotations

import random
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.oracle.world import Row

TYPES = (
    "function_call", "step", "step", "step", "llm_request", "llm_request", "llm_request", "tool_use",
    "agent_execution", "command_executed", "session_start", "session_end", "token_usage", "performance",
    "hook_triggered", "checkpoint_created", "error_occurred", "validation", "validation", "log", "question", "question",
    "question", "workflow_updated", "document_updated", "document_retrieved", "document_retrieved", "rerank",
    "connector_updated", "connector_sync", "own_word",
)  # fmt: skip
TEXTS = (
    "Where's my card?", "wheres my card", "WHERE\u2019S MY CARD!!", "  Whére's  my   cárd ", "where's... my card",
    "where is my card", "", "   ", "???", " ??? ", "¿Qué tal?", "que tal", "Straße", "日本語", "😀",
    "a-b", "a b", "A_B", "İstanbul", "istanbul", "कि", "ガ",
)  # fmt: skip
NAMES: dict[str, Sequence[str]] = {
    "step": ("synthesis", "connection", "trending", "extract", "load", "zeta"),
    "workflow_updated": ("etl", "report"),
    "validation": ("not_null", "range"),
}
STATUSES: dict[str, Sequence[str]] = {
    "validation": ("skipped", "passed", "failed"),
    "workflow_updated": ("active", "terminated", "deleted"),
    "document_updated": ("deleted", "added", "changed"),
    "connector_sync": ("success", "failure", "partial"),
}
BOTH = (True, False)
AMOUNTS = (0, 0.0005, 0.1, 0.2, 0.3, 1, 12.5, 250, 2000, 2000.0001, 5000, 5001, 1e4, 86_400_000, 1e-9, 123456.789)
PROGRESS = (
    ("pending", 0), ("waiting", 0), ("Queued", 1), ("RUNNING", 2), ("started", 2), ("paused", 2), ("success", 3),
    ("failed", 3), ("aborted", 3), ("zombie", None),
)  # fmt: skip

PRICES = """\
provider,model,valid_from,input_per_1m_usd,output_per_1m_usd
,gpt-4o*,2024-01-01T00:00:00Z,2.5,10
openai,gpt-4o,2024-05-01T00:00:00Z,3,12
,gpt-4o-*,2024-02-01T00:00:00Z,0.15,0.6
azure,gpt-[45]o,2024-03-01T00:00:00Z,4,16
,claude-?,2024-04-01T00:00:00Z,3,15
openai,[!gc],2024-06-01T00:00:00Z,0.5,0.5
,*,{late},1,1
,gpt-4o*,{change},5,20
"""


def instants(until: datetime, days: int, special: Sequence[datetime]) -> list[datetime]:
    """Moments on and beside the edges of hours and days in several zones, and those that a test asks for."""
    starts = [until - timedelta(days=day) for day in range(1, days + 1)]
    edges = [(0, 0), (1, 0), (0, 30), (1, 30), (2, 30), (3, 30), (5, 30), (18, 30), (22, 0), (23, 0), (23, 30)]
    found = [start + timedelta(hours=hour, minutes=minute) for start in starts for hour, minute in edges]
    return [*found, *(moment - timedelta(microseconds=1) for moment in found), *special, *special, *special]


def _dice(seed: str) -> random.Random:
    return random.Random(seed)


def events(seed: int, pool: Sequence[datetime], number: int) -> list[Row]:
    """Events of every type whose fields come from small pools, so that ties and collisions are many.

    Those of two seeds may share their ids, but not at the same instant: which comes first would be open.
    """
    rng = _dice(f"events {seed}")
    return [_event(rng, [moment + _apart(seed) for moment in pool]) for _ in range(number)]


def _apart(seed: int) -> timedelta:
    return timedelta(microseconds=seed % 2)


def _event(rng: random.Random, pool: Sequence[datetime]) -> Row:
    kind = rng.choice(TYPES)
    fields: Row = {
        "id": f"e{rng.randrange(5 if kind == 'log' else 400)}" if rng.random() < 0.5 else None,
        "session_id": _one(rng, "s1", "s2", "s3", "s4", "s5"),
        "user_id": _one(rng, "u1", "u2", "u3", chance=0.4),
        "user_name": _one(rng, "Ann", "Bob", chance=0.3),
        "project": _one(rng, "p1", "p2", chance=0.3),
        "job_id": _one(rng, "j1", "j2", "j3", "ghost", "phantom", chance=0.5),
        "workflow_id": _one(rng, "w1", "w2", "w9", chance=0.5),
        "agent_id": _one(rng, "g1", "g2"),
        "assistant_id": _one(rng, "a1", "a2"),
        "tool_name": _one(rng, "grep", "cat"),
        "request_id": _one(rng, *(f"r{number}" for number in range(20))),
        "document_id": _one(rng, "d1", "d2", "d3", "d4", "d5", chance=0.9),
        "connector_id": _one(rng, "c1", "c2", "c3", chance=0.9),
        "name": _one(rng, *NAMES.get(kind, ("a", "b", "é")), chance=0.85),
        "status": _one(rng, *STATUSES.get(kind, ("ok", "no", "success"))),
        "success": _one(rng, *BOTH),
        "category": _one(rng, "transient", "rate_limit", "permanent", "weird"),
        "error_type": _one(rng, "OOM", "Timeout", chance=0.4),
        "message": _one(rng, "bang", chance=0.2),
        "text": _one(rng, *TEXTS, chance=0.9) if kind == "question" else None,
        "duration_ms": _amount(rng),
        "ttft_ms": _amount(rng),
        "overhead_ms": _amount(rng, 0.3),
        "model": _one(rng, "gpt-4o", "gpt-4o-mini", "claude-3", "claude-33", "m"),
        "provider": _one(rng, "openai", "azure"),
        "input_tokens": _one(rng, 0, 7, 1000, 123_456),
        "output_tokens": _one(rng, 0, 3, 500),
        "total_tokens": _one(rng, 0, 11, 10**6, chance=0.2),
        "cost_usd": _one(rng, 0, 0.1, 0.2, 0.3, 1e-7, chance=0.4),
        "cached": _one(rng, *BOTH),
        "value": _one(rng, 0, -0.5, 0.1, 3.9, 1e6, 17),
    }
    return {"record": "event", "timestamp": _written(rng, _moment(rng, pool)), "type": kind} | _told(fields)


def _one(rng: random.Random, *values: object, chance: float = 0.7) -> object:
    return rng.choice(values) if rng.random() < chance else None


def _amount(rng: random.Random, chance: float = 0.8) -> object:
    return _one(rng, rng.choice(AMOUNTS), rng.choice(AMOUNTS), round(rng.lognormvariate(5, 2), 3), chance=chance)


def _moment(rng: random.Random, pool: Sequence[datetime]) -> datetime:
    moment = rng.choice(pool)
    return moment if rng.random() < 0.6 else moment + timedelta(microseconds=rng.randrange(3_600_000_000))


def _written(rng: random.Random, moment: datetime) -> str:
    """An instant, with one of several offsets."""
    offset = rng.choice((0, 0, 60, 330, -210, -480))
    return moment.astimezone(timezone(timedelta(minutes=offset))).isoformat()


def _told(fields: Row) -> Row:
    return {name: value for name, value in fields.items() if value is not None}


def jobs(seed: int, pool: Sequence[datetime], number: int, *, late: bool = False) -> list[Row]:
    """Observations of jobs, whole and partial, in any order; of one moment only if their progress tells them apart.

    Late ones are of the same jobs, at moments of their own.
    """
    rng = _dice(f"jobs {seed} {late}")
    created = _dice(f"created {seed}")
    seen = [
        row
        for job in range(1, number + 1)
        for row in _observations(rng, f"j{job}", created.choice(pool), minutes_past=15 if late else 0)
    ]
    return rng.sample(seen, len(seen))


def _observations(rng: random.Random, job: str, created: datetime, minutes_past: int) -> list[Row]:
    rows: list[Row] = []
    taken: set[tuple[int, Any]] = set()
    for _ in range(rng.randrange(1, 6)):
        status, progress = rng.choice(PROGRESS)
        minutes = rng.randrange(minutes_past, 240, 30)
        if {(minutes, progress), (minutes, None)} & taken or (progress is None and any(m == minutes for m, _ in taken)):
            continue
        taken.add((minutes, progress))
        rows.append(_observation(rng, job, created, status, minutes, whole=not rows))
    return rows


def _observation(rng: random.Random, job: str, created: datetime, status: str, minutes: int, *, whole: bool) -> Row:
    def about(chance: float) -> str | None:
        moment = created + timedelta(seconds=rng.choice((-5, 0, 0.25, 60, 3600, 100_000)))
        return _written(rng, moment) if rng.random() < chance else None

    fields = {
        "created_at": _written(rng, created) if whole or rng.random() < 0.3 else None,
        "observed_at": _written(rng, created + timedelta(minutes=minutes)),
        "scheduled_at": about(0.3),
        "started_at": about(0.6),
        "completed_at": about(0.6),
        "deleted_at": about(0.1),
        "name": _one(rng, "build", "test", chance=0.5),
        "project": _one(rng, "p1", "p2", chance=0.3),
        "user_id": _one(rng, "u1", "u2", "u7", chance=0.5),
        "workflow_id": _one(rng, "w1", "w2", "w3", chance=0.5),
        "workflow_kind": _one(rng, "etl", "ml", chance=0.3),
        "step_count": _one(rng, 0, 5, chance=0.3),
        "cost_usd": _one(rng, 0, 0.1, 0.7, chance=0.4),
        "error_type": _one(rng, "OOM", chance=0.2),
        "error_message": _one(rng, "killed", chance=0.2),
    }
    return {"record": "job", "job_id": job, "status": status} | _told(fields)


def metrics(seed: int, pool: Sequence[datetime], number: int) -> list[Row]:
    """Samples of a few series: counters that fall, several of one moment, labels in any order."""
    rng = _dice(f"metrics {seed}")
    pool = [moment + _apart(seed) for moment in pool]
    return [
        {"record": "metric", "timestamp": _written(rng, _moment(rng, pool)), "name": rng.choice(("cpu", "requests"))}
        | {"value": rng.choice((0, 0.1, 0.2, -3, 5, 7, 1e6, rng.random()))}
        | _told(
            {
                "id": f"m{sample}" if rng.random() < 0.5 else None,
                "unit": _one(rng, "1", "By", chance=0.5),
                "kind": _one(rng, "gauge", "counter", "counter", "delta", chance=0.9),
                "labels": rng.choice((None, {}, {"a": "x", "b": "y"}, {"b": "y", "a": "x"}, {"a": "z"})),
            }
        )
        for sample in range(number)
    ]


def prices(until: datetime) -> str:
    """A prices.csv whose prices change within the last day, and some of which come late."""
    change, late = until - timedelta(hours=9), until - timedelta(hours=3)
    return PRICES.format(change=change.astimezone(UTC).isoformat(), late=late.astimezone(UTC).isoformat())
