"""What a user's workflows and jobs add up to."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from typing_extensions import TypedDict

from tidemill.errors import NotFoundError, UsageError

if TYPE_CHECKING:
    from tidemill.readers.snapshot import Published


class UserAnalytics(TypedDict):
    """All workflows and jobs of a user, deleted ones too; execution in whole seconds of completed and failed jobs."""

    total_workflows: int
    total_jobs: int
    total_joblogs: int
    total_job_execution_duration: int


class WorkflowAnalytics(TypedDict):
    """All jobs of a workflow, deleted ones too; execution in whole seconds of completed and failed jobs."""

    workflow_id: str
    total_job_execution_duration: int
    total_jobs: int
    total_joblogs: int


def user_analytics(published: Published, user_id: str) -> UserAnalytics:
    """What a user's workflows and jobs add up to, from `user_jobs`; zeros of an unknown user.

    Raises:
        UsageError: no user is named.
    """
    _named(user_id=user_id)
    rows = published.rows("FROM user_jobs WHERE user_id = $user_id", "user_jobs", user_id=user_id)
    found: dict[str, Any] = rows[0] if rows else {"workflows": 0, "jobs": 0, "logs": 0}
    return {
        "total_workflows": found["workflows"],
        "total_jobs": found["jobs"],
        "total_joblogs": found["logs"],
        "total_job_execution_duration": int(found.get("execution_whole_seconds") or 0),
    }


def workflow_analytics(published: Published, user_id: str, workflow_id: str) -> WorkflowAnalytics:
    """What a workflow's jobs add up to, from `workflows`.

    Raises:
        UsageError: no user or no workflow is named.
        NotFoundError: the user has no such workflow.
    """
    _named(user_id=user_id, workflow_id=workflow_id)
    rows = published.rows(
        "FROM workflows WHERE workflow_id = $workflow_id AND user_id = $user_id",
        "workflows",
        workflow_id=workflow_id,
        user_id=user_id,
    )
    if not rows:
        raise NotFoundError(f'user "{user_id}" has no workflow "{workflow_id}"')
    (found,) = rows
    return {
        "workflow_id": found["workflow_id"],
        "total_job_execution_duration": int(found["execution_whole_seconds"] or 0),
        "total_jobs": found["jobs"],
        "total_joblogs": found["logs"],
    }


def _named(**ids: str) -> None:
    for name, value in ids.items():
        if not value:
            raise UsageError(f"{name} is missing; name one")
