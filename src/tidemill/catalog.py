"""The tables that there are: their headers, what each reads, and the order in which they can be built."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Final

from tidemill.clock import PERIODS
from tidemill.errors import TableError, UsageError
from tidemill.records import CONTRACTS
from tidemill.settings import sql_folder

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PRICES: Final = "prices"
RECORD_RELATIONS: Final = tuple(contract.table for contract in CONTRACTS.values())
PARTITIONS: Final = (*PERIODS, "window", "none")
_COLUMN_OF: Final = {"week": "week_start", "month": "month_start"}

_HEADER = re.compile(r"^--\s*(grain|partition|sort|windows|before):\s*(.+?)\s*$", re.MULTILINE)
_WINDOW = re.compile(r"[1-9]\d*[hd]")
_COMMENT = re.compile(r"--[^\n]*")
_READS = re.compile(r"\b(?:FROM|JOIN)\s+([A-Za-z_]\w*(?:(?:\s+[A-Za-z_]\w*){0,2}\s*,\s*[A-Za-z_]\w*)*)", re.IGNORECASE)
_DEFINES = re.compile(r"\b([A-Za-z_]\w*)\s+AS\s+(?:NOT\s+)?(?:MATERIALIZED\s+)?\(", re.IGNORECASE)
_TEXT = re.compile(r"'(?:[^']|'')*'")
_PARAMETER = re.compile(r"\$([A-Za-z_]\w*)")
_COLUMN = re.compile(r"^ {4}(?:.*?[\s.])?\"?([A-Za-z_]\w*)\"?,?\s*--\s*(.+?)\s*$", re.MULTILINE)


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
    parameters: frozenset[str]
    comments: Mapping[str, str]

    @property
    def records(self) -> list[str]:
        """Which of jobs, events and metrics it reads itself."""
        return [name for name in RECORD_RELATIONS if name in self.reads]


@cache
def tables() -> Mapping[str, Table]:
    """Every table by name, each after those that it reads."""
    return read(sql_folder() / "tables")


def read(folder: Path) -> Mapping[str, Table]:
    """The tables of a folder of <family>/<table>.sql, each after those that it reads.

    Raises:
        TableError: a header is not one, or tables read each other in a circle.
    """
    paths = {path.stem: path for path in sorted(folder.glob("*/*.sql"))}
    found = {name: _table(path, frozenset(paths)) for name, path in paths.items()}
    graph = {name: table.reads & found.keys() for name, table in found.items()}
    try:
        return {name: found[name] for name in TopologicalSorter(graph).static_order()}
    except CycleError as error:
        raise TableError(f"tables read each other in a circle: {' → '.join(error.args[1])}") from error


def table(name: str) -> Table:
    """The table of that name; UsageError names the nearest."""
    found = tables().get(name)
    if found is None:
        raise UsageError.unknown("table", name, tables())
    return found


def with_inputs(names: Sequence[str]) -> list[str]:
    """Tables of those names, or all, each after those that it reads."""
    everything = tables()
    if not names:
        return list(everything)
    wanted, todo = set(), [table(name).name for name in names]
    while todo:
        name = todo.pop()
        if name not in wanted:
            wanted.add(name)
            todo += everything[name].reads & everything.keys()
    return [name for name in everything if name in wanted]


def known(name: str) -> str:
    """The name of a table that is published, the pipeline's own included."""
    return name if name == "builds" else table(name).name


def _table(path: Path, names: frozenset[str]) -> Table:
    text = path.read_text(encoding="utf-8")
    header = dict(_HEADER.findall(text))
    partition, _, column = header.get("partition", "").partition(" of ")
    _check(path, text, header, partition)
    plain = _COMMENT.sub("", text)
    reads = {part.split()[0] for found in _READS.findall(plain) for part in found.split(",")}
    reads -= set(_DEFINES.findall(plain))
    return Table(
        name=path.stem,
        family=path.parent.name,
        description=text.splitlines()[0].removeprefix("--").strip(),
        grain=header["grain"],
        partition=partition,
        partition_column=column or _COLUMN_OF.get(partition, partition),
        sort=tuple(part.strip() for part in header["sort"].split(",")),
        windows=tuple(_hours(path, part.strip()) for part in header.get("windows", "").split(",") if part.strip()),
        select=text,
        reads=frozenset(reads & (names | {*RECORD_RELATIONS, PRICES})),
        parameters=frozenset(_PARAMETER.findall(_TEXT.sub("", plain))),
        comments=dict(_COLUMN.findall(text[text.rindex("\nSELECT") :] if "\nSELECT" in text else text)),
    )


def _check(path: Path, text: str, header: Mapping[str, str], partition: str) -> None:
    needed = {"grain", "partition", "sort"} | ({"windows"} if partition == "window" else set())
    missing = sorted(needed - header.keys())
    if missing or not text.startswith("-- "):
        raise TableError(f"{path}: its header lacks {', '.join(missing) or 'a description'}")
    if partition not in PARTITIONS:
        raise TableError(f"{path}: partition is {partition}, not one of {', '.join(PARTITIONS)}")


def _hours(path: Path, window: str) -> int:
    if not _WINDOW.fullmatch(window):
        raise TableError(f"{path}: a window is a number of hours or days like 24h or 7d, not {window}")
    return int(window[:-1]) * {"h": 1, "d": 24}[window[-1]]
