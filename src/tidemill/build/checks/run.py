"""Running the checks: over what a build is about to publish, or over what is published."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.build import scheduler
from tidemill.build.checks import rules, scope
from tidemill.build.checks.definitions import checks, readable
from tidemill.build.errors import CheckError
from tidemill.build.outcome import Outcome, Result, Severity
from tidemill.catalog import tables as catalog_tables
from tidemill.engine import messages, relations
from tidemill.home import disk_errors

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Sequence

    from tidemill.build.checks.definitions import Check
    from tidemill.build.checks.scope import Scope
    from tidemill.build.context import Build
    from tidemill.errors import Fault

FILES: Final = "files"
"""The check that no stored file was cut, changed or deleted."""
HISTOGRAM: Final = "latency_histogram"
"""The table whose percentiles are estimates."""


def approve(
    build: Build, *, deep: bool, despite: Iterable[str] = (), say: Callable[[str], None] | None = None
) -> list[str]:
    """Check what a build is about to publish; returns the failed checks despite which it may be.

    Checks that are not `deep` see the periods that changed. `say` is called with a line for each warning, and for each
    failure that is let pass.

    Raises:
        CheckError: another check failed, or cannot be run.
    """
    found = outcomes(scope.of_build(build, deep=deep))
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
            f"{what}; nothing is published, the snapshot before stays (to publish all the same: {options})", refused
        )
    return waived


def of_files(faults: Sequence[Fault]) -> list[Outcome]:
    """What reading every stored file found, as the check FILES: a row for each that is damaged, or one."""
    whole = Outcome(FILES, Severity.FAIL, Result.OK, 0)
    failed = replace(whole, result=Result.FAILED, rows=1)
    damaged = [replace(failed, sample=str(one.path), why=f"{one.what}; {one.advice}") for one in faults]
    return damaged or [whole]


def outcomes(looked_at: Scope) -> list[Outcome]:
    """What each check finds, in the order of the checks."""
    found = checks(looked_at.build.home).values()
    changed = [name for name in looked_at.build.states if looked_at.touches(frozenset({name})) and looked_at.rows(name)]
    broken = scheduler.each(
        looked_at.build, dict.fromkeys(changed, ()), lambda own, name: _broken(replace(looked_at, build=own), name)
    )
    asked = {check: () for check in found if check.select}
    told = scheduler.each(looked_at.build, asked, lambda own, check: _outcome(check, replace(looked_at, build=own)))
    rules_of = {check.name: [table[check.name] for table in broken.values() if check.name in table] for check in found}
    return [told.get(check) or _found(check, rules_of[check.name]) for check in found]


def _outcome(check: Check, looked_at: Scope) -> Outcome:
    if why := looked_at.obstacle(check.reads):
        return Outcome(check.name, check.severity, Result.NOT_RUN, why=why)
    if check.reads and not looked_at.touches(check.reads):
        return Outcome(check.name, check.severity, Result.NOT_RUN, why="nothing that it reads changed")
    connection = looked_at.build.connection
    try:
        connection.execute(rules.MACROS)
        rules.guard(connection, check.select, readable())
        looked_at.bind(check.reads)
        found = rules.offending(connection, check.select)
    except duckdb.Error as error:
        disk_errors.check(error, looked_at.build.folder)
        return Outcome(check.name, check.severity, Result.ERROR, why=messages.located(check.file, error))
    finally:
        relations.unbind(connection, check.reads)
    return _found(check, [found])


def _broken(looked_at: Scope, name: str) -> dict[str, tuple[int, str | None]]:
    """What each rule finds in a table; nothing in one that still has the columns of an older SQL."""
    table, connection = catalog_tables.table(name), looked_at.build.connection
    looked_at.bind(frozenset({name}))
    try:
        columns = rules.columns(connection, name)
        if not set(table.key) <= set(columns):
            return {}
        return rules.broken(connection, rules.Shape(name, table.key, columns, estimated=HISTOGRAM in table.reads))
    finally:
        relations.unbind(connection, {name})


def _found(check: Check, counted: Sequence[tuple[int, str | None]]) -> Outcome:
    rows = sum(count for count, _ in counted)
    result = {Severity.FAIL: Result.FAILED, Severity.WARN: Result.WARNING}[check.severity] if rows else Result.OK
    sample = next((sample for _, sample in counted if sample), None)
    return Outcome(check.name, check.severity, result, rows, sample)
