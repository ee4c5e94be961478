"""Running the checks: over what a build is about to publish, or over what is published."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Final

import duckdb

from tidemill import catalog, scope
from tidemill.checks import Severity, checks
from tidemill.engines import faults, relations, rules
from tidemill.errors import CheckError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tidemill.build import Build
    from tidemill.checks import Check
    from tidemill.scope import Scope

HISTOGRAM: Final = "latency_histogram"
"""The table whose percentiles are estimates."""
SAMPLE_CHARACTERS: Final = 300
"""How much of a sample row a message shows."""


class Result(StrEnum):
    """What became of a check, from good to bad."""

    OK = "ok"
    NOT_RUN = "not run"
    WARNING = "warning"
    FAILED = "failed"
    ERROR = "error"


@dataclass(frozen=True)
class Outcome:
    """A check that was run: how many rows it found, one of them as JSON, or why there is none to tell."""

    check: str
    severity: Severity
    result: Result
    rows: int | None = None
    sample: str | None = None
    why: str | None = None

    @property
    def forbids(self) -> bool:
        """Whether it keeps a build from being published."""
        return self.result in {Result.FAILED, Result.ERROR}

    def __str__(self) -> str:
        """One line: what the check found, or why it could not be run."""
        if self.result is Result.ERROR:
            return f"check {self.check} cannot be run: {self.why}"
        sample = self.sample or ""
        cut = sample[:SAMPLE_CHARACTERS] + ("…" if len(sample) > SAMPLE_CHARACTERS else "")
        found = "1 row" if self.rows == 1 else f"{self.rows} rows"
        return f"check {self.check} {'failed' if self.forbids else 'warns'}: {found}, such as {cut}"


def approve(build: Build, *, despite: Iterable[str] = (), say: Callable[[str], None] | None = None) -> list[str]:
    """Check what a build is about to publish; returns the failed checks despite which it may be.

    `say` is called with a line for each warning, and for each failure that is let pass.

    Raises:
        CheckError: another check failed, or cannot be run.
    """
    found = outcomes(scope.of_build(build, deep=build.rechecked))
    waived = [outcome.check for outcome in found if outcome.forbids and outcome.check in despite]
    refused = [outcome for outcome in found if outcome.forbids and outcome.check not in despite]
    if say:
        for outcome in found:
            if outcome.result is Result.WARNING or outcome.check in waived:
                say(str(outcome))
    if refused:
        options = " ".join(f"--despite {outcome.check}" for outcome in refused)
        what = "; ".join(map(str, refused))
        raise CheckError(
            f"{what}; nothing is published, the snapshot before stays (to publish all the same: {options})"
        )
    return waived


def outcomes(looked_at: Scope) -> list[Outcome]:
    """What each check finds, in the order of the checks."""
    looked_at.build.connection.execute(rules.MACROS)
    found = checks(looked_at.build.home).values()
    broken = _broken(looked_at)
    return [
        _found(check, broken[check.name]) if check.name in broken else _outcome(check, looked_at) for check in found
    ]


def _outcome(check: Check, looked_at: Scope) -> Outcome:
    if why := looked_at.obstacle(check.reads):
        return Outcome(check.name, check.severity, Result.NOT_RUN, why=why)
    if check.reads and not looked_at.touches(check.reads):
        return Outcome(check.name, check.severity, Result.NOT_RUN, why="nothing that it reads changed")
    try:
        looked_at.bind(check.reads)
        found = rules.offending(looked_at.build.connection, check.select)
    except duckdb.Error as error:
        return Outcome(check.name, check.severity, Result.ERROR, why=faults.located(check.file, error))
    finally:
        relations.unbind(looked_at.build.connection, check.reads)
    return _found(check, [found])


def _broken(looked_at: Scope) -> dict[str, list[tuple[int, str | None]]]:
    """What each rule finds in each table that changed; one that still has the columns of an older SQL is left out."""
    found: dict[str, list[tuple[int, str | None]]] = {rule.name: [] for rule in rules.RULES}
    for table in (catalog.table(name) for name in looked_at.build.states):
        alone = frozenset({table.name})
        if looked_at.touches(alone) and looked_at.rows(table.name):
            looked_at.bind(alone)
            columns = rules.columns(looked_at.build.connection, table.name)
            shape = rules.Shape(table.name, table.key, columns, estimated=HISTOGRAM in table.reads)
            if set(table.key) <= set(columns):
                for rule, counted in rules.broken(looked_at.build.connection, shape).items():
                    found[rule].append(counted)
            relations.unbind(looked_at.build.connection, alone)
    return found


def _found(check: Check, counted: Sequence[tuple[int, str | None]]) -> Outcome:
    rows = sum(count for count, _ in counted)
    result = {Severity.FAIL: Result.FAILED, Severity.WARN: Result.WARNING}[check.severity] if rows else Result.OK
    sample = next((sample for _, sample in counted if sample), None)
    return Outcome(check.name, check.severity, result, rows, sample)
