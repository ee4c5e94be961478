"""The user's prices, a file that is written by hand: read whole, checked row by row, and bound as a relation."""

from __future__ import annotations

import csv
from typing import TYPE_CHECKING, Final

from tidemill.engine import relations
from tidemill.engine.quoting import identifier
from tidemill.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from duckdb import DuckDBPyConnection

COLUMNS: Final = {
    "provider": "VARCHAR",
    "model": "VARCHAR",
    "valid_from": "TIMESTAMP WITH TIME ZONE",
    "input_per_1m_usd": "DOUBLE",
    "output_per_1m_usd": "DOUBLE",
}

_TEXTS: Final = identifier("texts of prices")
_CAST: Final = ", ".join(
    f"TRY_CAST(nullif(trim({name}), '') AS {kind}) AS {name}" for name, kind in COLUMNS.items() if kind != "VARCHAR"
)
_PRICES: Final = f"SELECT * REPLACE ({_CAST}) FROM {_TEXTS}"
_FIRST_FAULT: Final = f"""
    SELECT line, CASE
        WHEN trim(prices.model) = '' THEN 'model is missing'
        WHEN isfinite(prices.valid_from) IS NOT TRUE THEN concat('valid_from is no time: ', texts.valid_from)
        WHEN trim(texts.input_per_1m_usd) <> ''
            AND (prices.input_per_1m_usd >= 0 AND isfinite(prices.input_per_1m_usd)) IS NOT TRUE
            THEN concat('input_per_1m_usd is no price: ', texts.input_per_1m_usd)
        WHEN trim(texts.output_per_1m_usd) <> ''
            AND (prices.output_per_1m_usd >= 0 AND isfinite(prices.output_per_1m_usd)) IS NOT TRUE
            THEN concat('output_per_1m_usd is no price: ', texts.output_per_1m_usd)
    END AS fault
    FROM {_TEXTS} AS texts
    JOIN ({_PRICES}) AS prices USING (line)
    WHERE fault IS NOT NULL
    ORDER BY line
    LIMIT 1
"""


def bind(connection: DuckDBPyConnection, name: str, file: Path) -> None:
    """Bind the prices of a file by a name; none when there is no such file.

    Provider and prices may be empty. A time without an offset is of UTC.

    Raises:
        UsageError: the file is no table of prices; the message names its first bad line.
    """
    if not file.exists():
        relations.bind(connection, name, relations.nothing(COLUMNS))
        return
    lists = ", ".join(f"unnest(${column}::VARCHAR[]) AS {column}" for column in COLUMNS)
    connection.execute(
        f"CREATE OR REPLACE TEMP TABLE {_TEXTS} AS SELECT unnest($line::BIGINT[]) AS line, {lists}", _read(file)
    )
    for line, fault in connection.execute(_FIRST_FAULT).fetchall():
        raise UsageError(f"{file}, line {line}: {fault}")
    relations.bind(connection, name, f"SELECT {', '.join(COLUMNS)} FROM ({_PRICES})")


def _read(file: Path) -> dict[str, list[object]]:
    """The texts of each column, and the line on which each row ends; lines without any text are no rows."""
    try:
        with file.open(encoding="utf-8-sig", newline="") as lines:
            reader = csv.reader(lines, strict=True)
            try:
                header = next(reader, [])
                rows = [(reader.line_num, *fields) for fields in reader if fields]
            except csv.Error as error:
                raise UsageError(f"{file}, line {reader.line_num}: {error}") from error
    except (OSError, UnicodeDecodeError) as error:
        raise UsageError(f"{file} cannot be read: {error}") from error
    if header != list(COLUMNS):
        raise UsageError(f"{file}: its first line is not {','.join(COLUMNS)}")
    for line, *fields in rows:
        if len(fields) != len(COLUMNS):
            raise UsageError(f"{file}, line {line}: a row has {len(COLUMNS)} fields, not {len(fields)}")
    return {column: [row[place] for row in rows] for place, column in enumerate(("line", *COLUMNS))}
