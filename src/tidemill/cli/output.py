"""A result on its way out: a table for a person, or csv, json, jsonl, parquet or arrow for a program."""

from __future__ import annotations

import shutil
import sys
import tempfile
from contextlib import nullcontext
from enum import StrEnum
from itertools import zip_longest
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tidemill.errors import UsageError, on_one_line

if TYPE_CHECKING:
    from collections.abc import Sequence

    import duckdb
    import pyarrow as pa

ROWS_ON_A_TERMINAL: Final = 200
DIGITS: Final = 6
GAP: Final = 2
FOLDED: Final = 16
"""How narrow a column of texts may become on a terminal."""


class Format(StrEnum):
    """What a result is written as."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"
    ARROW = "arrow"

    @classmethod
    def of(cls, target: Path | None) -> Format:
        """What a file's name asks for; a table, if it asks for nothing."""
        suffix = target.suffix.removeprefix(".").lower() if target else ""
        return cls(suffix) if suffix in {form.value for form in cls} else cls.TABLE


def write(
    result: duckdb.DuckDBPyRelation | pa.Table,
    form: Format | None,
    target: Path | None,
    above: pa.Table | None = None,
) -> None:
    """Write a result to a file, or to standard output; as what the file's name asks for, if no format is given.

    `above` stands above the result for a person, and nowhere else.

    Raises:
        UsageError: the file cannot be written.
        TidemillError: a query failed while it was read.
    """
    form = form or Format.of(target)
    try:
        if form is Format.TABLE and target is None:
            sys.stdout.write(_text(result, above, on_terminal=sys.stdout.isatty()))
            sys.stdout.flush()
        else:
            _deliver(result, form, target, above)
    except BrokenPipeError:
        raise
    except OSError as error:
        raise UsageError(f"{target or 'standard output'} cannot be written: {error.strerror}") from error


def _deliver(
    result: duckdb.DuckDBPyRelation | pa.Table, form: Format, target: Path | None, above: pa.Table | None
) -> None:
    """A file is replaced when its content is whole; what is no file, like a pipe, gets that content."""
    if target and (target.is_file() or not target.exists()):
        place = target.resolve()
        with tempfile.TemporaryDirectory(prefix=".tidemill-", dir=place.parent) as folder:
            _save(result, form, Path(folder, "result"), above).replace(place)
        return
    with tempfile.TemporaryDirectory() as folder:
        made = _save(result, form, Path(folder, "result"), above)
        with made.open("rb") as file, target.open("wb") if target else nullcontext(sys.stdout.buffer) as out:
            shutil.copyfileobj(file, out)
            out.flush()


def _save(result: duckdb.DuckDBPyRelation | pa.Table, form: Format, path: Path, above: pa.Table | None) -> Path:
    from tidemill.engine import export

    if form is Format.TABLE:
        path.write_text(_text(result, above, on_terminal=False), encoding="utf-8")
    else:
        export.write(result, form.value, path)
    return path


def _text(result: duckdb.DuckDBPyRelation | pa.Table, above: pa.Table | None, *, on_terminal: bool) -> str:
    head = "" if above is None else _table(above, on_terminal=on_terminal) + "\n"
    return head + _table(result, on_terminal=on_terminal)


def _table(result: duckdb.DuckDBPyRelation | pa.Table, *, on_terminal: bool) -> str:
    """A result as text: the first rows as wide as the terminal, else all as wide as they are."""
    from tidemill.engine import export

    names, numeric, rows, more = export.head(result, ROWS_ON_A_TERMINAL if on_terminal else None)
    if more:
        sys.stderr.write(f"the first {ROWS_ON_A_TERMINAL} rows are shown; --format csv or --output FILE gives all\n")
    if not rows:
        note("no rows")
    cells = [[_cell(value) for value in row] for row in rows]
    return _fitted(names, numeric, cells) if on_terminal else _aligned(names, numeric, cells)


def _fitted(names: Sequence[str], numeric: Sequence[bool], cells: Sequence[Sequence[str]]) -> str:
    """As wide as the terminal: texts of several words are folded, and if that is not enough each row stands upright."""
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    console, table = Console(), Table(box=None, header_style="bold", pad_edge=False)
    least = 0
    for name, right, column in zip(names, numeric, list(zip(*cells, strict=True)) or [()] * len(names), strict=True):
        fold = not right and any(" " in cell for cell in column)
        width = max(len(line) for cell in (name, *column) for line in cell.splitlines() or [""])
        least += (min(width, FOLDED) if fold else width) + GAP
        table.add_column(Text(name), justify="right" if right else "left", overflow="fold", no_wrap=not fold)
    if least - GAP > console.width:
        return _upright(names, cells)
    for row in cells:
        table.add_row(*map(Text, row))
    with console.capture() as text:
        console.print(table)
    return text.get()


def _upright(names: Sequence[str], cells: Sequence[Sequence[str]]) -> str:
    """Each row as lines of a column's name and its value; without a row, the names."""
    width = max(map(len, names))
    lines = [f"{name:<{width}}" for name in names] if not cells else []
    for number, row in enumerate(cells, 1):
        lines += [f"-- row {number}", *(f"{name:<{width}}  {cell}" for name, cell in zip(names, row, strict=True))]
    return "".join(line.rstrip() + "\n" for line in lines)


def _aligned(names: Sequence[str], numeric: Sequence[bool], cells: Sequence[Sequence[str]]) -> str:
    lines = [part for row in [names, *cells] for part in zip_longest(*map(str.splitlines, row), fillvalue="")]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    shape = "  ".join(f"{{:{'>' if right else '<'}{width}}}" for right, width in zip(numeric, widths, strict=True))
    return "".join(shape.format(*line).rstrip() + "\n" for line in lines)


def _cell(value: Any) -> str:  # noqa: ANN401 - a value of any SQL type
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        whole = 10**DIGITS <= abs(value) < 1e15  # noqa: PLR2004 - beyond it digits say nothing
        return f"{value:,.0f}" if whole else f"{value:,.{DIGITS}g}"
    return str(value)


def note(text: str) -> None:
    """A notice for a person, beside the result."""
    sys.stderr.write(on_one_line(text) + "\n")
