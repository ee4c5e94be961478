"""Failures that tidemill explains itself: one line in a run's state and log, and no traceback."""

from __future__ import annotations

import functools
import inspect
import logging
from typing import TYPE_CHECKING, Final, ParamSpec

from prefect.exceptions import FailedRun, ParameterTypeError
from prefect.states import Failed

from tidemill.errors import TidemillError

if TYPE_CHECKING:
    from collections.abc import Callable

    from flows.tasks import Outcome

_P = ParamSpec("_P")
_ENGINE: Final = "Engine execution exited with unexpected exception"


def explained(flow: Callable[_P, Outcome]) -> Callable[_P, Outcome]:
    """Return a failed state with tidemill's own message where a flow raises one of its errors."""

    @functools.wraps(flow)
    def run(*args: _P.args, **kwargs: _P.kwargs) -> Outcome:
        try:
            return flow(*args, **kwargs)
        except TidemillError as error:
            return Failed(message=str(error))

    # Prefect would look up the names of the types among those of this module.
    run.__signature__ = inspect.signature(flow, eval_str=True)  # type: ignore[attr-defined]
    return run


def without_traceback(record: logging.LogRecord) -> bool:
    """Remove the traceback of a failure that its message explains, and Prefect's line about its engine.

    Prefect calls every failed state an unexpected exception. The line before has the state and the message.
    """
    error = record.exc_info[1] if record.exc_info else None
    if isinstance(error, ParameterTypeError):
        # The run's log has no other line about them.
        record.msg, record.args = str(error), ()
    elif not isinstance(error, TidemillError | FailedRun):
        return True
    elif str(record.msg).startswith(_ENGINE):
        return False
    record.exc_info = record.exc_text = None
    return True


for _name in ("prefect.flow_runs", "prefect.task_runs"):
    logging.getLogger(_name).addFilter(without_traceback)
