"""A record read by plain Python, as records.md says it: what the engine's reading is compared with.

Where a value is spelt in a way that the dictionary leaves to the engine (`t` as a boolean, hour 24), that is
`UnsureError`: the engine may take or refuse it. Everything else has one answer.
"""

from __future__ import annotations

import json
import math
import re
from datetime import UTC, datetime, timedelta, timezone
from typing import TYPE_CHECKING, Any, Final, Self

from tidemill.records import CONTRACTS, MAX_TEXT_BYTES, STATUSES, Column, Contract, Type

if TYPE_CHECKING:
    from collections.abc import Mapping

Row = dict[str, Any]
_FIRST, _END = datetime(1970, 1, 1, tzinfo=UTC), datetime(2200, 1, 1, tzinfo=UTC)
_INSTANT: Final = re.compile(
    r"(\d{4})-(\d\d)-(\d\d)(?:[T ](\d\d):(\d\d)(?::(\d\d)(?:[.](\d+))?)?(Z|[+-]\d\d(?::?\d\d)?)?)?", re.ASCII
)
_NUMBER: Final = re.compile(r"-?\d+([.]\d*)?([eE][+-]?\d+)?", re.ASCII)
_TOKEN: Final = re.compile(
    r'("(?:[^"\\]|\\.)*")|(,)(?=[ \t\r\n]*[}\]])|(?<![\w.])(-?)(nan|inf(?:inity)?)(?![\w.])', re.IGNORECASE
)
_WORDS: Final = {"t", "f", "1", "0", "yes", "no", "y", "n"}


class UnsureError(Exception):
    """What the engine makes of a value is left to it."""


class RefusedError(Exception):
    """A record that is not one."""


class Nested(str):
    """The JSON of an object or a list, of which only the meaning counts."""

    __slots__ = ()


def json_object(line: bytes) -> _Object:
    """A line's JSON object. The engine's reader also takes a comma after the last member, and nan and inf as words."""
    try:
        text = line.decode()
    except UnicodeDecodeError as error:
        raise RefusedError from error
    found = _loads(text)
    if not isinstance(found, _Object):
        raise RefusedError
    return found


def _loads(text: str) -> Any:
    try:
        found = json.loads(text, object_pairs_hook=_once, parse_float=_Number, parse_int=_whole, parse_constant=_Word)
        if "\\ud" in text.lower():  # half a surrogate pair is no text
            json.dumps(json.loads(text, object_pairs_hook=list), ensure_ascii=False).encode()
    except (UnicodeEncodeError, RecursionError) as error:
        raise RefusedError from error
    except ValueError as error:
        mended = _TOKEN.sub(_mend, text)
        if mended == text:
            raise RefusedError from error
        return _loads(mended)
    return found


def _mend(match: re.Match[str]) -> str:
    if match[1]:
        return match[1]
    if match[4]:
        raise UnsureError
    before = match.string[: match.start()].rstrip(" \t\r\n")[-1:]
    return "," if before in "[{,:" else ""


class _Object(dict[str, Any]):
    """A JSON object; of a field that it names twice the first value counts."""

    repeated: frozenset[str] = frozenset()


def _once(pairs: list[tuple[str, Any]]) -> _Object:
    found = _Object(reversed(pairs))
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        found.repeated = frozenset(name for name in names if names.count(name) > 1)
    return found


class _Number(float):
    """A float that remembers its text."""

    def __new__(cls, text: str) -> Self:
        made = super().__new__(cls, text)
        made.text = text if math.isinf(made) else repr(float(text))
        return made

    text: str


def _whole(text: str) -> Any:
    return 0 if text == "-0" else _Big(text) if len(text) > 18 else int(text)


class _Big(str):
    """A whole number too long for Python's int, or nearly."""

    __slots__ = ()


class _Word(_Big):
    """NaN, Infinity or -Infinity, which is no JSON and yet taken."""

    __slots__ = ()


def meaning(text: str) -> str:
    """A JSON text's meaning, as a text that is equal for equal meanings."""
    return repr(_plainly(json.loads(text)))


def _plainly(value: Any) -> Any:
    if isinstance(value, dict):
        return "object", sorted((name, _plainly(inner)) for name, inner in value.items())
    if isinstance(value, list):
        return [_plainly(inner) for inner in value]
    return float(value) if isinstance(value, int) and not isinstance(value, bool) else value


def as_text(value: Any) -> str | None:
    """What a text column holds of a JSON value: numbers as they are written shortest, what is nested as JSON."""
    match value:
        case None:
            return None
        case bool():
            return str(value).lower()
        case _Number():
            return value.text
        case str() | int():
            return str(value)
        case _:
            return Nested(dumps(value))


def dumps(value: Any) -> str:
    """A JSON value as text, big numbers as they are.

    Raises:
        UnsureError: an object in it names a field twice, of which anything may be kept.
    """
    if isinstance(value, _Object) and value.repeated:
        raise UnsureError
    if isinstance(value, dict):
        return "{" + ",".join(f"{json.dumps(name)}:{dumps(inner)}" for name, inner in value.items()) + "}"
    if isinstance(value, list):
        return "[" + ",".join(map(dumps, value)) + "]"
    if isinstance(value, _Big):
        return str(value)
    return value.text if isinstance(value, _Number) else json.dumps(value)


def record(kind: str, fields: Mapping[str, str | None], others: Mapping[str, Any] | None, given: str | None) -> Row:
    """The stored columns of a record of that kind.

    `fields` has the text of each column that has one, `others` what no column takes, `given` the text of `attributes`.
    """
    contract = CONTRACTS[kind]
    if fields.get("record") not in {None, kind}:
        raise RefusedError
    unsure, row = False, {}
    for column in contract.columns:
        try:
            row[column.name] = _value(column, fields.get(column.name))
        except UnsureError:
            unsure = True
    attributes = _attributes(given, others)
    if unsure:
        raise UnsureError
    return _defaults(contract, row) | {"attributes": attributes}


def _attributes(given: str | None, others: Mapping[str, Any] | None) -> Nested:
    if given is None:
        return Nested(dumps(others or {}))
    return Nested(dumps(merged(_object_of(given), others) if others else _object_of(given)))


def _object_of(text: str) -> dict[str, Any]:
    found = _loads(text)
    if not isinstance(found, dict):
        raise RefusedError
    return found


def merged(target: Any, patch: Any) -> Any:
    """RFC 7396, by which attributes and other fields become one object."""
    if not isinstance(patch, dict):
        return patch
    found = dict(target) if isinstance(target, dict) else {}
    for name, value in patch.items():
        if value is None:
            found.pop(name, None)
        else:
            found[name] = merged(found.get(name), value)
    return found


def _value(column: Column, text: str | None) -> Any:
    if column.required and (text is None or text == ""):
        raise RefusedError
    if text is None:
        return None
    match column.type:
        case Type.TEXT:
            if len(text.encode()) > MAX_TEXT_BYTES or (column.choices and text not in column.choices):
                raise RefusedError
            return text
        case Type.TIMESTAMP:
            return instant(text)
        case Type.BOOLEAN:
            return _boolean(text)
        case Type.LABELS:
            return _labels(text)
        case Type.INTEGER | Type.DOUBLE:
            return _bounded(column, text)


def _bounded(column: Column, text: str) -> float | int:
    if not _NUMBER.fullmatch(text):
        if re.fullmatch(r"\s*[+-]?[\d_.,]*\d[\d_.,eE+-]*\s*", text) or text.strip() != text:
            raise UnsureError
        raise RefusedError
    number = float(text)
    low = -math.inf if column.low is None else column.low
    high = math.inf if column.high is None else column.high
    if not (low <= number <= high) or not math.isfinite(number):
        raise RefusedError
    if column.type is Type.DOUBLE:
        return number + 0.0
    if number != int(number):
        raise RefusedError
    return int(number)


def _boolean(text: str) -> bool:
    word = text.lower()
    if word in {"true", "false"}:
        return word == "true"
    if word.strip() in _WORDS | {"true", "false"} or _NUMBER.fullmatch(text):
        raise UnsureError
    raise RefusedError


def _labels(text: str) -> Nested:
    labels = _object_of(text)
    if any(isinstance(value, dict | list) for value in labels.values()):
        raise RefusedError
    texts = {name: as_text(value) for name, value in labels.items()}
    return Nested(json.dumps({name: str(texts[name]) for name in sorted(texts) if texts[name] is not None}))


def instant(text: str) -> datetime:
    """A text as an instant: ISO 8601, a naive one of UTC, digits beyond microseconds cut."""
    match = _INSTANT.fullmatch(text)
    if not match:
        if re.search(r"\d", text) and re.fullmatch(r"[\x00-\x20\dTtZz:.,+\-/A-Za-z()]*", text):
            raise UnsureError
        raise RefusedError
    year, month, day, hour, minute, second = (int(part or 0) for part in match.groups()[:6])
    zone = match[8] or "Z"
    offset = timedelta() if zone == "Z" else timedelta(hours=int(zone[1:3]), minutes=int(zone[3:].lstrip(":") or 0))
    if hour == 24 or second == 60 or offset >= timedelta(hours=14) or int(zone[3:].lstrip(":") or 0) > 59:
        raise UnsureError
    try:
        found = datetime(
            year,
            month,
            day,
            hour,
            minute,
            second,
            int((match[7] or "0")[:6].ljust(6, "0")),
            tzinfo=timezone(-offset if zone[0] == "-" else offset),
        ).astimezone(UTC)
    except (ValueError, OverflowError) as error:
        raise RefusedError from error
    if not _FIRST <= found < _END:
        raise RefusedError
    return found


def _defaults(contract: Contract, row: Row) -> Row:
    """What the dictionary says of columns that a record leaves out."""
    if contract.record == "event":
        if row["success"] is None and row["type"] == "error_occurred":
            row["success"] = False
        row["ttft_ms"] = row["ttft_ms"] or None
        if row["total_tokens"] is None and (row["input_tokens"], row["output_tokens"]) != (None, None):
            row["total_tokens"] = (row["input_tokens"] or 0) + (row["output_tokens"] or 0)
    elif contract.record == "metric":
        row["kind"] = row["kind"] or "gauge"
        row["labels"] = row["labels"] or Nested("{}")
    else:
        status = row["status"].strip(" ").lower()
        row["status"] = STATUSES.get(status, status)
    return row
