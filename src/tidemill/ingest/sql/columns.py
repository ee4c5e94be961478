"""SQL text for files that have columns: CSV and Parquet."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tidemill.engine.quoting import identifier, literal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.records import Contract

LEAST_RECORD: Final = 16
"""What a record takes at least: the bytes of an instant and of another value."""


@dataclass(frozen=True)
class Given:
    """Rows for `validation.checked`, the columns that are numbers as well, and those without a value in any record."""

    select: str
    parsed: frozenset[str] = frozenset()
    absent: frozenset[str] = frozenset()


@dataclass(frozen=True)
class Columns:
    """A CSV or Parquet file: the select of its rows with `line`, and the columns' names and types."""

    select: str
    types: Mapping[str, str]

    @property
    def numbered(self) -> str:
        """Each row as the text of a JSON object, beside its line."""
        return f"SELECT line, CAST({self.members(self.types)} AS VARCHAR) AS raw FROM ({self.select})"

    @property
    def kinds(self) -> str:
        """The select of (line, raw, record) that says which record each row is; NULL where it does not say."""
        return f"SELECT line, raw, json_extract_string(raw, '$.record') AS record FROM ({self.numbered})"

    def of(self, record: str) -> Columns:
        """The rows that say that they are that record."""
        return Columns(f"SELECT * FROM ({self.select}) WHERE {self.text('record')} = {literal(record)}", self.types)

    def text(self, name: str) -> str:
        """A column's value as text, NULL when there is no such column."""
        return as_text(_own(name), self.types[name]) if name in self.types else "NULL::VARCHAR"

    @property
    def text_bytes(self) -> str:
        """The select of how many bytes all texts have, one that a page holds once as often as a row has it."""
        long = (kind for kind in self.types.items() if kind[1] in {"VARCHAR", "BLOB"} or is_nested(kind[1]))
        sizes = [f"coalesce(sum(strlen({as_text(_own(name), kind)})), 0)" for name, kind in long]
        return f"SELECT {' + '.join(sizes)} FROM ({self.select})" if sizes else "SELECT 0"

    def members(self, names: Iterable[str]) -> str:
        """Some columns as a JSON object."""
        values = {name: _as_json(_own(name), self.types[name]) for name in names}
        return f"to_json({{{', '.join(f'{literal(name)}: {value}' for name, value in values.items())}}})"


OWN_LINE: Final = "line of the file"
"""What a file's own column `line` is called, beside the `line` that counts its rows."""


def _own(name: str) -> str:
    return identifier(OWN_LINE if name.lower() == "line" else name)


def csv(path: str, names: Iterable[str], *, delimiter: str, compression: str, rejected: str | None = None) -> Columns:
    """A CSV file with a header row: every value as text, an empty one NULL; bad rows go to `reject_errors`.

    Those that are known already, from the file `rejected`, count as lines.
    """
    types = dict.fromkeys(names, "VARCHAR")
    columns = ", ".join(f"{_own(name)}: 'VARCHAR'" for name in types)
    select = (
        f"SELECT row_number() OVER () + 1 AS line, * FROM read_csv({literal(path)}, columns={{{columns}}}, "
        "header=true, "
        f"delim={literal(delimiter)}, quote='\"', escape='\"', auto_detect=false, store_rejects=true, rejects_limit=0, "
        f"max_line_size={MAX_LINE_BYTES}, compression={literal(compression)})"
    )
    if rejected:
        select = (
            f"SELECT s.* REPLACE (s.line + coalesce(r.rejects, 0) AS line) FROM ({select}) s "
            f"ASOF LEFT JOIN (SELECT line AS place, rejects FROM read_parquet({literal(rejected)})) r "
            "ON r.place <= s.line"
        )
    return Columns(select, types)


def rejects() -> str:
    """The select of (line, raw, reason) over the rows that the CSV reader could not split into columns."""
    return (
        "SELECT line, ltrim(any_value(csv_line), chr(10) || chr(13)) AS raw, "
        "lower(any_value(error_type)::VARCHAR) AS reason FROM reject_errors GROUP BY line"
    )


def rejected(blanks: Path) -> str:
    """The select of (line, rejects): how many rows were rejected before what would be that line without them.

    Those that are empty lines count, too: they stand in the file `blanks`, if there is one.
    """
    empty = f"FROM read_csv({literal(blanks)}, columns={{'line': 'BIGINT'}}, header=false, auto_detect=false)"
    passed_over = "SELECT line FROM reject_errors" + (f" UNION {empty}" if blanks.exists() else "")
    return (
        "SELECT line - nth + 1 AS line, max(nth) AS rejects FROM "
        f"(SELECT line, row_number() OVER (ORDER BY line) AS nth FROM (SELECT DISTINCT line FROM ({passed_over}))) "
        "GROUP BY ALL"
    )


def parquet(connection: DuckDBPyConnection, path: str) -> Columns:
    """A Parquet file with the columns' own types."""
    rows = connection.execute(f"DESCRIBE FROM read_parquet({literal(path)})").fetchall()
    types = {name: kind for name, kind, *_ in rows}
    columns = ", ".join(f"{identifier(name)} AS {_own(name)}" for name in types)
    select = f"SELECT file_row_number + 1 AS line, {columns} FROM read_parquet({literal(path)}, file_row_number=true)"
    return Columns(select, types)


def parquet_bytes(path: str) -> str:
    """The select of how many bytes a Parquet file's pages have, or its records if that is more, as its footer says."""
    chunks, file = f"parquet_metadata({literal(path)})", f"parquet_file_metadata({literal(path)})"
    return (
        f"SELECT greatest((SELECT coalesce(sum(total_uncompressed_size), 0) FROM {chunks}), {LEAST_RECORD} * greatest("
        f"(SELECT coalesce(max(num_rows), 0) FROM {file}), (SELECT coalesce(max(n), 0) FROM "
        f"(SELECT sum(num_values) AS n FROM {chunks} GROUP BY path_in_schema))))"
    )


def as_text(expression: str, kind: str) -> str:
    """A value of any type as text: nested ones as JSON."""
    if is_nested(kind):
        return f"CAST(to_json({expression}) AS VARCHAR)"
    text = f"CAST({expression} AS VARCHAR)"
    if kind in _FLOATS:  # a Parquet file's statistics leave NaN out, and the engine believes them through casts
        return f"CASE WHEN isnan({expression}) THEN 'nan' ELSE {text} END"
    return text


_FLOATS: Final = ("FLOAT", "DOUBLE")


_EXACT: Final = ("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")


def is_nested(kind: str) -> bool:
    """Return whether a type holds other values."""
    return kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION"))


def _as_json(expression: str, kind: str) -> str:
    """A value of any type as JSON: what is nested, a boolean or a finite number stays that, all else is a text."""
    if is_nested(kind) or kind in _EXACT or kind.startswith("DECIMAL"):
        return f"to_json({expression})"
    text = f"to_json({as_text(expression, kind)})"
    return f"CASE WHEN isfinite({expression}) THEN to_json({expression}) ELSE {text} END" if kind in _FLOATS else text


def native_columns(contract: Contract, columns: Columns, *, timestamp: str | None) -> Given:
    """The rows of a native CSV or Parquet file as what `validation.checked` reads."""
    taken = {*contract.names, "attributes", "record"}
    others = [name for name in columns.types if name not in taken]
    selected = ", ".join(
        f"{default(contract, name, columns.text(name), timestamp)} AS {identifier(name)}" for name in contract.names
    )
    rest = f"CAST(json_merge_patch('{{}}', {columns.members(others)}) AS VARCHAR)" if others else "NULL::VARCHAR"
    given = columns.text("attributes")
    attributes = (
        f"CASE WHEN {given} IS NULL THEN {rest} "
        f"WHEN coalesce(TRY(json_type({given})), '') <> 'OBJECT' OR {rest} IS NULL THEN {given} "
        f"ELSE CAST(json_merge_patch({given}, {rest}) AS VARCHAR) END"
    )
    record = columns.text("record")
    problem = f"CASE WHEN {record} <> {literal(contract.record)} THEN {literal(not_of(contract))} END"
    return Given(
        f"SELECT line, NULL::VARCHAR AS raw, {selected}, {attributes} AS attributes, {problem} AS problem, "
        f"NULL::BIGINT AS raw_bytes FROM ({columns.select})",
        absent=_missing(contract, columns.types, timestamp),
    )


def formatted(contract: Contract, select: str, types: Mapping[str, str], *, timestamp: str | None) -> Given:
    """A format's result as what `validation.checked` reads."""
    text = {name: as_text(identifier(name), kind) for name, kind in types.items()}
    selected = ", ".join(
        f"{default(contract, name, text.get(name, 'NULL::VARCHAR'), timestamp)} AS {identifier(name)}"
        for name in (*contract.names, "attributes")
    )
    unknown = "NULL::VARCHAR AS problem, NULL::BIGINT AS raw_bytes"
    return Given(
        f"SELECT line, NULL::VARCHAR AS raw, {selected}, {unknown} FROM ({select})",
        absent=_missing(contract, types, timestamp),
    )


def _missing(contract: Contract, there: Collection[str], timestamp: str | None) -> frozenset[str]:
    """The columns that no record has, neither itself nor from the source; one that it must have is looked for."""
    fixed = {contract.day_of} if timestamp is not None else set()
    required = {column.name for column in contract.columns if column.required}
    return frozenset(contract.names) - {*there, *fixed, *required}


def default(contract: Contract, name: str, value: str, timestamp: str | None) -> str:
    """A column's value, or the source's fixed timestamp where a record has none."""
    fixed = timestamp is not None and name == "timestamp" == contract.day_of
    return f"coalesce({value}, {literal(timestamp)})" if fixed else value


MAX_LINE_BYTES: Final = 16 << 20


def not_of(contract: Contract) -> str:
    """Why a record is refused that says it is another one."""
    return f"its record is not {contract.record}"
