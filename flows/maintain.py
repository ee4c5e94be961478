"""Maintenance: fewer files in the lake, less history if that is asked for, and every check over what is published."""

from __future__ import annotations

from dataclasses import asdict
from functools import partial

from prefect import flow
from prefect.states import Failed

from flows import killed, page, tasks, turns
from flows.failures import explained
from flows.tasks import Outcome


@flow(name="maintain", flow_run_name=partial(page.named, "maintain"), persist_result=False)
@explained
def maintain(home: str = "data", keep: str | None = None, *, prune_tables: bool = False, deep: bool = True) -> Outcome:
    """Merge small files, prune old days, and check all that is stored and published.

    Args:
        home: The folder with tidemill.toml, the lake and the tables; from the checkout, if it is relative.
        keep: How many days of records stay, such as 90d; everything, if it is left out.
        prune_tables: Whether what tables say of pruned days goes, too; else it stays, sealed.
        deep: Whether every stored byte is looked at, and all that is published; else only the newest build's checks.

    Returns:
        How many files the lake has less, and how many checks were run.
    """
    killed.mark()
    place, _ = tasks.opened(home)
    with turns.turn(place, "maintain"):
        compacted = tasks.compact_lake(home)
        pruned = tasks.prune_lake(home, keep, tables=prune_tables) if keep else []
        found = tasks.check_all(home, deep=deep)
    sections = {"Compacted": map(asdict, compacted), "Pruned": map(asdict, pruned), "Checked": map(asdict, found)}
    page.kept(place, {title: list(rows) for title, rows in sections.items()})
    page.checked(place, found)
    failed = [str(outcome) for outcome in found if outcome.forbids]
    if failed:
        return Failed(message=f"{len(failed)} of {len(found)} checks failed; " + "; ".join(failed))
    return {"files_less": sum(one.files - one.files_after for one in compacted), "checks": len(found)}


if __name__ == "__main__":
    maintain()
