"""Names and values as SQL text: the only two ways in which either reaches a statement."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable


def identifier(name: str) -> str:
    """A name as a quoted identifier."""
    return '"' + name.replace('"', '""') + '"'


def literal(text: object) -> str:
    """A value's text as a string literal."""
    return "'" + str(text).replace("'", "''") + "'"


def literals(texts: Iterable[object]) -> str:
    """A list of string literals: `['a', 'b']`."""
    return "[" + ", ".join(literal(text) for text in texts) + "]"
