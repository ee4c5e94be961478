from __future__ import annotations

from datetime import UTC, datetime
from typing import TYPE_CHECKING

import pytest

from tidemill.catalog import prices
from tidemill.engine import connection as engine_connection
from tidemill.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "provider,model,valid_from,input_per_1m_usd,output_per_1m_usd\n"
NEW_YEAR = datetime(2026, 1, 1, tzinfo=UTC)


def bound(folder: Path, text: str | bytes) -> list[tuple[object, ...]]:
    """The rows of a file of prices, as a select sees them."""
    file = folder / "prices.csv"
    file.write_bytes(text if isinstance(text, bytes) else text.encode())
    with engine_connection.connect(threads=1) as connection:
        prices.bind(connection, "prices", file)
        relation = connection.sql("FROM prices")
        assert dict(zip(relation.columns, map(str, relation.types), strict=True)) == prices.COLUMNS
        return [(*row[:2], row[2].astimezone(UTC), *row[3:]) for row in relation.fetchall()]


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("openai,gpt-4*,2026-01-01T00:00:00Z,2.5,10", ("openai", "gpt-4*", NEW_YEAR, 2.5, 10.0)),
        (",m,2026-01-01,0,1e1", ("", "m", NEW_YEAR, 0.0, 10.0)),
        (",m,2026-01-01T01:00:00+01:00,,", ("", "m", NEW_YEAR, None, None)),
        ('"a,b","m ""x""", 2026-01-01 , 1 , ', ("a,b", 'm "x"', NEW_YEAR, 1.0, None)),
    ],
)
def test_a_row_of_prices(tmp_path: Path, line: str, row: tuple[object, ...]) -> None:
    """A provider may be missing, and so may a price; a time without an offset is of UTC."""
    assert bound(tmp_path, HEADER + line) == [row]


@pytest.mark.parametrize(
    "text", ["\ufeff{}{}\n{}\n", "{}\n{}\r\n\n\n{}", "{}{}\r{}\r"], ids=["mark", "mixed ends", "old ends"]
)
def test_a_file_as_editors_write_it(tmp_path: Path, text: str) -> None:
    """With a byte order mark, with any ends of lines, with empty lines, without an end of the last."""
    found = bound(tmp_path, text.format(HEADER, ",a,2026-01-01,1,2", ",b,2026-01-01,1,2"))
    assert [model for _, model, *_ in found] == ["a", "b"]


def test_no_prices_are_no_rows(tmp_path: Path) -> None:
    """In a file without any, and without a file."""
    assert bound(tmp_path, HEADER) == []
    with engine_connection.connect(threads=1) as connection:
        prices.bind(connection, "prices", tmp_path / "there is none.csv")
        assert connection.sql("FROM prices").fetchall() == []


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ("", ": its first line is not provider,model,valid_from,input_per_1m_usd,output_per_1m_usd"),
        (HEADER.replace("provider,model", "model,provider"), ": its first line is not provider,model,"),
        (HEADER + ",a,2026-01-01,1,2\n,b,2026-01-01,1\n,c,x,1,2\n", ", line 3: a row has 5 fields, not 4"),
        (HEADER + "\n\n,a,2026-01-01,1,2,3\n", ", line 4: a row has 5 fields, not 6"),
        (HEADER + "   \n", ", line 2: a row has 5 fields, not 1"),
        (HEADER + ",a,never,1,2\n", ", line 2: valid_from is no time: never"),
        (HEADER + ",a,infinity,1,2\n", ", line 2: valid_from is no time: infinity"),
        (HEADER + ",a,,1,2\n", ", line 2: valid_from is no time: "),
        (HEADER + ", ,2026-01-01,1,2\n", ", line 2: model is missing"),
        (HEADER + ",a,2026-01-01,one,2\n", ", line 2: input_per_1m_usd is no price: one"),
        (HEADER + ",a,2026-01-01,-1,2\n", ", line 2: input_per_1m_usd is no price: -1"),
        (HEADER + ",a,2026-01-01,1,nan\n", ", line 2: output_per_1m_usd is no price: nan"),
        (HEADER + ",a,2026-01-01,1,inf\n", ", line 2: output_per_1m_usd is no price: inf"),
        (HEADER + ',"a\nb",2026-01-01,1,2\n,c,2026-01-01,1,x\n', ", line 4: output_per_1m_usd is no price: x"),
        (HEADER + ",c,2026-01-01,1,y\n,c,2026-01-01,1,x\n", ", line 2: output_per_1m_usd is no price: y"),
        (HEADER + ',a,2026-01-01,1,2\n,"b,2026-01-01,1,2\n', ", line 3: unexpected end of data"),
        (HEADER.encode() + b",\xff,2026-01-01,1,2\n", " cannot be read: 'utf-8' codec can't decode byte 0xff"),
    ],
)
def test_a_bad_row_is_named_by_its_line(tmp_path: Path, text: str | bytes, fault: str) -> None:
    """The first one, with what is wrong with it."""
    with pytest.raises(UsageError) as raised:
        bound(tmp_path, text)
    assert str(raised.value).startswith(f"{tmp_path / 'prices.csv'}{fault}")
