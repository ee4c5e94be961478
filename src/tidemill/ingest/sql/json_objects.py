"""Native JSON objects as rows for `validation.checked`: columns taken, numbers parsed, the rest kept as attributes."""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from tidemill.engine.quoting import identifier, literal, literals
from tidemill.ingest.sql.columns import Given, default, not_of
from tidemill.records import NUMBERS, Type

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping

    from tidemill.records import Contract

MOST_EXACT: Final = 10**15
"""An integer up to here is the same as a double."""
SAMPLE: Final = 10_000
"""How many records are looked at to tell which columns a file has."""
_NO_OBJECT = "CASE WHEN starts_with(raw, '{') THEN false ELSE NOT starts_with(ltrim(raw, ' \t\r\n'), '{') END"


def native_objects(
    contract: Contract,
    numbered: str,
    *,
    timestamp: str | None,
    present: Collection[str] | None = None,
    says_record: bool = False,
    lenient: bool = True,
) -> Given:
    """Native JSON objects as what `validation.checked` reads: a text column for each of the contract's columns.

    Numbers are parsed as such, beside their texts, as `parsed_` and their name. A record is plain when that says all
    there is to say of it: as many fields as were taken, and every number one that its text would have given. Only of
    another record the numbers' texts are looked at, and the fields that no column takes become `attributes`. Only the
    columns that are `present` are looked for, if that is given: a field of another column then lands in `attributes`.
    With `says_record` each must say which record it is. One that is not JSON fails the query unless `lenient`.
    """
    columns = [column for column in contract.columns if present is None or column.name in present]
    names = [*(column.name for column in columns), "attributes", "record"]
    numbers = {column.name: column.type for column in columns if column.type in NUMBERS}
    values = dict.fromkeys(contract.names, "NULL::VARCHAR")
    values |= {name: f"object.{identifier(name)}" for name in names if name in values}
    values |= {name: f"texts.{identifier(name)}" for name in numbers}
    selected = [
        *(f"{default(contract, name, value, timestamp)} AS {identifier(name)}" for name, value in values.items()),
        *(f"CASE WHEN plain THEN object.{identifier(name)} END AS {identifier('parsed_' + name)}" for name in numbers),
        f"{_attributes(names, numbers)} AS attributes",
        f"{_problem(contract, says_record=says_record)} AS problem",
        "strlen(raw) AS raw_bytes",
    ]
    object_ = _transformed({name: "DOUBLE" if name in numbers else "VARCHAR" for name in names})
    if lenient:
        object_ = f"CASE WHEN json_valid(raw) THEN {object_} END"
    texts = _transformed(dict.fromkeys(numbers or names, "VARCHAR"))
    parsed = f"SELECT line, raw, {object_} AS object FROM ({numbered})"
    told = f"SELECT *, {_plain(names, numbers)} AS plain FROM ({parsed})"
    whole = f"SELECT *, CASE WHEN NOT plain AND object IS NOT NULL THEN {texts} END AS texts FROM ({told})"
    return Given(
        f"SELECT line, raw, {', '.join(selected)} FROM ({whole})",
        frozenset(numbers),
        frozenset(contract.names) - set(names),
    )


def text_of(name: str) -> str:
    """A field's text as a column takes it, of valid JSON: of a number it may be spelt in more than one way."""
    return f"{_transformed({name: 'VARCHAR'})}.{identifier(name)}"


def _transformed(shape: Mapping[str, str]) -> str:
    return f"json_transform(raw, {literal(json.dumps(shape))})"


def _attributes(names: Collection[str], numbers: Collection[str]) -> str:
    """An object's `attributes`, and with them the fields that no column takes."""
    others = f"json_merge_patch(raw, {literal(json.dumps(dict.fromkeys(names)))})"
    given = "object.attributes"
    return (
        f"CASE WHEN plain THEN {given} WHEN object IS NULL OR {_NO_OBJECT} THEN NULL "
        f"WHEN len(json_keys(raw)) = {_taken(names)}{_untold(numbers)} THEN {given} "
        f"WHEN {given} IS NULL THEN CAST({others} AS VARCHAR) "
        f"WHEN coalesce(TRY(json_type({given})), '') <> 'OBJECT' THEN {given} "
        f"ELSE CAST(json_merge_patch({given}, {others}) AS VARCHAR) END"
    )


def _problem(contract: Contract, *, says_record: bool) -> str:
    """Why a line is no record of the contract, NULL when it is one."""
    other = f"object.record {'IS DISTINCT FROM' if says_record else '<>'} {literal(contract.record)}"
    return (
        "CASE WHEN NOT plain AND object IS NULL AND NOT json_valid(raw) THEN 'not JSON' "
        f"WHEN NOT plain AND {_NO_OBJECT} THEN 'not an object' WHEN {other} THEN {literal(not_of(contract))} END"
    )


def _taken(names: Iterable[str]) -> str:
    """How many of an object's fields have a value."""
    return " + ".join(f"CAST(object.{identifier(name)} IS NOT NULL AS UTINYINT)" for name in names)


def _untold(numbers: Iterable[str]) -> str:
    """And how many of its numbers have a text that is none."""
    return "".join(
        f" + CAST(object.{identifier(name)} IS NULL AND texts.{identifier(name)} IS NOT NULL AS UTINYINT)"
        for name in numbers
    )


def _plain(names: Collection[str], numbers: Mapping[str, Type]) -> str:
    """Whether every field of a JSON object was taken, and every number is what its text would give.

    A boolean is parsed as 0 or 1, and an integer may have been cut or grown too large: then its text has the word.
    """
    sure = [f"len(json_keys(raw)) = {_taken(names)}"]
    for name, kind in numbers.items():
        if kind is Type.INTEGER:
            number = f"object.{identifier(name)}"
            sure.append(f"coalesce({number} = trunc({number}) AND abs({number}) <= {MOST_EXACT}, true)")
    if numbers:
        bits = " OR ".join(f"coalesce(object.{identifier(name)} IN (0, 1), false)" for name in numbers)
        paths = literals(f'$."{name}"' for name in numbers)
        sure.append(f"CASE WHEN {bits} THEN NOT list_contains(json_type(raw, {paths}), 'BOOLEAN') ELSE true END")
    return f"CASE WHEN {_taken(names)} > 0 THEN {' AND '.join(sure)} ELSE false END"


def keys(numbered: str) -> str:
    """The select of the keys that the first records have."""
    first = f"SELECT raw FROM ({numbered}) LIMIT {SAMPLE}"
    return f"SELECT DISTINCT unnest(TRY(json_keys(raw))) FROM ({first})"


def overlooked(paths: Iterable[str], names: Iterable[str]) -> str:
    """The select of a row for each staged record whose attributes hold a field that a column should have taken."""
    rows = f"SELECT attributes FROM read_parquet({literals(paths)}, hive_partitioning=false, union_by_name=true)"
    found = f"list_has_any(TRY(json_keys(attributes)), {literals(names)})"
    return f"SELECT 1 FROM ({rows}) WHERE CASE WHEN attributes <> '{{}}' THEN {found} END LIMIT 1"
