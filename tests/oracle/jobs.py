"""What ran, what it cost, why it failed."""

from __future__ import annotations

import math
from collections import Counter
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from tests.oracle.activity import count, daily
from tests.oracle.figures import basics, exact_sum, known, ratio, stats
from tests.oracle.world import by, first_known, grouped

if TYPE_CHECKING:
    from collections.abc import Iterable

    from tests.oracle.world import Row, World

STATUSES = ("pending", "queued", "running", "paused", "completed", "failed", "cancelled")
ENDED = ("completed", "failed", "cancelled")
PROGRESS = {"pending": 0, "queued": 1, "running": 2, "paused": 2} | dict.fromkeys(ENDED, 3)
TEXTS = ("name", "project", "user_id", "workflow_id", "workflow_kind")
INSTANTS = ("created_at", "scheduled_at", "started_at", "completed_at", "deleted_at")
REST = ("step_count", "cost_usd", "error_type", "error_message")
SUMS = ("steps", "completed_steps", "timed_steps", "errors", "logs", "validations", "validations_passed")
MEASURES = ("step_seconds", "completed_step_seconds", "events_cost_usd")
CATEGORIES = ("transient", "rate_limit", "permanent", "other")
LISTED = 100
BEGINNING = datetime.min.replace(tzinfo=UTC)


def states(world: World) -> list[Row]:
    """The state of each job that has a record."""
    return [{"job_id": job, **_state(seen)} for job, seen in grouped(world.jobs, lambda row: row["job_id"]).items()]


def _state(observations: list[Row]) -> Row:
    newest = sorted(observations, key=lambda row: (row["observed_at"], PROGRESS.get(row["status"], -1)), reverse=True)
    status = newest[0]["status"]
    state = {name: next(iter(known(newest, name)), None) for name in (*TEXTS, *INSTANTS, *REST)}
    if status not in ENDED:
        state["completed_at"] = None
    if status not in (*ENDED, "running", "paused"):
        state["started_at"] = None
    return (
        {name: state[name] for name in TEXTS}
        | {"status": status}
        | {name: state[name] for name in (*INSTANTS, *REST)}
        | {
            "duration_seconds": _lasted(state["started_at"], state["completed_at"])
            if status in {"completed", "failed"}
            else None,
            "queue_seconds": _lasted(state["scheduled_at"] or state["created_at"], state["started_at"]),
        }
    )


def _lasted(begun: datetime | None, ended: datetime | None) -> float | None:
    """Seconds from one instant to the other; None when one is unknown or they are the wrong way round."""
    return None if begun is None or ended is None or ended < begun else (ended - begun).total_seconds()


def job_states(world: World) -> list[Row]:
    """The state of each job."""
    return states(world)


def _statuses(jobs: list[Row]) -> Row:
    """How many jobs are in each status, and the rate of those that completed."""
    counts = Counter(job["status"] if job["status"] in STATUSES else "other" for job in jobs)
    return {name: counts[name] for name in (*STATUSES, "other")} | {
        "success_rate": ratio(counts["completed"], counts["completed"] + counts["failed"])
    }


def jobs_daily(world: World) -> list[Row]:
    """The jobs created each day, by whose they are."""
    groups = grouped(states(world), lambda job: (world.day(job["created_at"]), job["workflow_id"], job["user_id"]))
    return [
        {"day": day, "workflow_id": workflow, "user_id": user, "jobs": len(jobs)}
        | _statuses(jobs)
        | stats("duration_seconds", known(jobs, "duration_seconds"))
        | stats("queue_seconds", known(jobs, "queue_seconds"))
        | {"cost_usd": exact_sum(known(jobs, "cost_usd"))}
        for (day, workflow, user), jobs in groups.items()
    ]


def job_activity_daily(world: World) -> list[Row]:
    """What the events of each day say about each job."""
    events = [event for event in world.events if event["job_id"] is not None]
    return [
        {"day": day, "job_id": job} | _activity(world, rows)
        for (day, job), rows in daily(world, events, "job_id").items()
    ]


def _activity(world: World, events: list[Row]) -> Row:
    steps = [event for event in events if event["type"] == "step"]
    completed = [step for step in steps if step["success"] is True]
    validations = [event for event in events if event["type"] == "validation"]
    return {
        "workflow_id": first_known(events, "workflow_id"),
        "user_id": first_known(events, "user_id"),
        "steps": len(steps),
        "completed_steps": len(completed),
        "timed_steps": sum(duration > 0 for duration in known(steps, "duration_ms")),
        "step_seconds": exact_sum(_seconds(steps)),
        "completed_step_seconds": exact_sum(_seconds(completed)),
        "events_cost_usd": exact_sum(known(events, "cost_usd")),
        "errors": count(events, "error_occurred"),
        "logs": len({(world.day(event["timestamp"]), event["id"]) for event in events if event["type"] == "log"}),
        "validations": len(validations),
        "validations_passed": _verdicts(validations)["passed"],
    }


def _seconds(events: list[Row]) -> list[float]:
    return [duration / 1000 for duration in known(events, "duration_ms")]


def job_totals(world: World) -> list[Row]:
    """Each job that a record or an event names, and all that is known of it."""
    named = grouped([event for event in world.events if event["job_id"] is not None], lambda event: event["job_id"])
    recorded = {state["job_id"]: state for state in states(world)}
    return [_total(job, recorded.get(job), _activity(world, named.get(job, []))) for job in {**recorded, **named}]


def _total(job: str, state: Row | None, activity: Row) -> Row:
    own = state["cost_usd"] if state else None
    if state is None:
        empty = dict.fromkeys((*TEXTS, "status", *INSTANTS, *REST, "duration_seconds", "queue_seconds"))
        state = {"job_id": job, **empty, "workflow_id": activity["workflow_id"], "user_id": activity["user_id"]}
    return (
        {name: value for name, value in state.items() if name != "cost_usd"}
        | {name: value for name, value in activity.items() if name in (*SUMS, *MEASURES)}
        | {"cost_usd": own or activity["events_cost_usd"]}
    )


def job_summary(world: World) -> list[Row]:
    """All jobs in one row."""
    totals = job_totals(world)
    jobs = [total for total in totals if total["status"] is not None]
    costs = [cost for cost in known(jobs, "cost_usd") if cost > 0]
    steps = sum(total["completed_steps"] for total in totals)
    completed_seconds = exact_sum(known(totals, "completed_step_seconds"))
    hours = None if completed_seconds is None else completed_seconds / 3600
    timed = sum(total["timed_steps"] for total in totals)
    row = {
        "jobs": len(jobs),
        **_statuses(jobs),
        "cost_usd": exact_sum(known(jobs, "cost_usd")),
        "jobs_with_cost": len(costs),
        "avg_cost_usd": ratio(exact_sum(costs), len(costs)),
        "completed_steps": steps,
        "step_hours": hours,
        "steps_per_hour": ratio(steps, hours),
        "timed_steps": timed,
        "avg_step_seconds": ratio(exact_sum(known(totals, "step_seconds")), timed),
    }
    return [row]


def validations_daily(world: World) -> list[Row]:
    """What each rule found, day by day."""
    return [
        {"day": day, "rule": rule} | _verdicts(checks)
        for (day, rule), checks in daily(world, world.of_type("validation"), "name").items()
    ]


def validation_rules(world: World) -> list[Row]:
    """What each rule found over all days."""
    return [
        {"rule": rule} | _verdicts(checks)
        for (rule,), checks in grouped(world.of_type("validation"), by("name")).items()
    ]


def _verdicts(checks: list[Row]) -> Row:
    """A skipped check is neither pass nor failure, whatever its success."""
    done = Counter("skipped" if check["status"] == "skipped" else check["success"] for check in checks)
    return {
        "checks": len(checks),
        "passed": done[True],
        "failed": done[False],
        "skipped": done["skipped"],
        "unknown": done[None],
        "pass_rate": ratio(done[True], done[True] + done[False]),
    }


def errors_by_category(world: World) -> list[Row]:
    """How many errors of jobs were of each category."""
    errors = [error for error in world.of_type("error_occurred") if error["job_id"] is not None]
    counts = Counter(error["category"] if error["category"] in CATEGORIES else "other" for error in errors)
    return [{"category": category, "job_errors": counts[category]} for category in CATEGORIES]


def slowest_steps_daily(world: World) -> list[Row]:
    """The longest steps of each day."""
    days = daily(world, _timed_steps(world))
    return [{"day": day, **row} for (day,), steps in days.items() for row in _slowest(steps)]


def slowest_steps(world: World) -> list[Row]:
    """The longest steps of all."""
    return _slowest(_timed_steps(world))


def _timed_steps(world: World) -> list[Row]:
    return [step for step in world.of_type("step") if step["job_id"] is not None and (step["duration_ms"] or 0) > 0]


def _slowest(steps: list[Row]) -> list[Row]:
    """The longest first; steps are in time, and sorting keeps the order of equals."""
    longest = sorted(steps, key=lambda step: -step["duration_ms"])[:LISTED]
    return [
        {"rank": rank, "job_id": step["job_id"], "step": step["name"], "started_at": step["timestamp"]}
        | {"duration_seconds": step["duration_ms"] / 1000, "success": step["success"]}
        for rank, step in enumerate(longest, 1)
    ]


def workflows_daily(world: World) -> list[Row]:
    """What became of each workflow that day."""
    groups = daily(world, _updates(world), "workflow_id")
    return [
        {"day": day, "workflow_id": workflow} | _update(updates) | {"updated_at": updates[-1]["timestamp"]}
        for (day, workflow), updates in groups.items()
    ]


def _updates(world: World) -> list[Row]:
    return [update for update in world.of_type("workflow_updated") if update["workflow_id"] is not None]


def _update(updates: list[Row]) -> Row:
    """Of each column the newest value that an update carries."""
    columns = {"user_id": "user_id", "kind": "name", "status": "status"}
    return {name: _last(updates, column) for name, column in columns.items()}


def _last(rows: list[Row], column: str) -> Any:
    return next(iter(reversed(known(rows, column))), None)


def _owned_workflows(world: World) -> list[Row]:
    """Each workflow that an update, a job or a job's event names: whose it is, its kind, its status, and its jobs."""
    updates = grouped(_updates(world), lambda update: update["workflow_id"])
    totals = grouped(_newest_last(job_totals(world)), lambda total: total["workflow_id"])
    found = []
    for workflow in {**updates, **totals}.keys() - {None}:
        jobs = totals.get(workflow, [])
        newest = _update(updates.get(workflow, []))
        found.append(
            {"workflow_id": workflow, "user_id": newest["user_id"] or _last(jobs, "user_id")}
            | {"workflow_kind": newest["kind"] or _last(jobs, "workflow_kind")}
            | {"workflow_status": newest["status"] or "active", "totals": jobs}
        )
    return found


def _newest_last(totals: Iterable[Row]) -> list[Row]:
    return sorted(totals, key=lambda total: (total["created_at"] or BEGINNING, total["job_id"]))


def workflows(world: World) -> list[Row]:
    """Each workflow and what its jobs did."""
    return [
        {name: value for name, value in workflow.items() if name != "totals"} | _executed(workflow["totals"])
        for workflow in _owned_workflows(world)
    ]


def user_jobs(world: World) -> list[Row]:
    """Each user's workflows, and what the user's own jobs did."""
    owned = grouped(_owned_workflows(world), lambda workflow: workflow["user_id"])
    own = grouped(job_totals(world), lambda total: total["user_id"])
    return [
        {"user_id": user} | _workflow_counts(owned.get(user, [])) | _executed(own.get(user, []))
        for user in {**owned, **own}
        if user is not None
    ]


def _workflow_counts(workflows: list[Row]) -> Row:
    counts = Counter(workflow["workflow_status"] for workflow in workflows)
    return {"workflows": len(workflows)} | {
        f"{status}_workflows": counts[status] for status in ("active", "terminated", "deleted")
    }


def _executed(totals: list[Row]) -> Row:
    jobs = [total for total in totals if total["status"] is not None]
    completed = sum(job["status"] == "completed" for job in jobs)
    failed = sum(job["status"] == "failed" for job in jobs)
    seconds = known(jobs, "duration_seconds")
    figures = basics("duration_seconds", seconds)
    return {
        "jobs": len(jobs),
        "executed_jobs": completed + failed,
        "completed": completed,
        "failed": failed,
        "success_rate": ratio(completed, completed + failed),
        "logs": sum(total["logs"] for total in totals),
        "execution_seconds": figures.pop("total_duration_seconds"),
        "execution_whole_seconds": _whole(seconds),
        **figures,
    }


def _whole(seconds: list[float]) -> Any:
    return float(sum(math.floor(value) for value in seconds)) if seconds else None
