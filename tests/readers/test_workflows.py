from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.homes import Record, event, job, opened
from tidemill.errors import NotFoundError, UsageError
from tidemill.readers.workflows import user_analytics, workflow_analytics

if TYPE_CHECKING:
    from tidemill.readers.snapshot import Published

DAY: Final = "2026-02-10"


def ran(key: str, seconds: float | None, status: str, workflow_id: str = "w1", **fields: object) -> Record:
    """A job of a workflow that took so long."""
    end = None if seconds is None else f"{DAY}T10:{int(seconds) // 60:02}:{seconds % 60:06.3f}Z"
    times = {"started_at": f"{DAY}T10:00:00Z", "completed_at": end}
    found = {"status": status, "workflow_id": workflow_id, "user_id": "u1"} | times | fields
    return job(key, f"{DAY}T09:00:00Z", **found)


def log(key: str, job_id: str) -> Record:
    """A line that a job logged."""
    return event(key, f"{DAY}T10:00:00Z", type="log", job_id=job_id)


def updated(key: str, workflow_id: str, user_id: str | None, status: str = "active") -> Record:
    """A workflow that was created or changed."""
    fields = {"type": "workflow_updated", "workflow_id": workflow_id, "user_id": user_id, "status": status}
    return event(key, f"{DAY}T08:00:00Z", **fields)


RECORDS: Final = (
    updated("e1", "w1", "u1"),
    updated("e2", "w2", "u1", "deleted"),
    updated("e3", "nobody's", None),
    ran("j1", 90.9, "completed"),
    ran("j2", 10.999, "failed"),
    ran("j3", None, "running"),
    ran("j4", 60, "completed", deleted_at=f"{DAY}T23:00:00Z"),
    ran("j5", 100, "cancelled"),
    ran("j6", 30, "completed", user_id="ü'2"),  # another user's job of u1's workflow
    ran("j7", 0.999, "completed", 'wörk "3"', user_id="ü'2"),
    log("l1", "j1"),
    log("l2", "j1"),
    log("l3", "j5"),
    log("l4", "j6"),
)


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> Published:
    """Two users with workflows, of which one has none of its jobs."""
    return opened(tmp_path_factory.mktemp("workflows"), *RECORDS, tables=["user_jobs"])


@pytest.mark.parametrize(
    ("user_id", "expected"),
    [
        # j1 to j5, of which completed and failed ones executed: 90 + 10 + 60 whole seconds.
        ("u1", (2, 5, 3, 160)),
        ("ü'2", (1, 2, 1, 30)),  # 30 + 0
        ("nobody", (0, 0, 0, 0)),
        ("U1", (0, 0, 0, 0)),
        ("' OR true --", (0, 0, 0, 0)),
    ],
)
def test_a_users_workflows_and_jobs(published: Published, user_id: str, expected: tuple[int, ...]) -> None:
    """All that ever were, deleted ones too; each job's seconds are cut to whole ones; zeros of an unknown user."""
    names = ("total_workflows", "total_jobs", "total_joblogs", "total_job_execution_duration")
    assert user_analytics(published, user_id) == dict(zip(names, expected, strict=True))


@pytest.mark.parametrize(
    ("user_id", "workflow_id", "expected"),
    [
        ("u1", "w1", (190, 6, 4)),  # j1 to j6, whoever ran them: 90 + 10 + 60 + 30
        ("u1", "w2", (0, 0, 0)),
        ("ü'2", 'wörk "3"', (0, 1, 0)),
    ],
)
def test_a_workflows_jobs(published: Published, user_id: str, workflow_id: str, expected: tuple[int, ...]) -> None:
    """All that ever were, whosever; a workflow without jobs has zeros."""
    names = ("total_job_execution_duration", "total_jobs", "total_joblogs")
    found = dict(zip(names, expected, strict=True))
    assert workflow_analytics(published, user_id, workflow_id) == {"workflow_id": workflow_id} | found


@pytest.mark.parametrize(
    ("user_id", "workflow_id"), [("u1", "w3"), ("ü'2", "w1"), ("nobody", "w1"), ("u1", "nobody's"), ("u1", "W1")]
)
def test_a_workflow_that_the_user_does_not_have_is_not_found(
    published: Published, user_id: str, workflow_id: str
) -> None:
    """Whether it is unknown, another's or nobody's, the answer is the same."""
    with pytest.raises(NotFoundError, match=f'user "{user_id}" has no workflow "{workflow_id}"'):
        workflow_analytics(published, user_id, workflow_id)


@pytest.mark.parametrize("missing", ["", None])
def test_ids_must_be_named(published: Published, missing: Any) -> None:
    """An empty one is none; the user's is asked for first."""
    with pytest.raises(UsageError, match="user_id is missing; name one"):
        user_analytics(published, missing)
    with pytest.raises(UsageError, match="user_id is missing; name one"):
        workflow_analytics(published, missing, missing)
    with pytest.raises(UsageError, match="workflow_id is missing; name one"):
        workflow_analytics(published, "u1", missing)


def test_of_nothing_everybody_has_zeros(nothing: Published) -> None:
    """And no workflow is found."""
    assert set(user_analytics(nothing, "u1").values()) == {0}
    with pytest.raises(NotFoundError):
        workflow_analytics(nothing, "u1", "w1")
