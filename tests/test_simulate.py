from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from datetime import UTC, date, datetime, timedelta
from itertools import chain, pairwise
from typing import TYPE_CHECKING, Any

import pytest

from tidemill.records import CONTRACTS, STATUSES, Type
from tidemill.simulation.simulate import UNTIL, simulate

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

Record = dict[str, Any]

EVENTS, DAYS = 8_000, 8
WHO = {"user_id", "project", "session_id"}
CARRIES = {
    "function_call": {"name", "category", "duration_ms", "success", "overhead_ms", "error_type", "message"},
    "step": {"job_id", "workflow_id", "request_id", "name", "status", "success", "duration_ms"}
    | {"input_tokens", "output_tokens", "cost_usd"},
    "llm_request": {"job_id", "request_id", "user_name", "assistant_id", "name", "model", "provider", "ttft_ms"}
    | {"duration_ms", "input_tokens", "output_tokens", "total_tokens", "cost_usd", "cached", "success"},
    "tool_use": {"tool_name", "duration_ms", "success"},
    "agent_execution": {"agent_id", "duration_ms", "success"},
    "command_executed": {"name", "duration_ms", "success"},
    "session_start": set(),
    "session_end": {"duration_ms"},
    "token_usage": {"model", "provider", "input_tokens", "output_tokens"},
    "performance": {"name", "duration_ms"},
    "hook_triggered": {"name", "duration_ms"},
    "checkpoint_created": {"name", "duration_ms"},
    "error_occurred": {"category", "error_type", "message", "job_id"},
    "validation": {"job_id", "name", "success", "status"},
    "log": {"job_id", "workflow_id", "name"},
    "question": {"text", "assistant_id"},
    "workflow_updated": {"workflow_id", "name", "status"},
    "document_updated": {"document_id", "connector_id", "name", "status", "total_tokens", "value"},
    "document_retrieved": {"document_id", "request_id"},
    "rerank": {"request_id", "value"},
    "connector_updated": {"connector_id", "name"},
    "connector_sync": {"connector_id", "name", "status", "duration_ms"},
}
UNMAPPED = {"record", "region", "http", "queue", "resources", "scraper"}
STEPS_OF_A_REQUEST = ["connection", "cache_lookup", "query_rewrite", "vectorization", "retrieval", "reranking"]
STEPS_OF_A_REQUEST += ["synthesis", "persistence", "cache_update", "trending"]


class Sample:
    """What one simulation wrote: its lines by file, each record once, and the lines that are none."""

    def __init__(self, paths: list[Path]) -> None:
        self.lines = {path.name: path.read_text(encoding="utf-8").splitlines() for path in paths}
        self.records = defaultdict[str, list[Record]](list)
        self.flaws = list[str]()
        for line in dict.fromkeys(chain.from_iterable(self.lines.values())):
            record, flaws = parsed(line)
            self.flaws += flaws
            if not flaws:
                self.records[record["record"]].append(record)

    def events(self, kind: str) -> list[Record]:
        """Every event of a type."""
        return [event for event in self.records["event"] if event["type"] == kind]

    def grouped(self, record: str, field: str) -> dict[str, list[Record]]:
        """The records that have a field, by its value, in order of time."""
        groups = defaultdict[str, list[Record]](list)
        for row in self.records[record]:
            if field in row:
                groups[row[field]].append(row)
        return {key: sorted(rows, key=lambda row: row.get("timestamp", "")) for key, rows in groups.items()}


def parsed(line: str) -> tuple[Record, list[str]]:
    """What a line says, its instants parsed, and why it is no record."""
    try:
        record = json.loads(line)
    except ValueError:
        return {}, ["not JSON"]
    if not isinstance(record, dict):
        return {}, ["not an object"]
    columns = CONTRACTS[record["record"]].columns
    flaws = [f"no {column.name}" for column in columns if column.required and column.name not in record]
    for column in columns:
        if column.name in record and column.type in READERS:
            try:
                record[column.name] = READERS[column.type](record[column.name])
            except (TypeError, ValueError):
                flaws.append(f"{column.name} is not of its type")
    flaws += [f"{c.name} is out of range" for c in columns if c.low is not None and (record.get(c.name) or 0) < c.low]
    return record, flaws


def _instant(text: str) -> datetime:
    return datetime.strptime(text, "%Y-%m-%dT%H:%M:%S.%f%z")


def _number(value: object) -> float:
    if not isinstance(value, int | float):
        raise TypeError
    return value


def _whole(value: object) -> int:
    if not isinstance(value, int):
        raise TypeError
    return value


READERS: dict[Type, Callable[[Any], Any]] = {
    Type.TIMESTAMP: _instant,
    Type.DOUBLE: _number,
    Type.INTEGER: _whole,
}


@pytest.fixture(scope="module")
def paths(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """The files of one simulation, for all tests that only read."""
    return simulate(tmp_path_factory.mktemp("simulated"), events=EVENTS, days=DAYS)


@pytest.fixture(scope="module")
def sample(paths: list[Path]) -> Sample:
    """What stands in them."""
    return Sample(paths)


def test_same_bytes(tmp_path: Path) -> None:
    """The same seed gives the same bytes, with one thread or two, and however few lines are held at once."""
    first = simulate(tmp_path / "first", events=30_000, metrics=9_000, days=3, threads=2)
    again = simulate(tmp_path / "again", events=30_000, metrics=9_000, days=3, threads=1, at_once=7_000)
    assert [path.name for path in first] == [path.name for path in again]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in again]


def test_other_seed(sample: Sample, tmp_path: Path) -> None:
    """Another seed gives none of the same ids."""
    other = Sample(simulate(tmp_path, events=1_000, days=1, seed=1))
    for record, field in (("event", "id"), ("metric", "id"), ("job", "job_id")):
        assert sample.grouped(record, field).keys().isdisjoint(other.grouped(record, field))


def test_files(paths: list[Path]) -> None:
    """One file of jobs, one of events for each UTC day, one of metrics, and nothing else beside them."""
    days = [(UNTIL - timedelta(days=back)).date() for back in range(DAYS, 0, -1)]
    assert [path.name for path in paths] == ["jobs.jsonl", *(f"events-{day}.jsonl" for day in days), "metrics.jsonl"]
    assert sorted(paths[0].parent.iterdir()) == sorted(paths)
    assert all(path.read_bytes().endswith(b"\n") for path in paths)


def test_counts(sample: Sample) -> None:
    """As many different events, jobs and samples stand in the files as were asked for."""
    assert len(sample.records["event"]) == EVENTS
    assert len({job["job_id"] for job in sample.records["job"]}) == EVENTS // 10
    assert len(sample.records["metric"]) == EVENTS // 10


def test_counts_of_ones_own(tmp_path: Path) -> None:
    """Jobs, metrics and events are counted apart, and a record of which there is none has no file."""
    sample = Sample(simulate(tmp_path, events=600, jobs=300, metrics=0, days=2))
    assert len({job["job_id"] for job in sample.records["job"]}) == 300
    assert set(sample.lines) == {"jobs.jsonl", "events-2026-02-27.jsonl", "events-2026-02-28.jsonl"}


def test_period(tmp_path: Path) -> None:
    """A period may end at any instant; nothing lies outside it."""
    until = datetime(2024, 2, 29, 13, 7, tzinfo=UTC)
    sample = Sample(simulate(tmp_path, events=500, days=1, until=until))
    assert set(sample.lines) == {"jobs.jsonl", "events-2024-02-28.jsonl", "events-2024-02-29.jsonl", "metrics.jsonl"}
    instants = [row["timestamp"] for record in ("event", "metric") for row in sample.records[record]]
    assert until - timedelta(days=1) <= min(instants) <= max(instants) < until


@pytest.mark.parametrize("wrong", [{"events": -1}, {"jobs": -1}, {"metrics": -1}, {"days": 0}])
def test_impossible(tmp_path: Path, wrong: dict[str, int]) -> None:
    """A negative count or a period without a day is an error that says so, and nothing is written."""
    with pytest.raises(ValueError, match="cannot simulate"):
        simulate(tmp_path / "none", **wrong)  # type: ignore[arg-type]
    assert not (tmp_path / "none").exists()


def test_every_type(sample: Sample) -> None:
    """Every type of the vocabulary is there, and no other."""
    assert {event["type"] for event in sample.records["event"]} == set(CARRIES)


@pytest.mark.parametrize("kind", CARRIES)
def test_carries(sample: Sample, kind: str) -> None:
    """An event carries what the vocabulary says of its type, who it belongs to, and now and then a field of its own."""
    fields = {field for event in sample.events(kind) for field in event} - UNMAPPED - {"id", "timestamp", "type"}
    assert CARRIES[kind] <= fields <= CARRIES[kind] | WHO


def test_shapes(sample: Sample) -> None:
    """Apart from the broken lines, every field is a column of its record or goes to its attributes."""
    for record, contract in CONTRACTS.items():
        fields = {field for row in sample.records[record] for field in row}
        assert fields <= set(contract.names) | UNMAPPED
        assert fields & UNMAPPED > {"record"}


def test_broken_lines(sample: Sample) -> None:
    """About one line in 5,000 is broken, but at least three, and not all in the same way."""
    assert set(sample.flaws) >= {"not JSON", "not an object", "timestamp is not of its type"}
    assert len(sample.flaws) < 10


def test_kinds_of_broken_lines(tmp_path: Path) -> None:
    """Lines are cut off or no object; values are not of their type, out of range, or missing."""
    few = Sample(simulate(tmp_path, events=5, jobs=6_000, metrics=0, days=1))
    assert set(few.flaws) == {
        "not JSON",
        "not an object",
        "timestamp is not of its type",
        "duration_ms is out of range",
        "input_tokens is not of its type",
        "created_at is not of its type",
        "no status",
    }


def test_repeated_lines(sample: Sample) -> None:
    """About one line in 200 stands there twice; an id is never that of two different records."""
    lines = Counter(chain.from_iterable(sample.lines.values()))
    assert 0.003 < lines.total() / len(lines) - 1 < 0.008
    ids = sample.grouped("event", "id")
    assert {len(events) for events in ids.values()} == {1}
    assert 0.01 < 1 - len(ids) / EVENTS < 0.03


def test_late_records(sample: Sample) -> None:
    """A late event stands in the file of the day on which it arrived, up to days after it happened."""
    arrived = {
        line: date.fromisoformat(name[7:17])
        for name, lines in sample.lines.items()
        if "events" in name
        for line in lines
    }
    read = ((parsed(line), day) for line, day in arrived.items())
    late = Counter((day - event["timestamp"].astimezone(UTC).date()).days for (event, flaws), day in read if not flaws)
    assert set(late) == {0, 1, 2, 3}
    assert 0.002 < 1 - late[0] / late.total() < 0.01


def test_rhythm(sample: Sample) -> None:
    """More happens by day than by night, and on a weekday than on a Sunday."""
    instants = [event["timestamp"].astimezone(UTC) for event in sample.records["event"]]
    hours = Counter(instant.hour for instant in instants)
    weekdays = Counter(instant.weekday() for instant in instants)
    assert hours[10] > 4 * hours[3]
    assert weekdays[2] > 1.5 * weekdays[6]


def test_durations(sample: Sample) -> None:
    """Durations have a long tail: the slowest of a hundred calls takes over ten times the median."""
    durations = sorted(event["duration_ms"] for event in sample.events("function_call") if "duration_ms" in event)
    assert durations[-len(durations) // 100] > 10 * durations[len(durations) // 2]


def test_outcomes(sample: Sample) -> None:
    """Calls mostly succeed, some fail, and of some it is unknown."""
    outcomes = Counter(event.get("success") for event in sample.events("tool_use"))
    assert outcomes[True] > 5 * outcomes[False] > 5 * outcomes[None] > 0


def test_sessions(sample: Sample) -> None:
    """A session starts first and ends last; only some of its events say whose it is, and they agree."""
    sessions = sample.grouped("event", "session_id").values()
    for events in sessions:
        assert events[0]["type"] == "session_start"
        assert "session_end" not in {event["type"] for event in events[:-1]}
        assert len({event["user_id"] for event in events if "user_id" in event}) <= 1
    assert 0.1 < sum("user_id" in event for events in sessions for event in events) / sum(map(len, sessions)) < 0.5


def test_requests(sample: Sample) -> None:
    """The steps of a request come in their order, in the session that has it, and are no steps of a job."""
    requests = [
        [event for event in events if event["type"] == "step"]
        for events in sample.grouped("event", "request_id").values()
    ]
    assert max(map(len, requests)) == len(STEPS_OF_A_REQUEST)
    for steps in requests:
        told = [step["name"] for step in steps]
        assert told == [name for name in STEPS_OF_A_REQUEST if name in told]
        assert len({step["session_id"] for step in steps}) <= 1
        assert not any("job_id" in step for step in steps)


def test_llm_requests(sample: Sample) -> None:
    """Answers may come from the cache or not or nobody knows, without a price, with a first token at 0 or never."""
    requests = sample.events("llm_request")
    assert {request.get("cached") for request in requests} == {True, False, None}
    assert {"cost_usd" in request for request in requests} == {True, False}
    assert {request.get("ttft_ms") for request in requests} >= {0, None}
    assert all(request["duration_ms"] >= request.get("ttft_ms", 0) for request in requests if "duration_ms" in request)


def test_questions(sample: Sample) -> None:
    """The same question is spelled in several ways, some with accents."""
    texts = Counter(question["text"] for question in sample.events("question"))
    assert len({text for text in texts if re.sub(r"\W+", " ", text.lower()).startswith("how many vacation")}) >= 4
    assert any(not text.isascii() for text in texts)


def test_job_lives(sample: Sample) -> None:
    """A job is observed several times: all of it once, then only what changed; created_at never changes."""
    lives = sample.grouped("job", "job_id").values()
    assert 3 < sum(map(len, lives)) / len(lives) < 4
    assert {len(life) for life in lives} >= {2, 3, 4, 5}
    assert {len({job["created_at"] for job in life if "created_at" in job}) for life in lives} == {1}


def test_job_statuses(sample: Sample) -> None:
    """Statuses are spelled in any case, with synonyms, and some are of no known kind."""
    spelled = {job["status"] for job in sample.records["job"]}
    assert {STATUSES.get(status.lower()) for status in spelled} == {*STATUSES.values(), None}
    assert any(status not in {status.lower(), status.upper()} for status in spelled)


def test_job_events(sample: Sample) -> None:
    """What happens in a job lies between its start and its end."""
    starts = {job["job_id"]: job["started_at"] for job in sample.records["job"] if "started_at" in job}
    ends = {job["job_id"]: job["completed_at"] for job in sample.records["job"] if "completed_at" in job}
    events = [event for event in sample.records["event"] if "job_id" in event]
    assert {event["type"] for event in events} >= {"step", "validation", "log", "error_occurred"}
    for event in events:
        happened, job = event["timestamp"], event["job_id"]
        assert starts.get(job, happened) <= happened <= ends.get(job, happened)


def test_metrics(sample: Sample) -> None:
    """There are gauges, deltas and counters, with units and labels, and a counter falls only when it was reset."""
    metrics = sample.records["metric"]
    assert {metric.get("kind") for metric in metrics} == {"gauge", "counter", "delta", None}
    assert {metric["unit"] for metric in metrics} >= {"ms", "By", "1", "{token}"}
    assert all(list(metric["labels"]) == ["host", "region"] for metric in metrics)
    requests = [
        metric for metric in sample.grouped("metric", "name")["requests.total"] if metric["labels"]["host"] == "node-0"
    ]
    falls = sum(later["value"] < earlier["value"] for earlier, later in pairwise(requests))
    assert 0 < falls < DAYS
