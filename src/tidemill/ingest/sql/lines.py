"""Raw records as relations of the engine: lines of text, documents, CSV and Parquet, each with its line.

Every layout gives two things: `numbered`, the select of (line, raw) with each record's whole text, and what the
formats read: the text fields of JSON objects, or the columns of a CSV or Parquet file.
"""

from __future__ import annotations

import json
from typing import TYPE_CHECKING, Final

from tidemill.engine.quoting import identifier, literal
from tidemill.ingest.sql.columns import MAX_LINE_BYTES, is_nested

if TYPE_CHECKING:
    from collections.abc import Mapping

    from duckdb import DuckDBPyConnection


DELIMITER: Final = "\x01"
"""Cannot occur in JSON text: a line that holds it is not JSON, and never reaches this reader."""
NO_TEXT: Final = "no line is this text"
"""With a text of its own for NULL the reader tells an empty line from one that holds only the delimiter."""


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


def bad_lines(path: str) -> str:
    """The select of (line, raw, reason) over the lines that could not be spooled as text."""
    return (
        f"SELECT * FROM read_json({literal(path)}, columns={{line: 'BIGINT', raw: 'VARCHAR', reason: 'VARCHAR'}}, "
        f"format='newline_delimited', maximum_object_size={MAX_LINE_BYTES})"
    )


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
    return f"CAST(CAST({text} AS JSON) AS {kind})" if is_nested(kind) else f"CAST({text} AS {kind})"


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
