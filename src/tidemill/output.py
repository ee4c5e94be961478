"""A result on its way out: a table for a person, or csv, json, jsonl, parquet or arrow for a program."""

from __future__ import annotations

import shutil
import sys
import tempfile
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tidemill.errors import UsageError

if TYPE_CHECKING:
    import duckdb
    import pyarrow as pa

ROWS_ON_A_TERMINAL: Final = 200
DIGITS: Final = 6


class Format(StrEnum):
    """What a result is written as."""

    TABLE = "table"
    CSV = "csv"
    JSON = "json"
    JSONL = "jsonl"
    PARQUET = "parquet"
    ARROW = "arrow"


def write(result: duckdb.DuckDBPyRelation | pa.Table, form: Format, target: Path | None) -> None:
    """Write a result to a file, or to standard output."""
    if form is Format.TABLE:
        _print(result, target)
        return
    from tidemill.engines import export

    with tempfile.TemporaryDirectory() as folder:
        beside = Path(folder) / "result" if target is None else target.with_name(f".{target.name}.part")
        try:
            export.write(result, form.value, beside)
            if target is None:
                with beside.open("rb") as file:
                    shutil.copyfileobj(file, sys.stdout.buffer)
                sys.stdout.flush()
            else:
                beside.replace(target)
        except OSError as error:
            raise UsageError(f"{target or 'standard output'} cannot be written: {error.strerror}") from error


def _print(result: duckdb.DuckDBPyRelation | pa.Table, target: Path | None) -> None:
    from rich.console import Console
    from rich.table import Table

    from tidemill.engines import export

    names, numeric, rows, more = export.head(result, ROWS_ON_A_TERMINAL)
    table = Table(box=None, header_style="bold", pad_edge=False)
    for name, right in zip(names, numeric, strict=True):
        table.add_column(name, justify="right" if right else "left", overflow="fold")
    for row in rows:
        table.add_row(*(_cell(value) for value in row))
    if target:
        with target.open("w", encoding="utf-8") as file:
            Console(file=file, width=10_000, no_color=True).print(table)
    else:
        width = None if sys.stdout.isatty() else 10_000
        Console(width=width, soft_wrap=False).print(table)
    if more:
        sys.stderr.write(f"{ROWS_ON_A_TERMINAL} rows are shown, there are more: --format csv or --output FILE has all\n")


def _cell(value: Any) -> str:  # noqa: ANN401 - a value of any SQL type
    if value is None:
        return ""
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, float):
        return f"{value:,.{DIGITS}g}" if abs(value) < 1e15 else f"{value:g}"  # noqa: PLR2004 - beyond it digits say nothing
    return str(value)
