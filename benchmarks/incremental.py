"""One more hour in six rollups that incremental models can make, too: ours, dbt's and SQLMesh's."""

from __future__ import annotations

import shutil
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Final

from benchmarks import homes, projects, report, rollups, selects
from benchmarks.environments import tidemill
from benchmarks.measure import Contender, ContenderError, measure

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from benchmarks.measure import Timed
    from benchmarks.plan import Plan

TIMES: Final = 5


def compete(plan: Plan, days: int) -> list[Timed]:
    """Measure on a lake of so many days."""
    return plan.compete(_contenders(plan, days))


def lines(days: int, found: Sequence[Timed]) -> list[str]:
    """What was measured, as lines of RESULTS.md."""
    return [
        f"### Six rollups after one more hour on {days} days, which the lake has loaded already",
        "",
        *report.times(found),
        *report.reaches([report.ahead(found, name, TIMES) for name in (rollups.DBT, rollups.SQLMESH)]),
    ]


def _contenders(plan: Plan, days: int) -> Sequence[Contender]:
    home, aside = homes.history(plan.shared, plan.day_events, days)
    models = [rollups.dbt(plan.folder / f"dbt-{days}", home)]
    mesh = plan.folder / f"sqlmesh-{days}"
    models.append(rollups.sqlmesh(mesh, home, homes.first_day(days)))
    before = [models[0].steps, [projects.sqlmesh_plan(mesh, homes.LAST_DAY)]]
    more = [models[0].steps, [projects.sqlmesh_run(mesh, homes.LAST_DAY)]]
    folders = [plan.folder / f"dbt-{days}", mesh]
    peers = [_incremental(*each) for each in zip(models, folders, before, more, strict=True)]
    measure(tidemill(home, "ingest", str(home / "late")))
    homes.write_whole(home)

    def load() -> None:
        homes.bring_back(aside, home)
        measure(tidemill(home, "ingest", str(home / "late")))
        homes.write_whole(home)

    command = tidemill(home, "build", *selects.ROLLUPS, "--as-of", "latest")
    return [Contender(rollups.OURS, [command], clear=load, note="also checks them, and publishes"), *peers]


def _incremental(
    model: Contender, folder: Path, before: Sequence[Sequence[str]], more: Sequence[Sequence[str]]
) -> Contender:
    """A peer whose models are built without the hour, once and not timed, and then with it."""
    if model.missing:
        return model
    kept = folder / "before.duckdb"
    try:
        model.clear()
        for step in before:
            measure(step, model.environment)
    except ContenderError as error:
        return replace(model, missing=str(error))
    shutil.copy2(folder / projects.DATABASE, kept)
    return replace(model, steps=more, clear=partial(_restore, kept, folder / projects.DATABASE))


def _restore(kept: Path, database: Path) -> None:
    for path in database.parent.glob(f"{database.name}*"):
        path.unlink()
    shutil.copy2(kept, database)
