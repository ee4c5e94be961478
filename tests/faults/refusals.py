"""One refusal: a call of a step fails, or from one on all that grow, as on a full disk; then it is done again."""

from __future__ import annotations

import errno
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tests.faults import state
from tests.faults.calls import CALLS
from tests.faults.kills import traced, where

if TYPE_CHECKING:
    from tests.faults.kills import Case


@dataclass(frozen=True)
class Refusal:
    """What the disk says, once or from then on, and to which calls it can say so."""

    errno: int
    onwards: bool = False
    calls: frozenset[str] = frozenset(call.name for call in CALLS.values())


REFUSALS: Final = {
    "full from then on": Refusal(
        errno.ENOSPC, onwards=True, calls=frozenset(call.name for call in CALLS.values() if call.grows)
    ),
    "full once": Refusal(errno.ENOSPC, calls=frozenset(call.name for call in CALLS.values() if call.grows)),
    "I/O error": Refusal(errno.EIO),
    "no permission": Refusal(errno.EACCES, calls=frozenset(call.name for call in CALLS.values() if call.path >= 0)),
}


def refuse(case: Case, how: str, number: int) -> tuple[str, list[str]]:
    """Let the n-th change of a step fail; what was refused (call and path), and what is wrong then."""
    refusal = REFUSALS[how]
    _ = case.before, case.after
    case.place.restore(f"before {case.step.name}")
    run = traced(case.place, case.step.arguments, number, errno=refusal.errno, onwards=refusal.onwards)
    if not run.hit:
        return "", [f"only {len(run.changes)} changes were made"]
    call, path = run.changes[number - 1]
    home = case.place.home
    found = [] if run.code == 0 else _badly_said(run.err, run.code, os.strerror(refusal.errno))
    if run.code == 0:
        shown, _ = case.after
        now = case.published().get("current", {})
        found = [f"went well, but there is other {line}" for line in state.differences(now, shown)]
    found += [
        f"there is still {path.name}" for path in home.glob("tables/building-*") if run.code and call != "unlinkat"
    ]
    return f"{call} {where(case.place, path)}", [*found, *case.wrong(build=False)]


def _badly_said(err: str, code: int, why: str) -> list[str]:
    """What is wrong with how a failure was said: one line, with what, where and what to do."""
    said = [line for line in err.splitlines() if line.startswith("tidemill: ")]
    if code not in {1, 2} or len(said) != 1 or "Traceback" in err or "--debug" in err:
        return [
            f"exit code {code}: {[line for line in err.splitlines() if not line.startswith(('build: ', 'ingest: '))]}"
        ]
    line = said[0]
    return [] if why in line and "; " in line and "/" in line else [f"is said as: {line}"]
