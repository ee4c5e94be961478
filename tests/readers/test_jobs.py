from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.homes import Record, event, job, opened
from tidemill.readers import jobs

if TYPE_CHECKING:
    from pathlib import Path

    from tidemill.readers.snapshot import Published

TABLES: Final = ("job_summary", "validation_rules", "errors_by_category", "slowest_steps")
DAY: Final = "2026-02-10"
ODD: Final = 'jöb "9" o\'clock'


def step(key: str, job_id: str, name: str | None, seconds: float, **fields: object) -> Record:
    """A step of a job that succeeded."""
    found = {"job_id": job_id, "name": name, "duration_ms": seconds * 1000, "success": True} | fields
    return event(key, f"{DAY}T10:00:00Z", type="step", **found)


def check(key: str, rule: str | None, *, success: bool | None, **fields: object) -> Record:
    """A rule that was checked."""
    return event(key, f"{DAY}T11:00:00Z", type="validation", name=rule, success=success, **fields)


def error(key: str, category: str | None, job_id: str | None = "j2") -> Record:
    """An error of a job."""
    return event(key, f"{DAY}T12:00:00Z", type="error_occurred", category=category, job_id=job_id)


def of(status: str, key: str, **fields: object) -> Record:
    """A job that is in that state."""
    return job(key, f"{DAY}T09:00:00Z", status=status, **fields)


RECORDS: Final = (
    of("completed", "j1", cost_usd=1.5),
    of("failed", "j2", cost_usd=0),  # what its events cost counts: 0.2 + 0.05
    of("running", "j3"),
    of("paused", "j4"),
    of("cancelled", "j5"),
    of("pending", "j6"),
    of("queued", "j7"),
    of("archived", "j8"),
    of("completed", ODD, deleted_at=f"{DAY}T20:00:00Z"),
    step("s1", "j1", "1", 10),
    step("s2", "j1", "2", 20, cost_usd=7),  # j1 has a figure of its own
    step("s3", "j2", "007", 30.004, success=False, cost_usd=0.2),
    step("s4", "j2", "1e5", 5, cost_usd=0.05),
    step("s5", "j1", "at once", 0),
    step("s6", "only events", "nan", 25, cost_usd=9),
    step("s7", "j1", "untimed", 1, duration_ms=None, success=None),
    check("v1", "lint", success=True),
    check("v2", "lint", success=True),
    check("v3", "lint", success=False),
    check("v4", "lint", success=True, status="skipped"),
    check("v5", None, success=True),
    check("v6", "unknown", success=False),
    check("v7", "unknown", success=None),
    check("v8", "schéma", success=None),
    error("x1", "transient"),
    error("x2", "transient", "only events"),
    error("x3", "rate_limit"),
    error("x4", "permanent"),
    error("x5", "Transient"),
    error("x6", None),
    error("x7", "transient", None),
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Nine jobs, and one that only events name."""
    return opened(tmp_path_factory.mktemp("jobs"), *RECORDS, tables=TABLES)


def test_stats_count_every_job_once(published: Published) -> None:
    """By its state, deleted ones too; the counts add up to the total, and what only events name is no job."""
    found = jobs.stats(published)
    assert found == {
        "total_jobs": 9,
        "pending_jobs": 1,
        "queued_jobs": 1,
        "running_jobs": 1,
        "paused_jobs": 1,
        "completed_jobs": 2,
        "failed_jobs": 1,
        "cancelled_jobs": 1,
        "other_jobs": 1,
        "success_rate": 66.7,  # 2 of the 3 that ended in success or failure
        "total_spend": 1.75,  # 1.5 + 0.25
        "throughput_sheets_per_hour": 300.0,  # five steps succeeded in 10 + 20 + 5 + 0 + 25 = 60 seconds
    }
    states = ("pending", "queued", "running", "paused", "completed", "failed", "cancelled", "other")
    assert sum(found[f"{state}_jobs"] for state in states) == found["total_jobs"]  # type: ignore[literal-required]


def test_costs_name_every_job_the_most_expensive_first(published: Published) -> None:
    """A job without a cost stands there with 0.0, and does not count for the mean."""
    found = jobs.costs(published)
    free = ["j3", "j4", "j5", "j6", "j7", "j8", ODD]
    assert found == {
        "by_job": {"j1": 1.5, "j2": 0.25} | dict.fromkeys(free, 0.0),
        "total_spend": 1.75,
        "avg_cost_per_job": 0.875,
        "jobs_with_cost": 2,
    }
    assert list(found["by_job"]) == ["j1", "j2", *free]


@pytest.mark.parametrize(
    ("limit", "names"), [(1, ["j1"]), (2, ["j1", "j2"]), (0, []), (None, ["j1", "j2", "j3", "j4", "j5", "j6"])]
)
def test_a_limit_is_of_the_jobs_that_are_named(published: Published, limit: int | None, names: list[str]) -> None:
    """Sums and means stay those of all; no limit names all."""
    found, whole = jobs.costs(published, limit=limit), jobs.costs(published)
    assert list(found.pop("by_job"))[:6] == names  # type: ignore[misc]
    assert found == {name: value for name, value in whole.items() if name != "by_job"}


def test_a_rate_of_validations_is_passed_of_all_checks(published: Published) -> None:
    """Skipped and unknown ones are checks that did not pass; checks without a rule are of the rule `unknown`."""
    assert jobs.validations(published) == {
        "by_rule_type": {
            "lint": 50.0,  # 2 of 4: a skipped check did not pass
            "schéma": 0.0,
            "unknown": 33.3,  # 1 without a rule that passed, 2 of a rule of that name that did not
        },
        "overall_pass_rate": 37.5,  # 3 of 8
        "total_checks": 8,
        "total_passed": 3,
    }


def test_an_error_of_no_known_category_is_permanent(published: Published) -> None:
    """One without a category, and one of another word, too; an error of no job is none of these."""
    assert jobs.errors(published) == {
        "by_category": {"transient": 2, "rate_limit": 1, "permanent": 3},
        "total_errors": 6,
    }


def test_durations_are_of_steps_that_took_time(published: Published) -> None:
    """Failed ones too, and those of jobs without a record; a job's duration is the sum of its steps."""
    found = jobs.durations(published)
    assert found == {
        "avg_sheet_duration_seconds": 18.0,  # (10 + 20 + 30.004 + 5 + 25) / 5 = 18.0008
        "job_durations": {"j2": 35.0, "j1": 30.0, "only events": 25.0},
        "slowest_sheets": [
            {"job_id": "j2", "sheet_num": 7, "duration_seconds": 30.0},
            {"job_id": "only events", "sheet_num": "nan", "duration_seconds": 25.0},
            {"job_id": "j1", "sheet_num": 2, "duration_seconds": 20.0},
            {"job_id": "j1", "sheet_num": 1, "duration_seconds": 10.0},
            {"job_id": "j2", "sheet_num": 1e5, "duration_seconds": 5.0},
        ],
        "total_sheets_with_duration": 5,
    }
    assert list(found["job_durations"]) == ["j2", "j1", "only events"]


def test_a_limit_of_durations_leaves_the_rest(published: Published) -> None:
    """Only the longest jobs are named; the mean and the longest steps are of all."""
    found, whole = jobs.durations(published, limit=1), jobs.durations(published, limit=None)
    assert found == whole | {"job_durations": {"j2": 35.0}}


NUMBERED: Final[list[tuple[str | None, Any]]] = [
    ("12", 12),
    ("007", 7),
    ("-2.5", -2.5),
    ("1e5", 100_000.0),
    ("NaN", "NaN"),
    ("-inf", "-inf"),
    ("1e400", "1e400"),
    ("1_000", "1_000"),
    ("٣", "٣"),
    (None, None),
    ("left out", ...),
]


def test_a_sheets_number_is_its_name_where_that_is_one(tmp_path: Path) -> None:
    """What JSON has no number for stays text, as does what only Python or another script reads as one; ten are named.

    Whole numbers stay whole: 12 is not 12.0.
    """
    steps = [step(f"s{rank}", "j", name, 100 - rank) for rank, (name, _) in enumerate(NUMBERED)]
    found = jobs.durations(opened(tmp_path, *steps, tables=TABLES))["slowest_sheets"]
    assert [repr(sheet["sheet_num"]) for sheet in found] == [repr(number) for _, number in NUMBERED[:10]]
    assert [sheet["duration_seconds"] for sheet in found] == [100.0 - rank for rank in range(10)]


def test_money_is_rounded_to_four_digits_and_rates_to_one(tmp_path: Path) -> None:
    """Each figure by itself: the total is not the sum of what was rounded."""
    records = [of("completed", f"j{number}", cost_usd=0.00004) for number in range(3)]
    published = opened(tmp_path, *records, tables=TABLES)
    assert jobs.costs(published) == {
        "by_job": {"j0": 0.0, "j1": 0.0, "j2": 0.0},
        "total_spend": 0.0001,  # 0.00012
        "avg_cost_per_job": 0.0,
        "jobs_with_cost": 3,
    }
    assert jobs.stats(published)["success_rate"] == 100.0


def test_no_jobs_are_zeros(nothing: Published) -> None:
    """Every figure is there, and 0.0 where there is nothing to divide by."""
    assert set(jobs.stats(nothing).values()) == {0}
    assert isinstance(jobs.stats(nothing)["success_rate"], float)
    assert jobs.costs(nothing) == {"by_job": {}, "total_spend": 0.0, "avg_cost_per_job": 0.0, "jobs_with_cost": 0}
    assert jobs.validations(nothing) == {
        "by_rule_type": {},
        "overall_pass_rate": 0.0,
        "total_checks": 0,
        "total_passed": 0,
    }
    assert jobs.errors(nothing) == {
        "by_category": {"transient": 0, "rate_limit": 0, "permanent": 0},
        "total_errors": 0,
    }
    assert jobs.durations(nothing) == {
        "avg_sheet_duration_seconds": 0.0,
        "job_durations": {},
        "slowest_sheets": [],
        "total_sheets_with_duration": 0,
    }
