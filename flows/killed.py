"""Runs whose process was killed: Prefect shows them as running until somebody says otherwise."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

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
from prefect.events.filters import EventFilter, EventNameFilter, EventResourceFilter
from prefect.settings import get_current_settings
from prefect.states import Crashed

if TYPE_CHECKING:
    from prefect.client.orchestration import SyncPrefectClient
    from prefect.client.schemas.objects import FlowRun

TAG: Final = "tidemill"
HEARTBEAT: Final = "prefect.flow-run.heartbeat"
MISSED: Final = 2.5
"""How many heartbeats a run may leave out: two, and half of one for its way to the server."""
UNENDED: Final = [StateType.PENDING, StateType.RUNNING, StateType.CANCELLING]


@task(task_run_name="see which runs were killed", cache_policy=NO_CACHE, persist_result=False)
def mark() -> list[str]:
    """Mark the deployments' runs whose process was killed as crashed, and return their names.

    No run waits for such a run. The mark only tells people that it has ended.
    """
    seconds = get_current_settings().flows.heartbeat_frequency
    if seconds is None:
        return []
    with get_client(sync_client=True) as client:
        unended = client.read_flow_runs(
            flow_run_filter=FlowRunFilter(
                tags=FlowRunFilterTags(all_=[TAG]),
                state=FlowRunFilterState(type=FlowRunFilterStateType(any_=UNENDED)),
            )
        )
        own, logger = prefect.runtime.flow_run.id, get_run_logger()
        dead = [run for run in unended if str(run.id) != own and _is_dead(client, run, timedelta(seconds=seconds))]
        for run in dead:
            message = "Its process was killed: its heartbeats stopped. The next run over the same home mends it."
            client.set_flow_run_state(run.id, Crashed(message=message), force=True)
            logger.warning("%s is marked as crashed: %s", run.name, message)
    return [run.name for run in dead]


def _is_dead(client: SyncPrefectClient, run: FlowRun, frequency: timedelta) -> bool:
    """Tell whether a run's heartbeats stopped, or its process never began."""
    if run.state and run.state.is_pending():
        return datetime.now(UTC) - run.state.timestamp > MISSED * frequency
    beats = _heartbeats(client, run)
    # A run that sends no heartbeats may well be alive.
    if not beats:
        return False
    # Another deployment may send its heartbeats less often than this one.
    apart = max(frequency, beats[0] - beats[-1])
    return datetime.now(UTC) - beats[0] > MISSED * apart


def _heartbeats(client: SyncPrefectClient, run: FlowRun) -> list[datetime]:
    """Return when a run sent its newest two heartbeats, the newest first."""
    asked = EventFilter(
        event=EventNameFilter(name=[HEARTBEAT]),
        resource=EventResourceFilter(id=[f"prefect.flow-run.{run.id}"]),
    )
    return [event.occurred for event in client.read_events(asked, limit=2).events]
