"""The reference page of all tables and checks, as Markdown."""

from __future__ import annotations

import sys
from itertools import groupby
from typing import TYPE_CHECKING, Final

from tidemill.build.checks import definitions
from tidemill.catalog.dictionary import entries

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tidemill.catalog.dictionary import Entry

HEAD: Final = """\
# Tables

Every table that `tidemill build` publishes, by family. This file is made from the tables' SQL files by `make docs`.

A table is built a partition at a time: a *day*, *week* or *month* of the reporting timezone, a *window* that ends at
the build's moment, or as a *whole*. No two rows of a table have the same key.
"""


def markdown() -> str:
    """The whole dictionary as Markdown."""
    families = [
        f"## {family}\n\n" + "\n".join(map(_section, of))
        for family, of in groupby(entries(), key=lambda one: one.family)
    ]
    return "\n".join([HEAD, *families, _checks(definitions.shipped().values())])


def _section(one: Entry) -> str:
    key = ", ".join(f"`{name}`" for name in one.key) or "none: there is one row"
    facts = [f"Key: {key}.", f"Partition: {one.partition}."]
    if one.reads:
        facts.append(f"Reads: {', '.join(one.reads)}.")
    rows = [(f"`{name}`", column.type, column.description) for name, column in one.columns.items()]
    return f"### {one.name}\n\n{one.description}\n\n{' '.join(facts)}\n\n" + _grid(("column", "type", ""), rows)


def _checks(found: Iterable[definitions.Check]) -> str:
    rows = [(f"`{check.name}`", check.severity.value, check.description) for check in found]
    head = "## Checks\n\nWhat must hold before tables are published; `fail` forbids it, `warn` is only said.\n\n"
    return head + _grid(("check", "severity", ""), rows)


def _grid(head: Sequence[str], rows: Iterable[Sequence[str]]) -> str:
    lines = [head, ["---"] * len(head), *([cell.replace("|", "\\|") for cell in row] for row in rows)]
    return "".join(f"| {' | '.join(line)} |\n" for line in lines)


if __name__ == "__main__":
    sys.stdout.write(markdown())
