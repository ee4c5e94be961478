"""What a text is worth as a value: taken, cut, or refused with its field and its reason."""

from __future__ import annotations

import json
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

import pytest

from tests.conftest import event, job, metric
from tidemill.engine.connection import connect
from tidemill.engine.quoting import identifier
from tidemill.ingest.sql import validation
from tidemill.records import CONTRACTS, MAX_TEXT_BYTES

if TYPE_CHECKING:
    from collections.abc import Iterator

    from duckdb import DuckDBPyConnection

    from tests.conftest import Row

MAKE = {"job": job, "event": event, "metric": metric}
KIB_64 = "x" * MAX_TEXT_BYTES


@pytest.fixture(scope="module")
def connection() -> Iterator[DuckDBPyConnection]:
    """A connection with the contracts' macros."""
    with connect(threads=1) as found:
        found.execute(validation.MACROS)
        yield found


def checked(connection: DuckDBPyConnection, record: str, given: Row, timezone: str = "UTC", **options: str) -> Row:
    """A record, good but for what is given as text, as the contract stores it, with its refusal."""
    kind = CONTRACTS[record]
    texts = {name: None if value is None else str(value) for name, value in (MAKE[record]() | given).items()}
    columns = ", ".join(f"${name}::VARCHAR AS {identifier(name)}" for name in (*kind.names, "attributes"))
    fields = f"SELECT 1 AS line, NULL AS raw, {columns}, NULL::VARCHAR AS problem, NULL::BIGINT AS raw_bytes"
    select = validation.checked(kind, fields, source="s", load_id="l", timezone=timezone, **options)
    relation = connection.execute(select, dict.fromkeys((*kind.names, "attributes")) | texts)
    (row,) = relation.fetchall()
    return dict(zip([column[0] for column in relation.description or ()], row, strict=True))


def fault(row: Row) -> tuple[str, str] | None:
    """Field and reason of a refused record."""
    return (row["refusal"]["field"], row["refusal"]["reason"]) if row["refusal"] else None


def at(*parts: int) -> datetime:
    """A moment of UTC."""
    return datetime(*parts, tzinfo=UTC)  # type: ignore[misc, arg-type]


NOON = at(2026, 2, 10, 12)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-02-10T12:00:00Z", NOON),
        ("2026-02-10T12:00:00z", NOON),
        ("2026-02-10t12:00:00z", NOON),
        ("2026-02-10 12:00:00", NOON),
        ("2026-02-10 12:00", NOON),
        ("2026-02-10T12:00:00+00:00", NOON),
        ("2026-02-10T12:00:00-00:00", NOON),
        ("2026-02-10T12:00:00 UTC", NOON),
        (" 2026-02-10T12:00:00Z ", NOON),
        ("2026/02/10 12:00:00", NOON),
        ("2026-02-10", at(2026, 2, 10)),
        ("2026-02-10T24:00:00Z", at(2026, 2, 11)),
        ("2026-02-10T12:00:00+0530", at(2026, 2, 10, 6, 30)),
        ("2026-02-10T12:00:00+05:30", at(2026, 2, 10, 6, 30)),
        ("2026-02-10T12:00:00 -0500", at(2026, 2, 10, 17)),
        ("2026-02-10T12:00:00-05", at(2026, 2, 10, 17)),
        ("2026-02-10T12:00:00.5Z", at(2026, 2, 10, 12, 0, 0, 500_000)),
        ("2026-02-10T12:00:00,5Z", at(2026, 2, 10, 12, 0, 0, 500_000)),
        ("2026-02-10T12:00:00.1234569Z", at(2026, 2, 10, 12, 0, 0, 123_456)),
        ("2026-02-10T12:00:00.999999999Z", at(2026, 2, 10, 12, 0, 0, 999_999)),
        ("2026-02-10T12:00:00.999999999+0100", at(2026, 2, 10, 11, 0, 0, 999_999)),
        ("1970-01-01T00:00:00Z", at(1970, 1, 1)),
        ("1970-01-01T01:00:00+01:00", at(1970, 1, 1)),
        ("2199-12-31T23:59:59.999999Z", at(2199, 12, 31, 23, 59, 59, 999_999)),
    ],
)
def test_timestamps_are_taken_in_many_spellings(connection: DuckDBPyConnection, text: str, expected: datetime) -> None:
    """ISO 8601 and RFC 3339 in their variants; digits beyond microseconds are cut, not rounded."""
    row = checked(connection, "event", {"timestamp": text})
    assert (row["timestamp"], fault(row)) == (expected, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((text, "out of range") for text in (
            "0001-01-01T00:00:00Z", "9999-12-31T23:59:59Z", "1969-12-31T23:59:59.999999Z", "2200-01-01T00:00:00Z",
            "1970-01-01T00:00:00+01:00", "-infinity", "0044-03-15 (BC)",
        )),
        *((text, "not a timestamp") for text in (
            "epoch", "2026-02-10T12:00:00+99:00", "2026-02-10 12:00-1530", "2026-02-10T12:00:00.5+20",
            "1770724800", "1770724800000", "1770724800.5", "now", "today", "yesterday", "2026", "2026-02",
            "20260210T120000Z", "10.02.2026", "02/10/2026", "2026-02-30", "2026-13-01", "2026-02-10T25:00:00Z",
            "2026-02-10T12:00:00Zx", "Tue, 10 Feb 2026 12:00:00 GMT", "2026-02-10 12:00:00 PM", "noon", "{}",
            "infinity",
        )),
        *((text, "missing") for text in ("", None)),
    ],
)  # fmt: skip
def test_what_is_no_timestamp_is_refused(connection: DuckDBPyConnection, text: str | None, reason: str) -> None:
    """Years out of 1970 to 2199, seconds and milliseconds, words and other calendars' dates are said to be so."""
    assert fault(checked(connection, "event", {"timestamp": text})) == ("timestamp", reason)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("2026-02-10T12:00:00", at(2026, 2, 10, 11)),
        ("2026-02-10T12:00:00,25", at(2026, 2, 10, 11, 0, 0, 250_000)),
        ("2026-02-10T12:00:00.123456789", at(2026, 2, 10, 11, 0, 0, 123_456)),
        ("2026-07-10 12:00", at(2026, 7, 10, 10)),
        ("2026-02-10", at(2026, 2, 9, 23)),
        ("2026-02-10T12:00:00z", NOON),
        ("2026-02-10T12:00:00+0530", at(2026, 2, 10, 6, 30)),
        ("2026-02-10 12:00:00 UTC", NOON),
        ("2026-03-29 01:59:59", at(2026, 3, 29, 0, 59, 59)),
        ("2026-03-29 02:30", at(2026, 3, 29, 1, 30)),
        ("2026-03-29 03:00", at(2026, 3, 29, 1)),
        ("2026-03-29 02:30+01:00", at(2026, 3, 29, 1, 30)),
        ("2026-10-25 01:59:59", at(2026, 10, 24, 23, 59, 59)),
        ("2026-10-25 02:30", at(2026, 10, 25, 1, 30)),
        ("2026-10-25 02:30+02:00", at(2026, 10, 25, 0, 30)),
        ("2026-10-25 03:00", at(2026, 10, 25, 2)),
    ],
)
def test_a_naive_timestamp_is_local(connection: DuckDBPyConnection, text: str, expected: datetime) -> None:
    """In Berlin: an hour that is skipped moves forward by the gap, one that comes twice is the later."""
    row = checked(connection, "event", {"timestamp": text}, "Europe/Berlin")
    assert (row["timestamp"], fault(row)) == (expected, None)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("12", 12), ("12.0", 12), ("1e3", 1000), ("0", 0), ("-0", 0), (" 12 ", 12), ("1e12", 10**12), (None, None)],
)
def test_integers_are_taken_by_their_value(
    connection: DuckDBPyConnection, text: str | None, expected: int | None
) -> None:
    """Whatever notation an integer comes in, it is one if its value is."""
    row = checked(connection, "event", {"input_tokens": text})
    assert (row["input_tokens"], fault(row)) == (expected, None)


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        *((text, "out of range") for text in ("-1", "1e13", "1000000000001")),
        *(
            (text, "not an integer")
            for text in ("12.5", "1e-1", "nan", "inf", "1e400", "many", "", "0x1F", "1,000", "true")
        ),
    ],
)
def test_what_is_no_integer_in_range_is_refused(connection: DuckDBPyConnection, text: str, reason: str) -> None:
    """A fraction is not rounded, and a count is neither negative nor beyond 1e12."""
    assert fault(checked(connection, "event", {"input_tokens": text})) == ("input_tokens", reason)


@pytest.mark.parametrize(
    ("column", "text", "expected"),
    [
        ("duration_ms", "0.1", 0.1),
        ("duration_ms", "1e15", 1e15),
        ("duration_ms", "5", 5.0),
        ("cost_usd", "1e-300", 1e-300),
        ("value", "-1.5e300", -1.5e300),
        ("value", "0.30000000000000004", 0.30000000000000004),
        ("value", None, None),
        ("ttft_ms", "0", None),
        ("ttft_ms", "0.5", 0.5),
    ],
)
def test_doubles_are_taken_bit_for_bit(
    connection: DuckDBPyConnection, column: str, text: str | None, expected: float | None
) -> None:
    """Amounts are from 0 to 1e15, other values any finite double; a ttft of 0 is none."""
    row = checked(connection, "event", {column: text})
    assert (row[column], fault(row)) == (expected, None)


@pytest.mark.parametrize(
    ("column", "text", "reason"),
    [
        *(("duration_ms", text, "out of range") for text in ("-0.1", "nan", "NaN", "inf", "-inf", "1e400", "1.1e15")),
        *(("value", text, "not finite") for text in ("nan", "inf", "-Infinity", "1e400")),
        *(("value", text, "not a number") for text in ("fast", "", "1,5", "true", "[1]")),
    ],
)
def test_what_is_no_double_in_range_is_refused(
    connection: DuckDBPyConnection, column: str, text: str, reason: str
) -> None:
    """NaN and the infinities are never stored."""
    assert fault(checked(connection, "event", {column: text})) == (column, reason)


@pytest.mark.parametrize(
    ("text", "expected"),
    [("true", True), ("True", True), ("1", True), ("f", False), ("FALSE", False), ("0", False), (None, None)],
)
def test_booleans_are_taken_in_their_usual_spellings(
    connection: DuckDBPyConnection, text: str | None, *, expected: bool | None
) -> None:
    """Words, letters and digits; null stays unknown."""
    row = checked(connection, "event", {"success": text})
    assert (row["success"], fault(row)) == (expected, None)


@pytest.mark.parametrize("text", ["maybe", "2", "", "1.0", "{}"])
def test_what_is_no_boolean_is_refused(connection: DuckDBPyConnection, text: str) -> None:
    """Anything else is not one."""
    assert fault(checked(connection, "event", {"success": text})) == ("success", "not a boolean")


@pytest.mark.parametrize(
    ("word", "given", "expected"),
    [
        ("error_occurred", None, False),
        ("error_occurred", "true", True),
        ("tool_use", None, None),
    ],
)
def test_an_error_is_no_success_unless_it_says_so(
    connection: DuckDBPyConnection, word: str, given: str | None, *, expected: bool | None
) -> None:
    """error_occurred is a failure by default; any other type is unknown."""
    assert checked(connection, "event", {"type": word, "success": given})["success"] is expected


@pytest.mark.parametrize(
    ("given", "total"),
    [
        ((3, 4, None), 7),
        ((3, None, None), 3),
        ((None, 4, None), 4),
        ((3, 4, 9), 9),
        ((None, None, None), None),
        ((0, 0, None), 0),
    ],
)
def test_total_tokens_default_to_the_sum(
    connection: DuckDBPyConnection, given: tuple[int | None, ...], total: int | None
) -> None:
    """Input and output make the total when either is known and no total is given."""
    names = ("input_tokens", "output_tokens", "total_tokens")
    assert checked(connection, "event", dict(zip(names, given, strict=True)))["total_tokens"] == total


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        (None, "{}"),
        ("{}", "{}"),
        ('{"b": "1", "a": "2"}', '{"a":"2","b":"1"}'),
        ('{"b": 1, "a": true, "é": 1.5}', '{"a":"true","b":"1","é":"1.5"}'),
        ('{"a": "[1]", "b": "{}"}', '{"a":"[1]","b":"{}"}'),
        ('{"a": "\\"\\n\\u00e9"}', '{"a":"\\"\\né"}'),
        ('{"a": null, "b": "1"}', '{"b":"1"}'),
        ('{"b~1/c": "x", "a/b": "y", "$.*": "z"}', '{"$.*":"z","a/b":"y","b~1/c":"x"}'),
        ('{"a": "1", "a": "2"}', '{"a":"1"}'),
        ('{"": "x", "A": "y", "a": "z"}', '{"":"x","A":"y","a":"z"}'),
    ],
)
def test_labels_become_text_with_sorted_keys(connection: DuckDBPyConnection, text: str | None, expected: str) -> None:
    """Numbers and booleans become text, keys are in order, null ones are left out, of two equal keys one stands."""
    row = checked(connection, "metric", {"labels": text})
    assert (row["labels"], fault(row)) == (expected, None)


@pytest.mark.parametrize("text", ['{"a": {"b": 1}}', '{"a": [1]}', "[]", '"x"', "5", "null", "", "{"])
def test_what_is_no_flat_object_is_no_labels(connection: DuckDBPyConnection, text: str) -> None:
    """Nested objects, arrays and anything that is not an object are refused."""
    assert fault(checked(connection, "metric", {"labels": text})) == ("labels", "not an object of text")


@pytest.mark.parametrize(
    ("text", "reason"),
    [
        (KIB_64, None),
        (KIB_64 + "x", "too long"),
        ("é" * (MAX_TEXT_BYTES // 2), None),
        ("é" * (MAX_TEXT_BYTES // 2) + "x", "too long"),
    ],
    ids=["64 KiB", "one more", "two bytes each", "one byte more"],
)
def test_text_is_up_to_64_kib(connection: DuckDBPyConnection, text: str, reason: str | None) -> None:
    """The limit is in bytes, inclusive, for each field by itself."""
    found = fault(checked(connection, "event", {"message": text, "text": KIB_64}))
    assert found == (("message", reason) if reason else None)


@pytest.mark.parametrize(
    ("record", "column"),
    [(kind.record, column.name) for kind in CONTRACTS.values() for column in kind.columns if column.required],
)
@pytest.mark.parametrize("value", [None, ""], ids=["null", "empty"])
def test_what_a_record_must_have_is_missed(
    connection: DuckDBPyConnection, record: str, column: str, value: str | None
) -> None:
    """A required column that is null or empty is missing."""
    assert fault(checked(connection, record, {column: value})) == (column, "missing")


def test_a_job_without_created_at_waits(connection: DuckDBPyConnection) -> None:
    """created_at may be missing: the record is no refusal, but has no day yet; an empty one is no timestamp."""
    row = checked(connection, "job", {"created_at": None, "started_at": "2026-02-10"})
    assert (row["day"], row["observed_at"], fault(row)) == (None, None, None)
    assert fault(checked(connection, "job", {"created_at": ""})) == ("created_at", "not a timestamp")


def test_an_empty_text_is_not_null(connection: DuckDBPyConnection) -> None:
    """A text that may be missing may also be empty, which is another thing."""
    row = checked(connection, "event", {"name": "", "user_id": None})
    assert (row["name"], row["user_id"], fault(row)) == ("", None, None)


def test_the_first_fault_in_the_contracts_order_is_the_reason(connection: DuckDBPyConnection) -> None:
    """Of several faults one is told, always the same."""
    given = {"cost_usd": "x", "success": "x", "attributes": "[]"}
    assert fault(checked(connection, "event", given)) == ("success", "not a boolean")
    assert fault(checked(connection, "event", {"attributes": "[]"})) == ("attributes", "not an object")


@pytest.mark.parametrize("kind", ["gauge", "counter", "delta", None])
def test_a_metric_is_of_one_of_three_kinds(connection: DuckDBPyConnection, kind: str | None) -> None:
    """A gauge, if it does not say."""
    assert checked(connection, "metric", {"kind": kind})["kind"] == (kind or "gauge")
    assert fault(checked(connection, "metric", {"kind": "histogram"})) == ("kind", "not one of gauge, counter, delta")


@pytest.mark.parametrize(
    ("given", "status"),
    [
        ("SUCCESS", "completed"),
        (" Finished ", "completed"),
        ("Errored", "failed"),
        ("started", "running"),
        ("odd", "odd"),
    ],
)
def test_a_status_is_normalised(connection: DuckDBPyConnection, given: str, status: str) -> None:
    """Synonyms, in any case and with space around them; other words in lower case."""
    assert checked(connection, "job", {"status": given})["status"] == status


def test_a_derived_id_depends_on_what_is_stored(connection: DuckDBPyConnection) -> None:
    """Equal values in other spellings give the same id; another source, value or attribute gives another."""

    def derived(**given: Any) -> str:
        return str(checked(connection, "event", given)["id"])

    assert derived(timestamp="2026-02-10 13:00:00+01", input_tokens="3.0") == derived(input_tokens="3")
    assert len({derived(), derived(name="x"), derived(attributes='{"a":1}'), derived(name="")}) == 4
    assert derived(id="own") == "own"


def test_a_prefix_stands_before_the_ids_of_a_home(connection: DuckDBPyConnection) -> None:
    """It makes ids of other sources differ; a missing one stays missing, and a metric has none."""
    row = checked(connection, "event", {"id": "1", "user_id": "u", "job_id": None}, id_prefix="p-")
    assert (row["id"], row["user_id"], row["job_id"]) == ("1", "p-u", None)
    assert checked(connection, "job", {"workflow_id": "w"}, id_prefix="p-")["job_id"] == "p-j1"


def test_attributes_are_stored_as_they_are(connection: DuckDBPyConnection) -> None:
    """A JSON object, {} when there is none."""
    assert checked(connection, "event", {})["attributes"] == "{}"
    text = checked(connection, "event", {"attributes": '{"b":1,"a":[null]}'})["attributes"]
    assert json.loads(text) == {"b": 1, "a": [None]}
