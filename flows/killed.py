"""Runs that nobody works on any more: their process was killed, and Prefect has them running until somebody says so."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

import prefect.runtime.flow_run
from prefect import get_run_logger, task
from prefect.cache_policies import NO_CACHE
from prefect.client.orchestration import get_client
from prefect.client.schemas.filters import (
    FlowRunFilter,
    FlowRunFilterState,
    FlowRunFilterStateType,
    FlowRunFilterTags,
)
from prefect.client.schemas.objects import StateType
from prefect.events.filters import EventFilter, EventNameFilter, EventOccurredFilter, EventResourceFilter
from prefect.states import Crashed

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

TAG = "tidemill"
HEARTBEAT = "prefect.flow-run.heartbeat"
SILENT = timedelta(seconds=75)
"""A run that leaves out two heartbeats, each 30 seconds after the other, is dead."""


@task(task_run_name="see which runs were killed", cache_policy=NO_CACHE, persist_result=False)
def mark() -> list[str]:
    """Mark the runs of the deployments as crashed that had heartbeats and have none any more; returns their names.

    A run's slot of its deployment's limit is free again from then on.
    """
    with get_client(sync_client=True) as client:
        running = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                tags=FlowRunFilterTags(all_=[TAG]),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=[StateType.RUNNING])),
            )
        )
        own, logger = prefect.runtime.flow_run.id, get_run_logger()
        dead = [run for run in running if str(run.id) != own and _is_dead(client, run)]
        for run in dead:
            message = f"Its process was killed: no heartbeat for {SILENT.seconds} seconds. The next run mends the home."
            client.set_flow_run_state(run.id, Crashed(message=message), force=True)
            logger.warning("%s is marked as crashed: %s", run.name, message)
    return [run.name for run in dead]


def _is_dead(client: SyncPrefectClient, run: FlowRun) -> bool:
    """Whether a run has had heartbeats, and none for a while; one whose process sends none is left alone."""
    latest = datetime.now(UTC) - SILENT
    begun = run.start_time or run.expected_start_time
    if begun is None or begun > latest:
        return False
    return not _has_heartbeat(client, run, latest) and _has_heartbeat(client, run, begun - timedelta(minutes=1))


def _has_heartbeat(client: SyncPrefectClient, run: FlowRun, since: datetime) -> bool:
    asked = EventFilter(
        event=EventNameFilter(name=[HEARTBEAT]),
        occurred=EventOccurredFilter.model_validate({"since": since}),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
    )
    return bool(client.read_events(asked, limit=1).events)
