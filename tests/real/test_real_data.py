"""Real records of seven sets, ingested and built once, against figures that plain Python counts in the files."""

from __future__ import annotations

import math
import re
from collections import Counter, defaultdict
from datetime import UTC, datetime, timedelta
from itertools import groupby
from operator import itemgetter
from typing import TYPE_CHECKING, Any
from urllib.parse import unquote

import pytest

from tests.real.files import (
    LEDGERS,
    MAX_TEXT_BYTES,
    NEED_DATA,
    Ledger,
    aider_events,
    csv_rows,
    llmperf_requests,
    percentile,
    snapshots,
    steps_of_runs,
)

if TYPE_CHECKING:
    from tidemill import Tidemill

pytestmark = NEED_DATA


def rows(mill: Tidemill, select: str) -> list[tuple[Any, ...]]:
    """The rows of a select over the published tables and the lake."""
    return mill.sql(select).fetchall()


def row(mill: Tidemill, select: str) -> tuple[Any, ...]:
    """The only row of a select."""
    [only] = rows(mill, select)
    return only


@pytest.mark.parametrize("source", LEDGERS)
def test_the_ledger_of_every_set_says_what_the_files_hold(mill: Tidemill, source: str) -> None:
    """What was read, accepted, known, refused and ignored is what Python finds in the files."""
    columns = ", ".join(f"sum({name})::BIGINT" for name in Ledger._fields)
    assert Ledger(*row(mill, f"SELECT {columns} FROM lake.loads WHERE source = '{source}'")) == LEDGERS[source]()


def test_every_load_adds_up(mill: Tidemill) -> None:
    """Read and expanded are accepted, duplicates, quarantined and ignored: in each load, not just over all."""
    assert not rows(
        mill,
        """SELECT * FROM lake.loads
        WHERE records_read + expanded <> accepted + duplicates + quarantined + ignored""",
    )
    assert row(mill, "SELECT count(*) FROM lake.loads") == (6 + 1 + 1 + 2 + 19 + 1 + 96,)


def test_what_was_accepted_is_in_the_lake(mill: Tidemill) -> None:
    """The lake holds the records that the ledger calls accepted, source by source."""
    stored = rows(
        mill,
        """SELECT source, count(*)
        FROM (
            SELECT source FROM lake.jobs
            UNION ALL
            SELECT source FROM lake.events
            UNION ALL
            SELECT source FROM lake.metrics
        )
        GROUP BY ALL""",
    )
    ledger = rows(mill, "SELECT source, sum(accepted)::BIGINT FROM lake.loads GROUP BY ALL")
    assert dict(stored) == dict(ledger)


def test_only_what_is_wrong_is_refused_and_says_why(mill: Tidemill) -> None:
    """Jobs that were cancelled a second before they began, and exceptions over 64 KiB: nothing else is refused."""
    assert rows(
        mill,
        """SELECT source, record, field, reason, count(*)
        FROM lake.quarantine
        GROUP BY ALL
        ORDER BY ALL""",
    ) == [
        ("aider", "event", "message", "too long", 2),
        ("github_actions", "event", "duration_ms", "out of range", 12),
    ]


def test_six_overlapping_snapshots_add_each_run_job_and_step_once(mill: Tidemill) -> None:
    """The 936 runs, 6,458 jobs and 27,708 steps of github_actions; 9 of the jobs are refused."""
    assert row(
        mill,
        """SELECT
            count(*) FILTER (category = 'job'),
            count(*) FILTER (category = 'step'),
            count(DISTINCT job_id)
        FROM lake.events
        WHERE source = 'github_actions'""",
    ) == (6_458 - 9, 27_708, 936 - 71)  # 71 runs wait for approval and have no jobs
    assert row(mill, "SELECT count(*) FROM job_states WHERE project = 'UKGovernmentBEIS/inspect_ai'") == (936,)


def test_runs_of_continuous_integration_have_a_success_rate(mill: Tidemill) -> None:
    """Completed and failed runs, workflow by workflow; cancelled ones and those that wait for approval are neither."""
    conclusions: dict[str, Counter[str]] = defaultdict(Counter)
    for run in {run["id"]: run for snapshot in snapshots() for run in snapshot["runs"]}.values():
        conclusions[f"UKGovernmentBEIS/inspect_ai/{run['name']}"][run["conclusion"]] += 1
    published = rows(
        mill,
        """SELECT
            workflow_id,
            sum(completed)::BIGINT,
            sum(failed)::BIGINT,
            sum(cancelled)::BIGINT,
            sum(other)::BIGINT
        FROM jobs_daily
        WHERE workflow_id LIKE 'UKGov%'
        GROUP BY ALL""",
    )
    words = ("success", "failure", "cancelled", "action_required")
    assert {workflow: tuple(counts) for workflow, *counts in published} == {
        workflow: tuple(found[word] for word in words) for workflow, found in conclusions.items()
    }


def test_a_run_starts_with_its_first_job_and_waited_until_then(mill: Tidemill) -> None:
    """The longest run: from its first job's start to its end, and how long it waited for that start."""
    runs = {run["id"]: run for snapshot in snapshots() for run in snapshot["runs"]}
    longest = max(runs.values(), key=lambda run: float(run["wall_seconds"]))
    began = datetime.fromisoformat(longest["run_started_at"])
    first = min(
        datetime.fromisoformat(job["started_at"])
        for job in longest["jobs"]
        if job["conclusion"] != "skipped" and job["started_at"] >= longest["run_started_at"]
    )
    ended = datetime.fromisoformat(longest["updated_at"])
    assert row(
        mill,
        f"""SELECT
            duration_seconds,
            queue_seconds
        FROM job_states
        WHERE job_id = '{longest["id"]}/{longest["run_attempt"]}'""",
    ) == ((ended - first) / timedelta(seconds=1), (first - began) / timedelta(seconds=1))


def test_a_workflow_has_the_time_of_all_its_runs(mill: Tidemill) -> None:
    """Runs, those that ended well or not, and their seconds from the first job's start, workflow by workflow."""
    found: dict[str, list[float]] = defaultdict(lambda: [0, 0, 0, 0])
    for run in {run["id"]: run for snapshot in snapshots() for run in snapshot["runs"]}.values():
        figures = found[f"UKGovernmentBEIS/inspect_ai/{run['name']}"]
        figures[0] += 1
        if run["conclusion"] in {"success", "failure"}:
            figures[1 + (run["conclusion"] == "failure")] += 1
            starts = [job["started_at"] for job in run["jobs"] if job["conclusion"] != "skipped"]
            first = min((at for at in starts if at >= run["run_started_at"]), default=run["updated_at"])
            lasted = datetime.fromisoformat(run["updated_at"]) - datetime.fromisoformat(first)
            figures[3] += lasted / timedelta(seconds=1)
    published = rows(
        mill,
        """SELECT workflow_id, jobs, completed, failed, coalesce(execution_seconds, 0)
        FROM workflows
        WHERE workflow_kind = 'github_actions' AND workflow_status = 'active' AND user_id IS NULL""",
    )
    assert {workflow: figures for workflow, *figures in published} == found
    assert not rows(
        mill,
        "SELECT * FROM workflows WHERE execution_seconds IS DISTINCT FROM execution_whole_seconds",
    )


def test_the_longest_steps_stand_in_a_list_of_all_and_of_each_day(mill: Tidemill) -> None:
    """The 100 longest jobs and steps of continuous integration; of equally long ones the first, then by id."""
    timed = [step for step in steps_of_runs() if step.seconds]
    timed.sort(key=lambda step: (-(step.seconds or 0), step.began, step.id))
    columns = "job_id, step, epoch(started_at), duration_seconds, success"
    expected = [(step.run, step.name, step.began.timestamp(), step.seconds, step.success) for step in timed]
    assert rows(mill, f"SELECT {columns} FROM slowest_steps ORDER BY rank") == expected[:100]
    places = Counter(step.began.date() for step in timed)
    days = dict(rows(mill, "SELECT day, max(rank) FROM slowest_steps_daily GROUP BY ALL"))
    assert days == {day: min(count, 100) for day, count in places.items()}


def test_one_row_sums_up_the_jobs_of_all_sets(mill: Tidemill) -> None:
    """Jobs and what became of them, how many steps succeeded, and how fast steps went."""
    runs = Counter(run["conclusion"] for run in {r["id"]: r for s in snapshots() for r in s["runs"]}.values())
    states = Counter(job["state"] for _, job in csv_rows("eagle"))
    steps = steps_of_runs()
    seconds = [step.seconds for step in steps if step.seconds]
    completed = [step.seconds or 0 for step in steps if step.success]
    assert row(
        mill,
        """SELECT jobs, completed, failed, cancelled, other, completed_steps, timed_steps, jobs_with_cost, avg_cost_usd
        FROM job_summary""",
    ) == (
        runs.total() + states.total(),
        runs["success"] + states["COMPLETED"],
        runs["failure"] + states["FAILED"] + states["TIMEOUT"],
        runs["cancelled"] + states["CANCELLED"],
        runs["action_required"],
        len(completed),
        len(seconds),
        0,
        None,
    )
    speed = row(mill, "SELECT step_hours, steps_per_hour, avg_step_seconds FROM job_summary")
    hours = sum(completed) / 3600
    assert speed == pytest.approx((hours, len(completed) / hours, sum(seconds) / len(seconds)))


def test_every_task_of_an_array_is_a_job_and_a_timeout_is_a_failure(mill: Tidemill) -> None:
    """A Slurm array of 452 tasks with one id; 15 jobs that hit their limit; submitted in the machine's own time."""
    jobs = [job for _, job in csv_rows("eagle")]
    [(array, tasks)] = Counter(job["job_id"] for job in jobs).most_common(1)
    assert row(mill, f"SELECT jobs, completed FROM jobs_daily WHERE workflow_id = '{array}'") == (tasks, tasks)
    assert row(
        mill,
        """SELECT count(*), count(*) FILTER (status = 'failed' AND error_type = 'TIMEOUT'), min(epoch(created_at))
        FROM job_states
        WHERE project LIKE 'account%'""",
    ) == (
        len(jobs),
        sum(job["state"] == "TIMEOUT" for job in jobs),
        datetime(2019, 1, 1, 15, 55, 55, tzinfo=UTC).timestamp(),
    )


def test_seconds_of_the_machine_are_those_of_its_jobs(mill: Tidemill) -> None:
    """The machine's own run_time, added up over all jobs, is what jobs_daily says."""
    seconds = sum(float(job["run_time"]) for _, job in csv_rows("eagle"))
    [published] = row(mill, "SELECT sum(total_duration_seconds) FROM jobs_daily WHERE user_id LIKE 'user00%'")
    assert published == pytest.approx(seconds)


def test_one_call_of_9990_dollars_stands_out_in_its_hour(mill: Tidemill) -> None:
    """The hour and the model of aider's outlier; all other hours of all models together cost less than 200 dollars."""
    calls = [event for event in aider_events() if event["event"] == "message_send"]
    outlier = max(calls, key=lambda call: float(call["properties"]["cost"]))
    hour, model = outlier["time"] // 3600 * 3600, outlier["properties"]["main_model"]
    same_model = [call for call in calls if call["properties"]["main_model"] == model]
    beside = [call for call in same_model if call["time"] // 3600 * 3600 == hour]
    cost = sum(float(call["properties"]["cost"]) for call in beside)
    tokens = sum(call["properties"]["completion_tokens"] for call in beside)
    assert rows(
        mill,
        """SELECT epoch(hour), model, provider, requests, output_tokens
        FROM llm_hourly
        WHERE cost_usd > 100""",
    ) == [(hour, model, "gemini", len(beside), tokens)]
    dear, rest = row(
        mill,
        """SELECT sum(cost_usd) FILTER (cost_usd > 100), sum(cost_usd) FILTER (cost_usd < 100)
        FROM llm_hourly""",
    )
    assert dear == pytest.approx(cost)
    assert rest == pytest.approx(sum(float(call["properties"]["cost"]) for call in calls) - cost)
    assert rest < 200


def test_events_of_the_assistant_have_the_words_of_the_vocabulary(mill: Tidemill) -> None:
    """Commands, sessions, calls and exceptions get the vocabulary's words, the rest their own in snake_case."""
    words: Counter[str] = Counter()
    for event in aider_events():
        word = event["event"]
        if word.startswith("command_"):
            words["command_executed"] += 1
        elif word == "message_send_exception":
            words["error_occurred"] += len(event["properties"]["exception"].encode()) <= MAX_TEXT_BYTES
        else:
            known = {"message_send": "llm_request", "cli session": "session_start", "gui session": "session_start"}
            words[known.get(word) or re.sub(r"\W+", "_", word)] += 1
    stored = rows(mill, "SELECT type, count(*) FROM lake.events WHERE source = 'aider' GROUP BY ALL")
    assert dict(stored) == words


def test_two_services_have_their_tokens_hour_by_hour(mill: Tidemill) -> None:
    """The code service reads long and writes short, the conversation service writes ten times as much a request."""
    found: dict[tuple[str, int], list[int]] = defaultdict(lambda: [0, 0, 0])
    for file, request in csv_rows("azure_llm_2023"):
        hour = datetime.fromisoformat(request["TIMESTAMP"][:13] + ":00:00+00:00").timestamp()
        figures = found[f"azure/{file.stem.rpartition('_')[2]}", int(hour)]
        for place, value in enumerate((1, int(request["ContextTokens"]), int(request["GeneratedTokens"]))):
            figures[place] += value
    published = rows(
        mill,
        """SELECT assistant_id, epoch(hour)::BIGINT, requests, input_tokens, output_tokens
        FROM llm_hourly
        WHERE provider = 'azure'""",
    )
    assert {(assistant, hour): figures for assistant, hour, *figures in published} == found


def test_providers_differ_in_their_slowest_first_tokens(mill: Tidemill) -> None:
    """The exact p99 of the time to first token for each provider and model; a time of 0 is none."""
    slowest = {
        name: percentile([1000 * request["ttft_s"] for request in requests if request["ttft_s"]], 0.99)
        for name, requests in llmperf_requests().items()
    }
    published = rows(
        mill,
        """SELECT concat(provider, '_', model), p99_ttft_ms
        FROM llm_hourly
        WHERE hour = '2024-02-01T00:00:00Z'""",
    )
    assert dict(published) == pytest.approx(slowest)


def test_failed_requests_say_whether_it_was_the_rate_limit(mill: Tidemill) -> None:
    """Of 2,845 requests 539 failed, 392 of them by a rate limit."""
    codes = Counter(request["error_code"] for requests in llmperf_requests().values() for request in requests)
    assert row(
        mill,
        """SELECT count(*), count(*) FILTER (NOT success), count(*) FILTER (category = 'rate_limit')
        FROM lake.events
        WHERE source = 'llmperf'""",
    ) == (codes.total(), codes.total() - codes[None], codes[429])


def test_questions_keep_their_text_and_their_topic(mill: Tidemill) -> None:
    """Every question of every topic, line breaks and all, on the day that the source fixes."""
    questions = Counter((question["category"], question["text"]) for _, question in csv_rows("banking77"))
    stored = rows(mill, "SELECT category, text FROM lake.events WHERE source = 'banking77'")
    assert Counter(stored) == questions
    assert rows(mill, "SELECT day::VARCHAR, events FROM event_types_daily WHERE type = 'question'") == [
        ("2020-03-10", questions.total())
    ]


def test_a_million_samples_have_their_average_by_benchmark_and_machine(mill: Tidemill) -> None:
    """Samples and average of every benchmark on every size of machine: what the path says is name and labels."""
    samples: Counter[tuple[str, str]] = Counter()
    totals: defaultdict[tuple[str, str], float] = defaultdict(float)
    for file, found in groupby(csv_rows("azure_vm_noise"), key=itemgetter(0)):
        parts = dict(part.split("=", 1) for part in map(unquote, file.parts) if "=" in part)
        test = re.sub("[^a-z0-9]+", "_", parts["test_name"].removeprefix("Test:_").lower())
        key = (f"{parts['test_suite'].lower()}.{test}", parts["vm_sku"])
        values = [float(sample["value"]) for _, sample in found]
        samples[key] += len(values)
        totals[key] += math.fsum(values)
    published = rows(
        mill,
        """SELECT name, labels->>'$.vm_sku', sum(samples)::BIGINT, sum(total_value) / sum(samples)
        FROM metric_hourly
        GROUP BY ALL""",
    )
    assert {(name, sku): count for name, sku, count, _ in published} == samples
    assert {(name, sku): average for name, sku, _, average in published} == pytest.approx(
        {key: totals[key] / samples[key] for key in samples}
    )


def test_a_second_run_accepts_nothing_and_builds_nothing(mill: Tidemill) -> None:
    """The same files again are known: not one record is added, no load, and no partition is stale."""
    before = row(mill, "SELECT count(*), sum(accepted) FROM lake.loads")
    mill.ingest()
    assert not mill.build()
    assert row(mill, "SELECT count(*), sum(accepted) FROM lake.loads") == before
