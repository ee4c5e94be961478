"""The tables that there are: their headers, what each reads, and the order in which they can be built."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Final

from tidemill.errors import TableError, UsageError
from tidemill.records import CONTRACTS
from tidemill.settings import sql_folder

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

PRICES: Final = "prices"
RECORD_RELATIONS: Final = tuple(contract.table for contract in CONTRACTS.values())
PARTITIONS: Final = ("day", "week", "month", "window", "none")

_HEADER = re.compile(r"^--\s*(grain|partition|sort|windows|before):\s*(.+?)\s*$", re.MULTILINE)
_COMMENT = re.compile(r"--[^\n]*")
_READS = re.compile(r"\b(?:FROM|JOIN)\s+([A-Za-z_]\w*)", re.IGNORECASE)
_DEFINES = re.compile(r"\b([A-Za-z_]\w*)\s+AS\s+(?:NOT\s+)?(?:MATERIALIZED\s+)?\(", re.IGNORECASE)
_COLUMN = re.compile(r"^ {4}(?:.*\s)?\"?([A-Za-z_]\w*)\"?,?\s*--\s*(.+?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Table:
    """One table: its select, and what its header says of it."""

    name: str
    family: str
    description: str
    grain: str
    partition: str
    partition_column: str
    sort: tuple[str, ...]
    windows: tuple[int, ...]
    select: str
    reads: frozenset[str]
    comments: Mapping[str, str]

    @property
    def records(self) -> list[str]:
        """Which of jobs, events and metrics it reads itself."""
        return [name for name in RECORD_RELATIONS if name in self.reads]


@cache
def tables() -> Mapping[str, Table]:
    """Every table by name, each after those that it reads."""
    paths = {path.stem: path for path in sorted((sql_folder() / "tables").glob("*/*.sql"))}
    found = {name: _table(path, frozenset(paths)) for name, path in paths.items()}
    graph = {name: table.reads & found.keys() for name, table in found.items()}
    try:
        return {name: found[name] for name in TopologicalSorter(graph).static_order()}
    except CycleError as error:
        message = f"tables read each other in a circle: {' → '.join(error.args[1])}"
        raise TableError(message) from error


def table(name: str) -> Table:
    """The table of that name; UsageError names the nearest."""
    found = tables().get(name)
    if found is None:
        raise UsageError.unknown("table", name, tables())
    return found


def known(name: str) -> str:
    """The name of a table that is published, the pipeline's own included."""
    return name if name == "builds" else table(name).name


def _table(path: Path, names: frozenset[str]) -> Table:
    text = path.read_text(encoding="utf-8")
    header = dict(_HEADER.findall(text))
    description = text.splitlines()[0].removeprefix("--").strip()
    missing = {"grain", "partition", "sort"} - header.keys()
    if missing or not text.startswith("--"):
        message = f"{path}: its header lacks {', '.join(sorted(missing)) or 'a description'}"
        raise TableError(message)
    partition, _, column = header["partition"].partition(" of ")
    if partition not in PARTITIONS:
        message = f"{path}: partition is {partition}, not one of {', '.join(PARTITIONS)}"
        raise TableError(message)
    plain = _COMMENT.sub("", text)
    reads = set(_READS.findall(plain)) - set(_DEFINES.findall(plain))
    return Table(
        name=path.stem,
        family=path.parent.name,
        description=description,
        grain=header["grain"],
        partition=partition,
        partition_column=column or partition,
        sort=tuple(part.strip() for part in header["sort"].split(",")),
        windows=tuple(_hours(part.strip()) for part in header.get("windows", "").split(",") if part.strip()),
        select=text,
        reads=frozenset(reads & (names | {*RECORD_RELATIONS, PRICES})),
        comments=dict(_COLUMN.findall(text[text.rindex("\nSELECT") :] if "\nSELECT" in text else text)),
    )


def _hours(window: str) -> int:
    return int(window[:-1]) * {"h": 1, "d": 24}[window[-1]]
