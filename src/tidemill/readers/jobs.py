"""Jobs as a dashboard asks for them: what became of them, what they cost, what failed, how long it took.

A sheet is a step of a job. These answers are those of dashboards that know no unknown: a rate is of all that was
checked, an unknown category of error counts as permanent, and what there is none of is 0.0. The tables keep apart what
is put together here.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from typing_extensions import TypedDict

from tidemill.readers.rounding import percent, rounded

if TYPE_CHECKING:
    from tidemill.readers.snapshot import Published

LIMIT: Final = 1_000
"""How many jobs an answer names if nobody asks for more."""
UNKNOWN: Final = "unknown"
_SLOWEST: Final = 10


class Stats(TypedDict):
    """All jobs. Spend in US dollars (4 digits), the rate in percent (1), sheets per hour of their own time (2)."""

    total_jobs: int
    pending_jobs: int
    queued_jobs: int
    running_jobs: int
    paused_jobs: int
    completed_jobs: int
    failed_jobs: int
    cancelled_jobs: int
    other_jobs: int
    success_rate: float
    total_spend: float
    throughput_sheets_per_hour: float


class Costs(TypedDict):
    """What jobs cost in US dollars (4 digits), the most expensive first; the mean is of those that cost something."""

    by_job: dict[str, float]
    total_spend: float
    avg_cost_per_job: float
    jobs_with_cost: int


class Validations(TypedDict):
    """How many of a hundred checks passed (1 digit), by rule and in all."""

    by_rule_type: dict[str, float]
    overall_pass_rate: float
    total_checks: int
    total_passed: int


class ErrorCategories(TypedDict):
    """Errors by what may be done about them."""

    transient: int
    rate_limit: int
    permanent: int


class Errors(TypedDict):
    """The errors of jobs."""

    by_category: ErrorCategories
    total_errors: int


class Sheet(TypedDict):
    """One step of a job; its number is its name, as a number where it is one."""

    job_id: str
    sheet_num: int | float | str | None
    duration_seconds: float


class Durations(TypedDict):
    """How long steps took, in seconds (2 digits): the mean, each job's sum, the longest first, and the 10 longest."""

    avg_sheet_duration_seconds: float
    job_durations: dict[str, float]
    slowest_sheets: list[Sheet]
    total_sheets_with_duration: int


def stats(published: Published) -> Stats:
    """What became of all jobs, from `job_summary`.

    success_rate = completed / (completed + failed); throughput_sheets_per_hour = completed steps / their hours.
    """
    (found,) = published.rows("FROM job_summary", "job_summary")
    return {
        "total_jobs": found["jobs"],
        "pending_jobs": found["pending"],
        "queued_jobs": found["queued"],
        "running_jobs": found["running"],
        "paused_jobs": found["paused"],
        "completed_jobs": found["completed"],
        "failed_jobs": found["failed"],
        "cancelled_jobs": found["cancelled"],
        "other_jobs": found["other"],
        "success_rate": percent(found["completed"], found["completed"] + found["failed"], 1),
        "total_spend": rounded(found["cost_usd"], 4),
        "throughput_sheets_per_hour": rounded(found["steps_per_hour"], 2),
    }


def costs(published: Published, *, limit: int | None = LIMIT) -> Costs:
    """What the jobs cost, from `job_summary` and `job_totals`; of more than `limit` the most expensive are named."""
    (found,) = published.rows("FROM job_summary", "job_summary")
    jobs = published.rows(
        "SELECT job_id, coalesce(cost_usd, 0) AS cost_usd FROM job_totals WHERE status IS NOT NULL "
        "ORDER BY 2 DESC, job_id LIMIT $limit",
        "job_totals",
        limit=limit,
    )
    return {
        "by_job": {job["job_id"]: round(job["cost_usd"], 4) for job in jobs},
        "total_spend": rounded(found["cost_usd"], 4),
        "avg_cost_per_job": rounded(found["avg_cost_usd"], 4),
        "jobs_with_cost": found["jobs_with_cost"],
    }


def validations(published: Published) -> Validations:
    """How the rules' checks went, from `validation_rules`: a rate is passed / checks, whatever the rest was."""
    rules = published.rows(
        "SELECT coalesce(rule, $unknown) AS rule, CAST(sum(checks) AS BIGINT) AS checks, "
        "CAST(sum(passed) AS BIGINT) AS passed FROM validation_rules GROUP BY 1 ORDER BY 1",
        "validation_rules",
        unknown=UNKNOWN,
    )
    checks, passed = (sum(rule[name] for rule in rules) for name in ("checks", "passed"))
    return {
        "by_rule_type": {rule["rule"]: percent(rule["passed"], rule["checks"], 1) for rule in rules},
        "overall_pass_rate": percent(passed, checks, 1),
        "total_checks": checks,
        "total_passed": passed,
    }


def errors(published: Published) -> Errors:
    """The errors of jobs by category, from `errors_by_category`: any other one counts as permanent."""
    rows = published.rows("FROM errors_by_category", "errors_by_category")
    found = {row["category"]: row["job_errors"] for row in rows}
    return {
        "by_category": {
            "transient": found["transient"],
            "rate_limit": found["rate_limit"],
            "permanent": found["permanent"] + found["other"],
        },
        "total_errors": sum(found.values()),
    }


def durations(published: Published, *, limit: int | None = LIMIT) -> Durations:
    """How long steps took, from `job_summary`, `job_totals` and `slowest_steps`; of more than `limit` jobs the longest.

    Only steps that took time count.
    """
    (found,) = published.rows("FROM job_summary", "job_summary")
    jobs = published.rows(
        "SELECT job_id, step_seconds FROM job_totals WHERE step_seconds > 0 ORDER BY 2 DESC, job_id LIMIT $limit",
        "job_totals",
        limit=limit,
    )
    steps = published.rows(
        "SELECT job_id, step, duration_seconds FROM slowest_steps ORDER BY rank LIMIT $limit",
        "slowest_steps",
        limit=_SLOWEST,
    )
    return {
        "avg_sheet_duration_seconds": rounded(found["avg_step_seconds"], 2),
        "job_durations": {job["job_id"]: round(job["step_seconds"], 2) for job in jobs},
        "slowest_sheets": [_sheet(step) for step in steps],
        "total_sheets_with_duration": found["timed_steps"],
    }


def _sheet(step: dict[str, Any]) -> Sheet:
    return {
        "job_id": step["job_id"],
        "sheet_num": _number(step["step"]),
        "duration_seconds": round(step["duration_seconds"], 2),
    }


def _number(name: str | None) -> int | float | str | None:
    """A step's name, as a number where it is one."""
    if name is not None and name.isascii() and "_" not in name:  # Python reads 1_000 as a number, JSON does not
        for number in (int, float):
            with suppress(ValueError):
                found = number(name)
                return found if found - found == 0 else name  # neither infinite nor no number
    return name
