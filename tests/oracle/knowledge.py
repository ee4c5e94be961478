"""The documents and connectors of a knowledge base."""

from __future__ import annotations

from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.oracle.activity import daily
from tests.oracle.clock import ended
from tests.oracle.figures import exact_sum, known, ratio
from tests.oracle.world import grouped

if TYPE_CHECKING:
    from tests.oracle.world import Row, World

UPDATED, RETRIEVED = "document_updated", "document_retrieved"
CONNECTED = ("connector_updated", "connector_sync")
HOT = 10
FRESH, AGING = timedelta(days=30), timedelta(days=90)


def _named(world: World, column: str, *types: str) -> list[Row]:
    return [event for event in world.past if event["type"] in types and event[column] is not None]


def documents_daily(world: World) -> list[Row]:
    """What became of each document that day."""
    groups = daily(world, _named(world, "document_id", UPDATED, RETRIEVED), "document_id")
    return [{"day": day, "document_id": document} | _document(events) for (day, document), events in groups.items()]


def _document(events: list[Row]) -> Row:
    """The newest update; nothing is known of a document that was only retrieved."""
    updates = [event for event in events if event["type"] == UPDATED]
    if not updates:
        return dict.fromkeys(("name", "connector_id", "tokens", "vectors", "updated_at", "deleted"))
    newest = updates[-1]
    return {
        "name": newest["name"],
        "connector_id": newest["connector_id"],
        "tokens": newest["total_tokens"],
        "vectors": None if newest["value"] is None else int(newest["value"]),
        "updated_at": newest["timestamp"],
        "deleted": newest["status"] == "deleted",
    }


def _known_documents(world: World, *, until: Any = None) -> dict[str, Row]:
    """The documents that are not deleted, as they were at the end of a day, or as they are."""
    events = [
        event
        for event in _named(world, "document_id", UPDATED, RETRIEVED)
        if until is None or world.day(event["timestamp"]) <= until
    ]
    newest = {document: _document(rows) for document, rows in grouped(events, lambda e: e["document_id"]).items()}
    return {document: row for document, row in newest.items() if not row["deleted"]}


def documents(world: World) -> list[Row]:
    """Every document that there is."""
    return [
        {"document_id": document} | {name: value for name, value in row.items() if name != "deleted"}
        for document, row in _known_documents(world).items()
    ]


def connectors_daily(world: World) -> list[Row]:
    """The connectors that were heard of that day."""
    groups = daily(world, _named(world, "connector_id", *CONNECTED), "connector_id")
    return [{"day": day, "connector_id": connector} | _connector(events) for (day, connector), events in groups.items()]


def _connector(events: list[Row]) -> Row:
    return {"name": events[-1]["name"], "updated_at": events[-1]["timestamp"]}


def _known_connectors(world: World, *, until: Any = None) -> dict[str, Row]:
    events = [
        event
        for event in _named(world, "connector_id", *CONNECTED)
        if until is None or world.day(event["timestamp"]) <= until
    ]
    return {connector: _connector(rows) for connector, rows in grouped(events, lambda e: e["connector_id"]).items()}


def connectors(world: World) -> list[Row]:
    """Every connector that there is."""
    return [{"connector_id": connector} | row for connector, row in _known_connectors(world).items()]


def document_utilization(world: World) -> list[Row]:
    """How much each document is used; those that nobody uses, too."""

    def table(world: World, events: list[Row], _hours: int) -> list[Row]:
        used = grouped(events, lambda event: event["document_id"])
        return [
            {"document_id": document, "name": row["name"], "connector_id": row["connector_id"]}
            | _retrieved(used.get(document, []))
            for document, row in _known_documents(world, until=world.day(world.as_of)).items()
        ]

    return ended(world, table, RETRIEVED)


def _retrieved(events: list[Row]) -> Row:
    requests = {event["request_id"] for event in events} - {None}
    retrievals = len(requests) + sum(event["request_id"] is None for event in events)
    status = "hot" if retrievals > HOT else "warm" if retrievals else "cold"
    return {
        "retrievals": retrievals,
        "last_retrieved": events[-1]["timestamp"] if events else None,
        "status": status,
    }


def connector_syncs(world: World) -> list[Row]:
    """How each connector's synchronisations went; idle ones, too."""

    def table(world: World, events: list[Row], _hours: int) -> list[Row]:
        syncs = grouped(events, lambda event: event["connector_id"])
        return [
            {"connector_id": connector, "name": row["name"]} | _synced(syncs.get(connector, []))
            for connector, row in _known_connectors(world, until=world.day(world.as_of)).items()
        ]

    return ended(world, table, "connector_sync")


def _synced(syncs: list[Row]) -> Row:
    told = [sync["status"] for sync in syncs]
    successful, failed = told.count("success"), told.count("failure")
    seconds = [duration / 1000 for duration in known(syncs, "duration_ms")]
    return {
        "syncs": len(syncs),
        "successful": successful,
        "failed": failed,
        "other": len(syncs) - successful - failed,
        "success_rate": ratio(successful, successful + failed),
        "avg_duration_seconds": ratio(exact_sum(seconds), len(seconds)),
    }


def document_freshness(world: World) -> list[Row]:
    """How old the documents are at as_of."""

    def table(world: World, _events: list[Row], _hours: int) -> list[Row]:
        known_then = _known_documents(world, until=world.day(world.as_of)).values()
        ages = [row["updated_at"] and world.as_of - row["updated_at"] for row in known_then]
        categories = [_freshness(age) for age in ages]
        return [
            {"category": category, "documents": categories.count(category)}
            | {"document_share": ratio(categories.count(category), len(categories))}
            for category in ("fresh", "aging", "stale")
        ]

    return [row for row in ended(world, table) if row["window_hours"] == world.windows[0]]


def _freshness(age: timedelta | None) -> str:
    if age is None or age >= AGING:
        return "stale"
    return "fresh" if age < FRESH else "aging"


def knowledge_base(world: World) -> list[Row]:
    """The whole knowledge base in one row."""
    rows = documents(world)
    tokens = sum(known(rows, "tokens"))
    return [
        {
            "documents": len(rows),
            "tokens": tokens,
            "vectors": sum(known(rows, "vectors")),
            "estimated_cost_usd": tokens / 1000 * world.cost_per_1k_tokens,
            "hours_saved": len(rows) * world.minutes_saved_per_document / 60,
        }
    ]
