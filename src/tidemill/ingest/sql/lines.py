"""Raw records as relations of the engine: lines of text, documents, CSV and Parquet, each with its line.

Every layout gives two things: `numbered`, the select of (line, raw) with each record's whole text, and what the
formats read: the text fields of JSON objects, or the columns of a CSV or Parquet file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from tidemill.engine.quoting import identifier, literal

if TYPE_CHECKING:
    from collections.abc import Collection, Iterable, Mapping
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.records import Contract

DELIMITER: Final = "\x01"
"""Cannot occur in JSON text: a line that holds it is not JSON, and never reaches this reader."""
NO_TEXT: Final = "no line is this text"
"""With a text of its own for NULL the reader tells an empty line from one that holds only the delimiter."""
MAX_LINE_BYTES: Final = 16 << 20
LEAST_RECORD: Final = 16
"""What a record takes at least: the bytes of an instant and of another value."""


_WRITTEN = "CASE WHEN raw >= '!' THEN true ELSE trim(raw, ' \t\r') <> '' END"
"""Whether a line has more than blanks; of most the first letter tells."""


def lines(path: str, *, offset: int = 0, compression: str = "none", long: bool = False) -> str:
    """The select of (line, raw) over a file's lines, blank ones left out; counting them takes one thread."""
    return (
        f"SELECT * FROM (SELECT row_number() OVER () + {offset} AS line, raw "
        f"FROM {_text_lines(path, compression=compression, long=long)}) WHERE {_WRITTEN}"
    )


def unnumbered(path: str, *, compression: str = "none", long: bool = False, lenient: bool = True) -> str:
    """The same with NULL for line: empty lines are passed over, one that holds the delimiter fails the query.

    Lines of blanks alone are left out, too, if it is `lenient`.
    """
    rows = _text_lines(path, compression=compression, long=long, null=NO_TEXT)
    raw = f"SELECT NULL::BIGINT AS line, coalesce(raw, {literal(NO_TEXT)}) AS raw FROM {rows}"
    return f"SELECT * FROM ({raw}) WHERE {_WRITTEN}" if lenient else raw


def look_over(path: str, *, compression: str) -> str:
    """A query that fails where a line ends in the delimiter, which `lines` would drop."""
    return f"SELECT count(*) FROM {_text_lines(path, compression=compression, long=False, null=NO_TEXT)}"


def _text_lines(path: str, *, compression: str, long: bool, null: str = "") -> str:
    limit = f", max_line_size={MAX_LINE_BYTES + 1}" if long else ""
    return (
        f"read_csv({literal(path)}, columns={{'raw': 'VARCHAR'}}, delim={literal(DELIMITER)}, quote='', escape='', "
        f"nullstr={literal(null)}, header=false, auto_detect=false, compression={literal(compression)}{limit})"
    )


def document(connection: DuckDBPyConnection, text: str) -> str:
    """The select of (line, raw) over a JSON document: a row an element of an array, one for anything else."""
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE document AS
        SELECT line, coalesce(raw[line], 'null') AS raw
        FROM (SELECT CASE WHEN TRY(json_type(text)) = 'ARRAY' THEN from_json(text, '["VARCHAR"]') ELSE [text] END AS raw
              FROM (SELECT $1 AS text)), unnest(range(1, len(raw) + 1)) AS lines(line)""",
        [text],
    )
    return "SELECT line, raw FROM document"


def texts(connection: DuckDBPyConnection, rows: str) -> str:
    """The select of (line, raw) over a relation that is already so, kept for more than one reading."""
    connection.execute(f"CREATE OR REPLACE TEMP TABLE document AS {rows}")
    return "SELECT line, raw FROM document"


@dataclass(frozen=True)
class Given:
    """What `contract.checked` reads, which columns it gives as numbers, too, and which have no value in any record."""

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
        long = (kind for kind in self.types.items() if kind[1] in {"VARCHAR", "BLOB"} or _is_nested(kind[1]))
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


def bad_lines(path: str) -> str:
    """The select of (line, raw, reason) over the lines that could not be spooled as text."""
    return (
        f"SELECT * FROM read_json({literal(path)}, columns={{line: 'BIGINT', raw: 'VARCHAR', reason: 'VARCHAR'}}, "
        f"format='newline_delimited', maximum_object_size={MAX_LINE_BYTES})"
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
    if _is_nested(kind):
        return f"CAST(to_json({expression}) AS VARCHAR)"
    text = f"CAST({expression} AS VARCHAR)"
    if kind in _FLOATS:  # a Parquet file's statistics leave NaN out, and the engine believes them through casts
        return f"CASE WHEN isnan({expression}) THEN 'nan' ELSE {text} END"
    return text


_FLOATS: Final = ("FLOAT", "DOUBLE")
_EXACT: Final = ("BOOLEAN", "TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")


def _is_nested(kind: str) -> bool:
    return kind.endswith("]") or kind.startswith(("STRUCT", "MAP", "UNION"))


def _as_json(expression: str, kind: str) -> str:
    """A value of any type as JSON: what is nested, a boolean or a finite number stays that, all else is a text."""
    if _is_nested(kind) or kind in _EXACT or kind.startswith("DECIMAL"):
        return f"to_json({expression})"
    text = f"to_json({as_text(expression, kind)})"
    return f"CASE WHEN isfinite({expression}) THEN to_json({expression}) ELSE {text} END" if kind in _FLOATS else text


def fields(numbered: str, columns: Mapping[str, tuple[str, str]]) -> str:
    """The top-level fields of JSON objects, beside line: what a format reads as `raw`.

    `columns` says of each column which key it holds, and its type. All are text, but of what came from a Parquet file.
    """
    if not columns:
        return f"SELECT line FROM ({numbered}) WHERE {_problem('raw')} IS NULL"
    shape = json.dumps(dict.fromkeys((key for key, _ in columns.values()), "VARCHAR"))
    selected = ", ".join(f"{_typed(key, kind)} AS {identifier(name)}" for name, (key, kind) in columns.items())
    return (
        f"SELECT line, {selected} FROM (SELECT line, TRY(json_transform(raw, {literal(shape)})) AS object "
        f"FROM ({numbered}) WHERE starts_with(ltrim(raw, ' \t\r\n'), '{{')) WHERE object IS NOT NULL"
    )


def _typed(key: str, kind: str) -> str:
    """A field's text as a value of the type that it had."""
    text = f"object.{identifier(key)}"
    if kind == "VARCHAR":
        return text
    return f"CAST(CAST({text} AS JSON) AS {kind})" if _is_nested(kind) else f"CAST({text} AS {kind})"


def _problem(raw: str) -> str:
    return (
        f"CASE WHEN NOT json_valid({raw}) THEN 'not JSON' "
        f"WHEN NOT starts_with(ltrim({raw}, ' \t\r\n'), '{{') THEN 'not an object' END"
    )


def broken(numbered: str) -> str:
    """The select of (line, raw, reason) over the records that are no JSON object."""
    told = f"SELECT line, raw, {_problem('raw')} AS reason FROM ({numbered})"
    return f"SELECT line, raw, reason FROM ({told}) WHERE reason IS NOT NULL"


def kinds(numbered: str) -> str:
    """The select of (line, raw, record) that says which record each line is; NULL where it does not say."""
    return (
        "SELECT line, raw, "
        f"CASE WHEN {_problem('raw')} IS NULL THEN json_extract_string(raw, '$.record') END AS record FROM ({numbered})"
    )


def not_of(contract: Contract) -> str:
    """Why a record is refused that says it is another one."""
    return f"its record is not {contract.record}"


def native_columns(contract: Contract, columns: Columns, *, timestamp: str | None) -> Given:
    """The rows of a native CSV or Parquet file as what `contract.checked` reads."""
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
    """A format's result as what `contract.checked` reads."""
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
