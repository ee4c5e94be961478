"""A contract as SQL: text columns in, typed columns out, and why a record is refused.

The relation that comes in has `line`, `raw`, a VARCHAR column for each of the contract's columns, `attributes`,
`problem` (why the raw record could not be read at all, else NULL) and `raw_bytes` (its size, NULL when unknown).
A number that was parsed as such may stand as DOUBLE in `parsed_` and its name, its text then NULL.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.engine.quoting import identifier, literal
from tidemill.records import END_OF_TIME, EVENT, FIRST_INSTANT, JOB, MAX_TEXT_BYTES, STATUSES, Column, Type

if TYPE_CHECKING:
    from collections.abc import Collection, Sequence

    from tidemill.records import Contract

UTC = "UTC"

MACROS = """
CREATE OR REPLACE TEMP MACRO sorted_labels(labels) AS CASE
    WHEN labels = '{}' THEN '{}'
    WHEN coalesce(TRY(json_type(labels)), '') <> 'OBJECT' THEN NULL
    WHEN list_has_any(json_type(labels, '$.*'), ['OBJECT', 'ARRAY']) THEN NULL
    WHEN list_unique(json_type(labels, '$.*')) = 1 AND json_type(labels, '$.*')[1] = 'VARCHAR'
         AND json_keys(labels) = list_sort(list_distinct(json_keys(labels)))
    THEN CAST(json(labels) AS VARCHAR)
    ELSE '{' || coalesce(array_to_string(list_transform(
        list_sort(list_distinct(json_keys(labels))),
        lambda key: CAST(to_json(key) AS VARCHAR) || ':' || CAST(to_json(json_extract_string(
            labels, '/' || replace(replace(key, '~', '~0'), '/', '~1'))) AS VARCHAR)), ','), '') || '}'
END;
"""
"""Labels with their keys sorted and their values as text, null ones left out; NULL for what is not a flat object."""


def instant(text: str, timezone: str) -> str:
    """A text as TIMESTAMP WITH TIME ZONE, NULL when it is none: an offset is honoured, a naive time is local.

    The engine also takes words like epoch, and offsets of days.
    """
    far_off = f"NOT ends_with({text}, 'Z') AND regexp_matches({text}, ':\\d.*[+-](1[5-9]|[2-9]\\d)[\\d:]*$')"
    return f"CASE WHEN ltrim({text}) < ':' AND NOT ({far_off}) THEN {_instant(text, timezone)} END"


def _instant(text: str, timezone: str) -> str:
    aware = f"TRY_CAST({text} AS TIMESTAMPTZ)"
    offset = f"regexp_replace({text}, '\\s*([+-]\\d\\d):?(\\d\\d)$', '\\1:\\2')"
    tidy = f"upper(replace({offset}, ',', '.'))"  # what RFC 3339 and ISO 8601 also allow
    if timezone == UTC:
        return f"coalesce({aware}, TRY_CAST({tidy} AS TIMESTAMPTZ))"
    local = f"coalesce(TRY_CAST({text} AS TIMESTAMP), TRY_CAST(replace({text}, ',', '.') AS TIMESTAMP))"
    naive = f"timezone({literal(timezone)}, {local})"
    return (
        f"CASE WHEN regexp_matches(substr({text}, 12), '[A-Za-z+-]') "
        f"THEN coalesce({aware}, TRY_CAST({tidy} AS TIMESTAMPTZ)) ELSE {naive} END"
    )


def _typed(column: Column, timezone: str, *, parsed: bool) -> str:
    value = _cast(column, timezone)
    if not parsed:
        return value
    number = f"CAST({identifier('parsed_' + column.name)} AS {column.type.sql})"
    return f"coalesce({number} + 0, {value})"  # never -0.0


def _cast(column: Column, timezone: str) -> str:
    text = identifier(column.name)
    match column.type:
        case Type.TIMESTAMP:
            return instant(text, timezone)
        case Type.INTEGER:
            return (
                f"CASE WHEN TRY_CAST({text} AS DOUBLE) = TRY_CAST({text} AS BIGINT) THEN TRY_CAST({text} AS BIGINT) END"
            )
        case Type.DOUBLE:
            return f"TRY_CAST({text} AS DOUBLE) + 0.0"  # never -0.0, which equals 0.0 and yet is another double
        case Type.BOOLEAN:
            return f"TRY_CAST({text} AS BOOLEAN)"
        case Type.LABELS:
            return f"sorted_labels({text})"
        case Type.TEXT:
            return text


_NOT_OF_TYPE = {
    Type.TIMESTAMP: "not a timestamp",
    Type.INTEGER: "not an integer",
    Type.DOUBLE: "not a number",
    Type.BOOLEAN: "not a boolean",
    Type.LABELS: "not an object of text",
}


def _faults(column: Column) -> list[tuple[str, str]]:
    """What may be wrong with one column: (condition, reason), cheapest first."""
    text, value = identifier(column.name), identifier("v_" + column.name)
    faults = []
    if column.required:
        unparsed = "" if column.type is Type.TEXT else f" AND {value} IS NULL"
        faults.append((f"coalesce({text}, '') = ''{unparsed}", "missing"))
    if column.type is Type.TEXT:
        faults.append((f"strlen({text}) > {MAX_TEXT_BYTES}", "too long"))
    else:
        faults.append((f"{text} IS NOT NULL AND {value} IS NULL", _NOT_OF_TYPE[column.type]))
    if column.type is Type.TIMESTAMP:
        window = f"{value} >= {literal(FIRST_INSTANT)}::TIMESTAMPTZ AND {value} < {literal(END_OF_TIME)}::TIMESTAMPTZ"
        faults.append((f"NOT ({window})", "out of range"))
    if column.type is Type.DOUBLE and column.high is None:
        faults.append((f"NOT isfinite({value})", "not finite"))
    if column.high is not None:
        faults.append((f"NOT ({value} BETWEEN {column.low} AND {column.high})", "out of range"))
    if column.choices:
        faults.append(
            (f"{text} NOT IN ({', '.join(map(literal, column.choices))})", f"not one of {', '.join(column.choices)}")
        )
    return faults


_ATTRIBUTES_FAULT = ("attributes IS NOT NULL AND coalesce(TRY(json_type(attributes)), '') <> 'OBJECT'", "not an object")


def _refusal(columns: Sequence[Column]) -> str:
    """NULL for a good record, else {field, reason} of the first fault in the contract's order."""
    texts = " OR ".join(
        f"strlen({identifier(column.name)}) > {MAX_TEXT_BYTES}" for column in columns if column.type is Type.TEXT
    )
    conditions = [
        f"(coalesce(raw_bytes, {MAX_TEXT_BYTES + 1}) > {MAX_TEXT_BYTES} AND ({texts}))",
        "problem IS NOT NULL",
    ]
    cases = ["WHEN problem IS NOT NULL THEN {'field': NULL, 'reason': problem}"]
    faults = [(column.name, fault) for column in columns for fault in _faults(column)]
    for name, (condition, reason) in [*faults, ("attributes", _ATTRIBUTES_FAULT)]:
        cases.append(f"WHEN {condition} THEN {{'field': {literal(name)}, 'reason': {literal(reason)}}}")
        if reason != "too long":
            conditions.append(f"({condition})")
    return f"CASE WHEN {' OR '.join(conditions)} THEN CASE {' '.join(cases)} END END"


def _status() -> str:
    words = " ".join(
        f"WHEN {literal(word)} THEN {literal(status)}" for word, status in STATUSES.items() if word != status
    )
    return f"CASE lower(trim(status)) {words} ELSE lower(trim(status)) END"


def _defaults(contract: Contract) -> dict[str, str]:
    """The columns whose stored value is not just the typed text."""
    if contract is JOB:
        instants = "v_created_at, v_started_at, v_completed_at, v_deleted_at"
        known = (
            f"CASE WHEN v_created_at IS NULL THEN v_observed_at ELSE coalesce(v_observed_at, greatest({instants})) END"
        )
        return {"status": _status(), "observed_at": known}
    if contract is EVENT:
        return {
            "success": "CASE WHEN v_success IS NULL AND type = 'error_occurred' THEN false ELSE v_success END",
            "ttft_ms": "nullif(v_ttft_ms, 0)",
            "total_tokens": "CASE WHEN v_total_tokens IS NULL "
            "AND NOT (v_input_tokens IS NULL AND v_output_tokens IS NULL) "
            "THEN coalesce(v_input_tokens, 0) + coalesce(v_output_tokens, 0) ELSE v_total_tokens END",
        }
    return {"kind": "coalesce(kind, 'gauge')", "labels": "coalesce(v_labels, '{}')"}


def always(contract: Contract) -> frozenset[str]:
    """The columns that may have a value where a record gives none."""
    return frozenset({"id", "name", contract.day_of, *_defaults(contract)})


def derived_id(contract: Contract, source: str) -> str:
    """The id of a record that has none: `#` and the MD5 of its source and content; further copies count on."""
    members = ", ".join(
        f"{literal(name)}: {identifier(name)}" for name in (*contract.names, "attributes") if name != "id"
    )
    return f"'#' || md5({literal(source)} || chr(31) || to_json({{{members}}}))"


def checked(
    contract: Contract,
    fields: str,
    *,
    source: str,
    load_id: str,
    timezone: str,
    id_prefix: str = "",
    parsed: Collection[str] = (),
    absent: Collection[str] = (),
) -> str:
    """The select that types and checks `fields`: the stored columns, `line`, `day` and `refusal` of each record.

    Of the columns that are `parsed`, `fields` also has the number; those that are `absent` are NULL everywhere.
    """
    there = [column for column in contract.columns if column.name not in absent]
    values = {column.name: f"NULL::{column.type.sql}" for column in contract.columns}
    values |= {column.name: _typed(column, timezone, parsed=column.name in parsed) for column in there}
    typed = ", ".join(
        f"{values[column.name]} AS {identifier('v_' + column.name)}"
        for column in contract.columns
        if column.type is not Type.TEXT
    )
    defaults = _defaults(contract)
    prefix = literal(id_prefix) + " || " if id_prefix else ""
    columns = ", ".join(
        f"{defaults.get(c.name) or _plain(c, prefix)} AS {identifier(c.name)}" for c in contract.columns
    )
    day = f"CAST(make_timestamp(epoch_us({identifier(contract.day_of)})) AS DATE)"
    stored = [identifier(name) for name in contract.names]
    if contract is not JOB:
        stored[0] = (
            f"CASE WHEN coalesce(id, '') = '' AND refusal IS NULL THEN {derived_id(contract, source)} ELSE id END AS id"
        )
    return (
        f"SELECT {', '.join(stored)}, {literal(source)} AS source, {literal(load_id)} AS load_id, attributes, "
        f"line, raw, refusal, CASE WHEN refusal IS NULL THEN {day} END AS day "
        f"FROM (SELECT line, raw, {columns}, coalesce(attributes, '{{}}') AS attributes, "
        f"{_refusal(there)} AS refusal "
        f"FROM (SELECT *, {typed} FROM ({fields})))"
    )


def _plain(column: Column, prefix: str) -> str:
    name = identifier(column.name)
    if column.type is not Type.TEXT:
        return identifier("v_" + column.name)
    return f"{prefix}{name}" if column.is_id and prefix else name
