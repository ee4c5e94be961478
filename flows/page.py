"""What a person sees on Prefect's page: the names of runs, artifacts of what was done, assets, and events to act on."""

from __future__ import annotations

import json
import re
from dataclasses import asdict
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import prefect.runtime.flow_run
from prefect.artifacts import create_link_artifact, create_markdown_artifact, create_table_artifact
from prefect.events import emit_event

from tidemill import Tidemill
from tidemill.catalog import tables as catalog_tables
from tidemill.config import settings
from tidemill.errors import TidemillError
from tidemill.home.home import Home
from tidemill.snapshots import publish

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping, Sequence

    from flows.tasks import Rebuilt
    from tidemill.build.outcome import Outcome
    from tidemill.ingest.queue import Report
    from tidemill.snapshots.manifest import TableState

SLOWEST = 10
"""So many tables are named with their seconds."""
LEDGER = ("records_read", "expanded", "accepted", "duplicates", "quarantined", "ignored")
PUBLISHED = "tidemill.table.published"
CHECK_FAILED = "tidemill.check.failed"
EXCEEDED = "tidemill.threshold.exceeded"
_BREACH = ("breached_at", "threshold", "table", "key", "value", "limit", "window_hours")


def named(flow: str) -> str:
    """What a run of a flow is called: when it was due, and over what (`pipeline 2026-11-22T10 · 3 sources`)."""
    asked: Mapping[str, Any] = prefect.runtime.flow_run.parameters or {}
    due = prefect.runtime.flow_run.scheduled_start_time or datetime.now(UTC)
    return f"{flow} {due:%Y-%m-%dT%H} · {_over(asked)}"


def _over(asked: Mapping[str, Any]) -> str:
    """What a run is over: its days, the sources that it loads, the tables if some are named, or else its home."""
    if asked.get("first_day"):
        return f"{asked['first_day']} to {asked.get('last_day') or asked['first_day']}"
    home = str(asked.get("home", "data"))
    if named := asked.get("sources") or ("sources" not in asked and asked.get("tables")):
        return ", ".join(named)
    if "sources" not in asked:
        return home
    try:
        count = len(settings.load(Home.at(home).path).sources)
    except TidemillError:  # the run itself says what is wrong
        return home
    return "1 source" if count == 1 else f"{count} sources"


def show(flow: str, home: Home, *, reports: Sequence[Report] = (), rebuilt: Rebuilt | None = None) -> None:
    """Show what a run did, and tell of it: as a page of Markdown, a table of refusals, a link, assets and events."""
    lines = [*_loaded(reports), *(_built(rebuilt) if rebuilt else [])]
    create_markdown_artifact(
        "\n".join(lines), key=key(home.path.name, flow, "summary"), description=f"{flow} over {home.path}"
    )
    if any(report.total("quarantined") for report in reports):
        refused = Tidemill(home.path).quarantine(counted=True).to_dicts()
        create_table_artifact(
            _plain(refused),
            key=key(home.path.name, flow, "quarantined"),
            description="What is in the quarantine, by source, record, field and reason",
        )
    if rebuilt:
        if rebuilt.snapshot:
            _published(flow, home, rebuilt)
        checked(home, rebuilt.refused)
        for row in rebuilt.breached:
            payload = dict(zip(_BREACH, row, strict=False))
            _tell(EXCEEDED, f"threshold.{payload['threshold']}", str(payload["threshold"]), home, payload)


def checked(home: Home, found: Iterable[Outcome]) -> None:
    """Tell of the checks that failed."""
    for outcome in found:
        if outcome.forbids:
            _tell(CHECK_FAILED, f"check.{outcome.check}", outcome.check, home, asdict(outcome))


def kept(home: Home, sections: Mapping[str, Sequence[Mapping[str, object]]]) -> None:
    """Show what maintenance did, a table for each of its steps."""
    lines = []
    for title, rows in sections.items():
        cells = [list(row.values()) for row in rows]
        lines += [f"## {title}", "", *(_table(rows[0], cells) if rows else ["Nothing."]), ""]
    create_markdown_artifact(
        "\n".join(lines), key=key(home.path.name, "maintain-summary"), description=f"maintain over {home.path}"
    )


def _loaded(reports: Sequence[Report]) -> list[str]:
    if not reports:
        return []
    rows = [[r.source, *(f"{r.total(name):,}" for name in LEDGER), f"{r.unchanged:,}"] for r in reports]
    lines = ["## Loaded", "", *_table(("source", *LEDGER, "files unchanged"), rows), ""]
    lines += [f"- **Not loaded:** {failure}" for report in reports for failure in report.failures]
    return [*lines, ""]


def _built(rebuilt: Rebuilt) -> list[str]:
    slowest = sorted(rebuilt.built, key=lambda made: made.seconds, reverse=True)
    rows = [
        [made.table, len(made.partitions), f"{made.rows:,}", f"{made.seconds:.2f}", "; ".join(made.why)]
        for made in slowest
    ]
    lines = ["## Built", ""]
    if rows:
        lines += [*_table(("table", "partitions", "rows", "seconds", "why it was stale"), rows[:SLOWEST]), ""]
    if rows[SLOWEST:]:
        lines += [f"And {len(rows) - SLOWEST} more, quicker: {', '.join(str(row[0]) for row in rows[SLOWEST:])}.", ""]
    lines += [f"- **Not built:** {failure}" for failure in rebuilt.failed]
    lines += [f"- **Left as it was**, since it reads such a table: {name}" for name in rebuilt.waiting]
    lines += [f"- **Not published:** {outcome}" for outcome in rebuilt.refused]
    lines += [f"- {line}" for line in rebuilt.said]
    if rebuilt.refused:
        return [*lines, "", "A check failed: nothing is published, the snapshot before stays."]
    return [*lines, "", f"Published as `{rebuilt.snapshot}`." if rebuilt.snapshot else "Nothing was stale."]


def _table(header: Iterable[object], rows: Iterable[Sequence[object]]) -> list[str]:
    """A table in Markdown."""
    names, *cells = ([_cell(value) for value in row] for row in ([*header], *rows))
    return [f"| {' | '.join(row)} |" for row in (names, ["---"] * len(names), *cells)]


def _cell(value: object) -> str:
    return "" if value is None else str(value).replace("|", "\\|").replace("\n", " ")


def _published(flow: str, home: Home, rebuilt: Rebuilt) -> None:
    """Tell of each table that was published anew, as an asset made of the tables that it reads, and as an event.

    Prefect's own decorator would make one list of all assets and of all that they are made of; these are its events.
    """
    newest = publish.current(home)
    create_link_artifact(
        newest.folder.as_uri(),
        link_text=newest.id,
        key=key(home.path.name, flow, "tables"),
        description="The newest tables",
    )
    for name in sorted({made.table for made in rebuilt.built} & newest.tables.keys()):
        figures = {"table": name, "snapshot": newest.id, "home": str(home.path)}
        payload = figures | _figures(newest.folder / name, newest.tables[name])
        related = [
            {"prefect.resource.id": _asset_key(home, other), "prefect.resource.role": "asset"}
            for other in sorted(catalog_tables.table(name).reads & newest.tables.keys())
        ]
        asset = {
            "prefect.resource.id": _asset_key(home, name),
            "prefect.resource.name": name,
            "prefect.asset.description": catalog_tables.table(name).description,
            "prefect.asset.url": (home.tables / "current" / name).as_uri(),
        }
        by = {"prefect.resource.id": "tidemill", "prefect.resource.role": "asset-materialized-by"}
        emit_event("prefect.asset.materialization.succeeded", resource=asset, related=[*related, by], payload=payload)
        emit_event(PUBLISHED, resource=asset, related=related, payload=payload)


def _asset_key(home: Home, table: str) -> str:
    return f"file://{home.tables}/{table}"


def _figures(folder: Any, state: TableState) -> dict[str, Any]:  # noqa: ANN401 - a path
    """How large a table is, and how fresh."""
    made = state.partitions.values()
    return {
        "rows": sum(int(one["rows"]) for one in made),
        "bytes": sum((folder / file).stat().st_size for file in state.files.values()),
        "partitions": len(made),
        "built_at": max((str(one["built_at"]) for one in made), default=None),
        "as_of": max((str(one["as_of"]) for one in made if one.get("as_of")), default=None),
    }


def _tell(event: str, identity: str, name: str, home: Home, payload: Mapping[str, Any]) -> None:
    resource = {"prefect.resource.id": f"tidemill.{identity}", "prefect.resource.name": name}
    emit_event(event, resource=resource, payload=_plain({"home": str(home.path), **payload}))


def _plain(value: Any) -> Any:  # noqa: ANN401 - whatever JSON can say
    """A value as JSON has it; instants as text."""
    return json.loads(json.dumps(value, default=str))


def key(*words: str) -> str:
    """A key of an artifact: small letters, digits and dashes."""
    return re.sub(r"[^a-z0-9]+", "-", "-".join(words).lower()).strip("-")
