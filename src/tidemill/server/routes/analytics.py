"""The routes of what dashboards ask: each calls one function of the readers."""

from __future__ import annotations

from typing import Annotated, Any, Final

from fastapi import APIRouter, Query, Request, Response

from tidemill.readers import activity, assistant_types, assistants, functions, jobs
from tidemill.server import examples
from tidemill.server.state import add_heads, answer

MOMENT: Final = "A time like 2026-02-10T18:00Z, or a day of the reporting timezone."

router: Final = APIRouter(prefix="/api/v1")

Hours = Annotated[int, Query(ge=1, le=168, description="How many hours back.", examples=[24])]
Days = Annotated[int, Query(ge=1, le=90, description="How many days back.", examples=[7])]
Limit = Annotated[int, Query(ge=1, le=50, description="How many topics.", examples=[10])]
Jobs = Annotated[int, Query(ge=1, le=100_000, description="How many jobs are named; sums are of all.", examples=[1000])]
Listed = Annotated[int, Query(ge=1, le=1_000, description="How many a list names at most.", examples=[100])]
Assistant = Annotated[str | None, Query(min_length=1, description="Of one assistant.", examples=["a1"])]
Only = Annotated[str | None, Query(min_length=1, description="Only events that carry this.")]


def _example(found: object) -> dict[int | str, dict[str, Any]]:
    return {200: {"content": {"application/json": {"example": found}}}}


@router.get("/analytics/stats", response_model=jobs.Stats, responses=_example(examples.STATS), tags=["jobs"])
async def stats(request: Request) -> Response:
    """What became of all jobs; the rate is completed / (completed + failed) of a hundred."""
    return await answer(request, jobs.stats)


@router.get(
    "/analytics/validations", response_model=jobs.Validations, responses=_example(examples.VALIDATIONS), tags=["jobs"]
)
async def validations(request: Request) -> Response:
    """How the rules' checks went: passed of all checks, skipped ones and those that do not say included."""
    return await answer(request, jobs.validations)


@router.get("/analytics/errors", response_model=jobs.Errors, responses=_example(examples.ERRORS), tags=["jobs"])
async def errors(request: Request) -> Response:
    """The errors of jobs by category; one of any other category, or of none, counts as permanent."""
    return await answer(request, jobs.errors)


@router.get(
    "/analytics/durations", response_model=jobs.Durations, responses=_example(examples.DURATIONS), tags=["jobs"]
)
async def durations(request: Request, limit: Jobs = jobs.LIMIT) -> Response:
    """How long the steps of jobs took."""
    return await answer(request, jobs.durations, limit=limit)


@router.get(
    "/analytics/advanced",
    response_model=assistant_types.Advanced,
    responses=_example(examples.ADVANCED),
    tags=["assistants"],
)
async def advanced(
    request: Request,
    *,
    assistant_id: Assistant = None,
    ttft_hours: Hours = assistants.DAY,
    step_days: Days = assistants.WEEK_DAYS,
    cache_hours: Hours = assistants.DAY,
    cost_hours: Hours = assistants.DAY,
    trending_limit: Limit = assistants.TRENDING,
    trending_days: Annotated[
        int | None, Query(ge=1, le=90, description="Topics of so many days; all, if not given.")
    ] = None,
    limit: Listed = assistants.LIMIT,
) -> Response:
    """Everything about the assistants at once; a part that cannot be made is null or empty, and `errors` says why.

    A request that is not known to be a cache's hit counts as a miss; a connector's rate is of all its synchronisations.
    """
    return await answer(
        request,
        assistants.advanced,
        assistant_id=assistant_id,
        ttft_hours=ttft_hours,
        step_days=step_days,
        cache_hours=cache_hours,
        cost_hours=cost_hours,
        trending_limit=trending_limit,
        trending_days=trending_days,
        limit=limit,
    )


@router.get(
    "/analytics/advanced/ttft",
    response_model=assistant_types.TTFTPercentiles,
    responses=_example(examples.TTFT),
    tags=["assistants"],
)
@router.get(
    "/analytics/ttft",
    response_model=assistant_types.TTFTPercentiles,
    responses=_example(examples.TTFT),
    tags=["assistants"],
)
async def ttft(request: Request, hours: Hours = assistants.DAY, assistant_id: Assistant = None) -> Response:
    """Seconds until the first token; zeros when there is none."""
    return await answer(request, assistants.ttft, hours=hours, assistant_id=assistant_id)


@router.get(
    "/analytics/advanced/trending",
    response_model=list[assistant_types.TrendingTopic],
    responses=_example(examples.TRENDING),
    tags=["assistants"],
)
@router.get(
    "/analytics/trending",
    response_model=list[assistant_types.TrendingTopic],
    responses=_example(examples.TRENDING),
    tags=["assistants"],
)
async def trending(request: Request, assistant_id: Assistant = None, limit: Limit = assistants.TRENDING) -> Response:
    """What is asked most, over all time."""
    return await answer(request, assistants.trending, assistant_id=assistant_id, limit=limit)


@router.get(
    "/analytics/costs",
    response_model=jobs.Costs | list[assistant_types.AssistantCost],
    responses=_example(examples.COSTS),
    tags=["jobs", "assistants"],
)
async def costs(
    request: Request,
    limit: Jobs = jobs.LIMIT,
    hours: Annotated[
        int | None, Query(ge=1, le=168, description="The costs of assistants over so many hours, instead of jobs'.")
    ] = None,
) -> Response:
    """What jobs cost; with `hours`, what assistants do: two dashboards ask for both under this name."""
    if hours is not None:
        return await assistant_costs(request, hours)
    return await answer(request, jobs.costs, limit=limit)


@router.get(
    "/analytics/advanced/costs",
    response_model=list[assistant_types.AssistantCost],
    responses=_example(examples.ASSISTANT_COSTS),
    tags=["assistants"],
)
async def assistant_costs(request: Request, hours: Hours = assistants.DAY, assistant_id: Assistant = None) -> Response:
    """What each assistant used and cost."""
    return await answer(request, assistants.assistant_costs, hours=hours, assistant_id=assistant_id)


@router.get(
    "/analytics/advanced/freshness",
    response_model=list[assistant_types.DocumentFreshness],
    responses=_example(examples.FRESHNESS),
    tags=["assistants"],
)
@router.get(
    "/analytics/freshness",
    response_model=list[assistant_types.DocumentFreshness],
    responses=_example(examples.FRESHNESS),
    tags=["assistants"],
)
async def freshness(request: Request) -> Response:
    """How old the documents are."""
    return await answer(request, assistants.freshness)


@router.get(
    "/activity/{grouping}",
    response_model=activity.Activity,
    responses=_example(examples.ACTIVITY),
    tags=["activity"],
)
async def activity_of(
    request: Request,
    grouping: activity.Grouping,
    *,
    from_: Annotated[
        str | None, Query(alias="from", description=f"{MOMENT} Inclusive.", examples=["2026-02-10"])
    ] = None,
    to: Annotated[str | None, Query(description=f"{MOMENT} Exclusive.", examples=["2026-02-11"])] = None,
    session_id: Only = None,
    user_id: Only = None,
    type: Only = None,  # noqa: A002 - the dictionary's word
    tool_name: Only = None,
    agent_id: Only = None,
    project: Only = None,
    limit: Annotated[int, Query(ge=1, le=10_000, description="How many sessions, users … are named.")] = activity.LIMIT,
) -> Response:
    """The events in a span of time that pass the filters, and their course by period, or by whom or what.

    Filters look at what an event itself carries; `by_user` and `by_project` count all events of their sessions.
    """
    named = {
        "session_id": session_id,
        "user_id": user_id,
        "type": type,
        "tool_name": tool_name,
        "agent_id": agent_id,
        "project": project,
    }
    where = {name: value for name, value in named.items() if value is not None}
    return await answer(request, activity.activity, grouping=grouping, from_=from_, to=to, where=where, limit=limit)


@router.get(
    "/functions", response_model=functions.Functions, responses=_example(examples.FUNCTIONS), tags=["functions"]
)
async def functions_of(
    request: Request,
    function: Annotated[str | None, Query(min_length=1, description="One function; all, if not given.")] = None,
) -> Response:
    """How the calls of one function or of all went."""
    return await answer(request, functions.functions, function=function)


add_heads(router)
