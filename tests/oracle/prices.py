"""What a request cost, or would have cost at the user's prices."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING

from tests.oracle.figures import exact_sum, known

if TYPE_CHECKING:
    from collections.abc import Sequence

    from tests.oracle.world import Row

MILLION = 1_000_000


def estimated(event: Row, prices: Sequence[Row]) -> float | None:
    """An event's own cost, else its tokens at the price of its model then, else None."""
    if event["cost_usd"] is not None:
        return float(event["cost_usd"])
    price = _price(event, prices)
    if price is None or (event["input_tokens"] is None and event["output_tokens"] is None):
        return None
    return float(
        (event["input_tokens"] or 0) / MILLION * price["input_per_1m_usd"]
        + (event["output_tokens"] or 0) / MILLION * price["output_per_1m_usd"]
    )


def money(events: Sequence[Row], prices: Sequence[Row]) -> Row:
    """What is known of the cost, what is estimated, and how many have neither."""
    costs = [estimated(event, prices) for event in events]
    return {
        "cost_usd": exact_sum(known(events, "cost_usd")),
        "estimated_cost_usd": exact_sum([cost for cost in costs if cost is not None]),
        "unpriced_requests": costs.count(None),
    }


def _price(event: Row, prices: Sequence[Row]) -> Row | None:
    matching = [
        price
        for price in prices
        if price["provider"] in {None, "", event["provider"]}
        and event["model"] is not None
        and _pattern(price["model"]).fullmatch(event["model"])
        and price["valid_from"] <= event["timestamp"]
    ]
    return max(matching, key=lambda price: (_literal(price["model"]), price["valid_from"]), default=None)


def _pieces(glob: str) -> list[str]:
    """A glob's stars, question marks, classes and single characters."""
    return re.findall(r"\*|\?|\[[^\]]+\]|.", glob, re.DOTALL)


def _pattern(glob: str) -> re.Pattern[str]:
    return re.compile("".join(map(_expression, _pieces(glob))), re.DOTALL)


def _expression(piece: str) -> str:
    """A glob's piece as a regular expression; a class begins with ! where it says what must not be."""
    if len(piece) == 1:
        return {"*": ".*", "?": "."}.get(piece) or re.escape(piece)
    return piece.replace("[!", "[^")


def _literal(glob: str) -> int:
    """How many characters of a glob stand for themselves."""
    return sum(len(piece) == 1 and piece not in "*?" for piece in _pieces(glob))
