"""The tables that there are: their headers, what each reads, and the order in which they can be built."""

from __future__ import annotations

import re
from dataclasses import dataclass
from functools import cache
from graphlib import CycleError, TopologicalSorter
from typing import TYPE_CHECKING, Final

from tidemill.catalog.system_tables import OWN
from tidemill.config.duration import PERIODS, hours
from tidemill.config.resources import sql_folder
from tidemill.errors import TableError, UsageError
from tidemill.records import CONTRACTS

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

PRICES: Final = "prices"
RECORD_RELATIONS: Final = tuple(contract.table for contract in CONTRACTS.values())
PARTITIONS: Final = (*PERIODS, "window", "none")
WINDOW_KEY: Final = ("window_hours", "as_of")
ONE_ROW: Final = "one row"
"""How the grain begins of a table that never has more than one."""
_COLUMN_OF: Final = {"week": "week_start", "month": "month_start"}

_HEADER = re.compile(r"^--\s*(grain|key|partition|sort|windows|before):\s*(.+?)\s*$", re.MULTILINE)
_COMMA = re.compile(r",(?![^(]*\))")
_COMMENT = re.compile(r"--[^\n]*")
_NAME: Final = r"[A-Za-z_][\w.]*"
_READS = re.compile(
    rf"\b(?:(?<!DISTINCT\s)FROM|JOIN)\s+({_NAME}(?:(?:\s+[A-Za-z_]\w*){{0,2}}\s*,\s*{_NAME})*)", re.IGNORECASE
)
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
    key: tuple[str, ...]
    partition: str
    partition_column: str
    sort: tuple[str, ...]
    windows: tuple[int, ...]
    before: bool
    select: str
    reads: frozenset[str]
    parameters: frozenset[str]
    comments: Mapping[str, str]

    @property
    def file(self) -> str:
        """Its SQL file, as messages name it."""
        return f"sql/tables/{self.family}/{self.name}.sql"

    @property
    def records(self) -> list[str]:
        """Which of jobs, events and metrics it reads itself."""
        return [name for name in RECORD_RELATIONS if name in self.reads]

    def stretch(self, hours: int) -> int:
        """How many hours up to as_of it is given for a window: twice as many, if it reads the window before too."""
        return 2 * hours if self.before else hours


@cache
def tables() -> Mapping[str, Table]:
    """Every table by name, each after those that it reads."""
    return read(sql_folder() / "tables")


@cache
def readers() -> Mapping[str, Table]:
    """The selects that only readers run, over a window of their own and over published tables."""
    return read(sql_folder() / "readers", frozenset(tables()))


def read(folder: Path, beside: frozenset[str] = frozenset()) -> Mapping[str, Table]:
    """The tables of a folder of <family>/<table>.sql, each after those that it reads, of others `beside`, too.

    Raises:
        TableError: a header is not one, or tables read each other in a circle.
    """
    paths = {path.stem: path for path in sorted(folder.glob("*/*.sql"))}
    found = {name: _table(path, beside.union(paths)) for name, path in paths.items()}
    graph = {name: table.reads & found.keys() for name, table in found.items()}
    try:
        return {name: found[name] for name in TopologicalSorter(graph).static_order()}
    except CycleError as error:
        raise TableError(f"tables read each other in a circle: {' → '.join(error.args[1])}") from error


def table(name: str) -> Table:
    """The table of that name; UsageError names the nearest."""
    found = tables().get(name)
    record = name.removeprefix("lake.")
    if found is None and record in RECORD_RELATIONS:
        raise UsageError(f'{record} are records, not a table; ask for them with: tidemill query "FROM lake.{record}"')
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


def is_of_days(table: Table) -> bool:
    """Whether it is built whole, and from day tables alone: of fewer days it is as it was known then."""
    everything = tables()
    return table.partition == "none" and all(
        name in everything and everything[name].partition == "day" for name in table.reads
    )


def known(name: str) -> str:
    """The name of a table that is published, the pipeline's own included."""
    return name if name in OWN else table(name).name


def relations_of(text: str) -> set[str]:
    """The names that a select reads from, without those that it defines itself; of `lake.loads` it is `lake`."""
    plain = _COMMENT.sub("", text)
    named = {part.split()[0].partition(".")[0] for found in _READS.findall(plain) for part in found.split(",")}
    return named - set(_DEFINES.findall(plain))


def _table(path: Path, names: frozenset[str]) -> Table:
    text = path.read_text(encoding="utf-8")
    header = dict(_HEADER.findall(text))
    partition = header.get("partition", "").partition(" of ")[0]
    _check(path, text, header, partition)
    plain = _COMMENT.sub("", text)
    return Table(
        name=path.stem,
        family=path.parent.name,
        description=text.splitlines()[0].removeprefix("--").strip(),
        grain=header["grain"],
        key=_key(header, partition),
        partition=partition,
        partition_column=_column(header),
        sort=tuple(part.strip() for part in _COMMA.split(header["sort"])),
        windows=tuple(_hours(path, part.strip()) for part in header.get("windows", "").split(",") if part.strip()),
        before="before" in header,
        select=text,
        reads=frozenset(relations_of(text) & (names | {*RECORD_RELATIONS, PRICES})),
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
    column = _column(header)
    if partition in PERIODS and header["sort"].split(",")[0].strip() != column:
        raise TableError(f"{path}: its sort does not begin with {column}, by which its files are cut")
    if header.get("before", "1") != "1" or ("before" in header and partition != "window"):
        raise TableError(f"{path}: before is 1, of a window table, or is not there")


def _column(header: Mapping[str, str]) -> str:
    """The column that says which period a row is of."""
    partition, _, column = header["partition"].partition(" of ")
    return column or _COLUMN_OF.get(partition, partition)


def _key(header: Mapping[str, str], partition: str) -> tuple[str, ...]:
    """The columns of which no two rows have the same values: those of `key:`, else of the grain; none of one row."""
    named = header.get("key", header["grain"])
    columns = [] if named.startswith(ONE_ROW) else [part.strip() for part in named.split(",")]
    if partition == "window":
        return (*WINDOW_KEY, *(column for column in columns if column not in {"window", *WINDOW_KEY}))
    return tuple(columns)


def _hours(path: Path, window: str) -> int:
    found = hours(window)
    if found is None:
        raise TableError(f"{path}: a window is a number of hours or days like 24h or 7d, not {window}")
    return found
