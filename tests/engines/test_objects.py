"""Numbers that are parsed as such are what their texts would have given."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.conftest import event
from tidemill.engine.connection import connect
from tidemill.engine.quoting import identifier, literal
from tidemill.ingest.sql import json_objects, validation
from tidemill.records import EVENT, NUMBERS

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

NAMES = [column.name for column in EVENT.columns if column.type in NUMBERS]
AWKWARD = [
    "true", "false", "null", "0", "1", "-0", "-0.0", "0.0", "1.0", "12.5", "-1", "1e400", "-1e400", "1e15", "1e12",
    "1000000000001", "9007199254740993", "12345678901234567890", "123456789012345678901234567890", "1e-320",
    '"12"', '"12.5"', '" 5 "', '"true"', '"abc"', '""', '"NaN"', '"inf"', '"0x10"', '"1e3"', '"1_000"',
    "[]", "[1]", "{}", '{"a": 1}', '"\\u0031"',
]  # fmt: skip
VALUES = st.sampled_from(AWKWARD) | st.floats().map(json.dumps) | st.integers(-(10**20), 10**20).map(str)


@pytest.fixture(scope="module")
def connection() -> Iterator[DuckDBPyConnection]:
    """A connection with the contracts' macros."""
    with connect(threads=1) as found:
        found.execute(validation.MACROS)
        yield found


def checked(connection: DuckDBPyConnection, fields: str, parsed: frozenset[str] = frozenset()) -> list[tuple[object]]:
    """A record's numbers and refusal, and the attributes of one that is not refused."""
    select = validation.checked(EVENT, fields, source="s", load_id="l", timezone="UTC", parsed=parsed)
    columns = ", ".join(identifier(name) for name in (*NAMES, "refusal"))
    kept = "CASE WHEN refusal IS NULL THEN attributes END"
    return connection.execute(f"SELECT {columns}, {kept} FROM ({select})").fetchall()


@settings(deadline=None, max_examples=50)
@given(st.dictionaries(st.sampled_from([*NAMES, "other"]), VALUES, max_size=4))
def test_a_parsed_number_is_what_its_text_says(connection: DuckDBPyConnection, values: dict[str, str]) -> None:
    """Whatever stands in the place of a number, and beside it."""
    known = [f"{json.dumps(name)}: {json.dumps(value)}" for name, value in event().items()]
    raw = f"{{{', '.join(known + [f'{json.dumps(name)}: {value}' for name, value in values.items()])}}}"
    line = f"SELECT 1 AS line, {literal(raw)} AS raw"
    if not connection.execute(f"SELECT json_valid(raw) FROM ({line})").fetchall()[0][0]:
        return  # NaN and infinities are no JSON
    texts = ", ".join(f"json_extract_string(raw, {literal('$.' + n)}) AS {identifier(n)}" for n in EVENT.names)
    others = "json_object('other', json_extract(raw, '$.other'))" if values.get("other", "null") != "null" else "'{}'"
    plain = f"SELECT *, {texts}, {others}::VARCHAR AS attributes, NULL::VARCHAR AS problem, NULL::BIGINT AS raw_bytes"
    found = json_objects.native_objects(EVENT, line, timestamp=None)
    assert repr(checked(connection, found.select, found.parsed)) == repr(checked(connection, f"{plain} FROM ({line})"))
