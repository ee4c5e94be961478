"""A load's raw records as relations, whatever layout they stand in."""

from __future__ import annotations

import csv
import io
from typing import TYPE_CHECKING

from tidemill.errors import SourceError
from tidemill.ingest.sql import columns as sql_columns
from tidemill.ingest.sql import lines as sql_lines
from tidemill.sources.files import MAX_DOCUMENT_BYTES, Layout, opened, reading
from tidemill.sources.sanitizing import too_large

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.ingest.load import Load
    from tidemill.sources.files import Portion


def numbered(connection: DuckDBPyConnection, load: Load) -> str:
    """The select of (line, raw) over a load's records, for looking some up again."""
    if load.layout is Layout.CSV or load.layout is Layout.PARQUET:
        return columns(connection, load).numbered
    return lines(connection, load, numbered=True)


def lines(connection: DuckDBPyConnection, load: Load, *, numbered: bool, path: Path | None = None) -> str:
    """The select of (line, raw) over JSON records, or those of a part; line is NULL where it is not asked for."""
    if load.portion is None:
        return sql_lines.texts(connection, load.texts)
    if load.layout is Layout.DOCUMENT:
        return sql_lines.document(connection, _document(load.portion))
    compression = "none" if load.spooled else load.portion.compression
    if not numbered:
        return sql_lines.unnumbered(
            str(path or load.readable), compression=compression, long=load.spooled, lenient=load.lenient
        )
    if not load.spooled and not load.looked_over:
        connection.execute(sql_lines.look_over(load.readable, compression=compression))
        load.looked_over = True
    counted = sql_lines.lines(load.readable, offset=load.portion.first_line, compression=compression, long=load.spooled)
    return (
        counted if load.large else sql_lines.texts(connection, counted)
    )  # only counting takes one thread, if it ends there


def _document(portion: Portion) -> str:
    with reading(portion.path), opened(portion.path, portion.compression) as file:
        content = file.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        message = f"{portion.path} is a JSON document of more than 64 MiB; write it as JSON lines (.jsonl)"
        raise SourceError(message)
    return content.decode("utf-8-sig", errors="backslashreplace") if content.strip() else "[]"


def columns(connection: DuckDBPyConnection, load: Load) -> sql_columns.Columns:
    """The rows of a CSV or Parquet file."""
    if load.layout is Layout.PARQUET:
        found = sql_columns.parquet(connection, load.readable)
        if load.portion:
            _check_expansion(connection, load, load.portion, found)
        return found
    compression = "none" if load.spooled or load.portion is None else load.portion.compression
    names, delimiter = _header(load)
    rejected = str(load.rejected) if load.rejected.exists() else None
    return sql_columns.csv(load.readable, names, delimiter=delimiter, compression=compression, rejected=rejected)


def _check_expansion(connection: DuckDBPyConnection, load: Load, portion: Portion, found: sql_columns.Columns) -> None:
    """Refuse a Parquet file of few bytes that stand for many, before anything is made of it."""
    for select in (sql_columns.parquet_bytes(load.readable), found.text_bytes):
        ((size,),) = connection.execute(select).fetchall()
        if size > load.most_bytes:
            raise too_large(portion, load.most_bytes)


def _header(load: Load) -> tuple[list[str], str]:
    portion = load.portion
    if portion is None:
        return [], ","
    with reading(portion.path), opened(portion.path, portion.compression) as file:
        first = io.StringIO(file.read(1 << 20).decode("utf-8-sig", errors="replace"), newline=None)
    line = first.readline()
    first.seek(0)
    delimiter = max(",;\t|", key=line.count)
    names = next(csv.reader(first, delimiter=delimiter), [])
    fault = _header_fault(names)
    if fault:
        message = f"{load.uri}: the header {fault}; name each column once, in the first line"
        raise SourceError(message)
    return names, delimiter


def _header_fault(names: Sequence[str]) -> str | None:
    """What is wrong with a CSV file's names; upper and lower case are the same to the engine."""
    if not names:
        return "is missing"
    if not all(name.strip() for name in names):
        return "has a column without a name"
    lower = [name.lower() for name in names]
    twice = [name for name in names if lower.count(name.lower()) > 1]
    return f"names {twice[0]} twice" if twice else None
