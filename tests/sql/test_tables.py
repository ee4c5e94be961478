"""Every table's select, by the cases beside it: rows in, rows expected.

`tests/sql/tables/<family>/<table>.toml` holds `columns`, as the dictionary lists them (`stats(x)` and `pct(x)` for
what they stand for); `empty`, the rows that come of nothing, where there are any; and `case`s: a sentence, the rows
of `events`, `jobs`, `metrics`, `prices` or another table, and the expected rows in order; `parameters` holds the
settings that are not the default. A column that an expected row leaves out is not compared; "NULL" is no value. Another
table is built by its own select, and gets the case's rows. A window table is given the records of its case's window
(`as_of`, `window_hours`), and other tables as they were known at the end of that day. `types` are those of columns
whose names do not tell.
"""

from __future__ import annotations

import datetime as dt
import re
import tomllib
from dataclasses import dataclass, field, replace
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import pytest
import sqlglot

from tidemill import records
from tidemill.catalog import tables as catalog_tables
from tidemill.config.settings import Settings
from tidemill.engine import connection as engine_connection
from tidemill.engine import relations

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection, DuckDBPyRelation


Row = dict[str, Any]

CASES: Final = Path(__file__).parent / "tables"
SELECTS: Final = {path.stem: path for path in sorted((CASES.parents[2] / "sql" / "tables").glob("*/*.sql"))}
PRICES: Final = {
    "provider": "VARCHAR",
    "model": "VARCHAR",
    "valid_from": "TIMESTAMP WITH TIME ZONE",
    "input_per_1m_usd": "DOUBLE",
    "output_per_1m_usd": "DOUBLE",
}
INPUTS: Final = {contract.table: contract.stored for contract in records.CONTRACTS.values()} | {"prices": PRICES}
INSTANT_OF: Final = {contract.table: contract.day_of for contract in records.CONTRACTS.values()}
SHORTHANDS: Final = {
    "pct": ("p50_", "p95_", "p99_"),
    "stats": ("count_", "total_", "avg_", "min_", "max_", "p50_", "p95_", "p99_"),
}
TEXTS: Final = {
    column.name
    for contract in records.CONTRACTS.values()
    for column in contract.columns
    if column.type in {records.Type.TEXT, records.Type.LABELS}
} | {"rule", "step", "workflow_status", "function", "source", "topic"}
TYPES: Final = (
    (r"count_\w+", "BIGINT"),
    (r"day|week_start|month_start", "DATE"),
    (r"hour|as_of|\w+_at|(first|last)_(asked|retrieved|active)", "TIMESTAMP WITH TIME ZONE"),
    (r"\w+_(ms|seconds|usd|rate|share|value)|\w+_per_\w+|increase|step_hours|hours_saved|avg_\w+|diversity", "DOUBLE"),
    (r"(\w+_)?success|deleted", "BOOLEAN"),
    ("|".join(TEXTS), "VARCHAR"),
    (r"\w+", "BIGINT"),
)
DAY: Final = dt.datetime(2026, 2, 11, tzinfo=dt.UTC)


@dataclass(frozen=True)
class Case:
    """Rows in and rows expected, in a sentence."""

    table: str
    name: str
    expected: list[Row]
    timezone: str = "UTC"
    as_of: dt.datetime = DAY
    window_hours: int = 24
    parameters: dict[str, float] = field(default_factory=dict)
    rows: dict[str, list[Row]] = field(default_factory=dict)


def file_of(table: str) -> dict[str, Any]:
    """What the file of a table's cases says."""
    return tomllib.loads((CASES / SELECTS[table].parent.name / f"{table}.toml").read_text("utf-8"))


def cases_of(table: str) -> list[Case]:
    """The cases of a table; what is no option of a case is a relation's rows."""
    options = Case.__dataclass_fields__.keys() - {"rows", "table"}
    return [
        Case(
            table,
            **{key: value for key, value in case.items() if key in options},
            rows={key: value for key, value in case.items() if key not in options},
        )
        for case in file_of(table)["case"]
    ]


def sort_of(table: str) -> str:
    """A header's sort, as what comes after ORDER BY."""
    header = re.search(r"^-- sort: (.+)$", SELECTS[table].read_text("utf-8"), re.MULTILINE)
    assert header
    return header[1]


def columns_of(table: str) -> list[str]:
    """The columns that the dictionary gives a table, in its order."""
    names: list[str] = []
    for column in file_of(table)["columns"]:
        word, _, rest = column.partition("(")
        names += [prefix + rest.rstrip(")") for prefix in SHORTHANDS[word]] if rest else [word]
    return names


def type_of(table: str, column: str) -> str:
    """The type that a table's cases, or else the dictionary's rules, give a column."""
    named = next(sql for pattern, sql in TYPES if re.fullmatch(pattern, column))
    return str(file_of(table).get("types", {}).get(column, named))


@cache
def relations_of(table: str) -> set[str]:
    """The relations that a table's select reads."""
    select = sqlglot.parse_one(SELECTS[table].read_text("utf-8"), dialect="duckdb")
    named = {relation.name for relation in select.find_all(sqlglot.exp.Table)}
    return named - {cte.alias for cte in select.find_all(sqlglot.exp.CTE)}


@cache
def database(timezone: str) -> DuckDBPyConnection:
    """A database in which the local day is that of a timezone; each case binds its own relations in it."""
    return engine_connection.connect(timezone=timezone, threads=1)


def insert(connection: DuckDBPyConnection, relation: str, rows: list[Row]) -> None:
    """Add rows to a relation; the columns that a row leaves out are NULL."""
    names = sorted({name for row in rows for name in row})
    if names:
        values = [[row.get(name) for name in names] for row in rows]
        marks = ", ".join("?" * len(names))
        connection.executemany(f'INSERT INTO "{relation}" ({", ".join(names)}) VALUES ({marks})', values)


def parameters_of(case: Case) -> dict[str, object]:
    """What reaches the selects of a case: the settings by default, those of its own, and its window."""
    window = {"window_hours": case.window_hours, "as_of": case.as_of}
    return {**Settings().parameters, **case.parameters, **window}


def rows_given(case: Case, table: str, relation: str, day: dt.date | None) -> str:
    """The records that a table's select is given: of its window, of as_of's day or before, of one day if asked for."""
    every = f"SELECT * FROM all_{relation}"
    if relation not in INSTANT_OF:
        return every
    instant, window = INSTANT_OF[relation], catalog_tables.table(case.table)
    if window.partition != "window":
        return f"{every} WHERE local_day({instant}) = DATE '{day}'" if day else every
    as_of = case.as_of.isoformat()
    if table != case.table:
        return f"{every} WHERE local_day({instant}) <= local_day(TIMESTAMPTZ '{as_of}')"
    stretch = relations.in_window(instant, as_of=as_of, hours=window.stretch(case.window_hours))
    inside = relations.in_window(instant, as_of=as_of, hours=case.window_hours)
    select = f"{every} WHERE {stretch}"
    return relations.flagged(select, inside) if window.before else select


def bind(connection: DuckDBPyConnection, case: Case, table: str, day: dt.date | None) -> None:
    """Give a table's select the relations that it reads: other tables first, for they are made of records too."""
    for relation in sorted(relations_of(table), key=INPUTS.__contains__):
        given = case.rows.get(relation, [])
        if relation in INPUTS:
            columns = ", ".join(f'"{name}" {sql}' for name, sql in INPUTS[relation].items())
            connection.execute(f"CREATE OR REPLACE TEMP TABLE all_{relation} ({columns})")
            blank = {"attributes": "{}"} if "attributes" in INPUTS[relation] else {}
            insert(connection, f"all_{relation}", [blank | row for row in given])
            relations.bind(connection, relation, rows_given(case, table, relation, day))
        else:
            bind(connection, case, relation, day)
            create = f"CREATE OR REPLACE TEMP TABLE {relation} AS {SELECTS[relation].read_text('utf-8')}"
            connection.execute(create, engine_connection.named(connection, create, parameters_of(case)))
            insert(connection, relation, given)


def build(case: Case, connection: DuckDBPyConnection, day: dt.date | None = None) -> DuckDBPyRelation:
    """The table that comes of a case's rows, in the order of its header's sort."""
    bind(connection, case, case.table, day)
    select = SELECTS[case.table].read_text("utf-8")
    return engine_connection.run(connection, select, parameters_of(case)).order(sort_of(case.table))


def rows_of(case: Case, day: dt.date | None = None) -> list[Row]:
    """The rows that come of a case."""
    relation = build(case, database(case.timezone), day)
    names = relation.columns
    return [dict(zip(names, row, strict=True)) for row in relation.fetchall()]


def as_expected(value: object) -> object:
    """What a found value must equal."""
    if isinstance(value, int | float):
        return pytest.approx(value, rel=1e-12, abs=0)
    return None if value == "NULL" else value


def check(found: list[Row], expected: list[Row]) -> None:
    """Compare the columns that are expected; doubles to twelve digits."""
    assert len(found) == len(expected), found
    for got, row in zip(found, expected, strict=True):
        assert {name: got[name] for name in row} == {name: as_expected(value) for name, value in row.items()}


ALL: Final = [case for table in SELECTS for case in cases_of(table)]
each_case = pytest.mark.parametrize("case", ALL, ids=[f"{case.table}: {case.name}" for case in ALL])
each_table = pytest.mark.parametrize("table", SELECTS)


@each_case
def test_rows_in_give_the_rows_expected(case: Case) -> None:
    """What a case's sentence says is so."""
    check(rows_of(case), case.expected)


@each_case
def test_the_order_of_rows_changes_no_bit(case: Case) -> None:
    """The same records in reverse give the same table, doubles bit for bit."""
    backwards = {relation: rows[::-1] for relation, rows in case.rows.items()}
    assert repr(rows_of(replace(case, rows=backwards))) == repr(rows_of(case))


@each_case
def test_days_built_one_by_one_are_the_days_built_at_once(case: Case) -> None:
    """A period table's rows of a day come of that day's records alone, however many are bound."""
    if "-- partition: day" not in SELECTS[case.table].read_text("utf-8"):
        return
    connection = database(case.timezone)
    bind(connection, case, case.table, None)
    (relation,) = relations_of(case.table) - {"prices"}
    found = connection.sql(f"SELECT DISTINCT local_day({INSTANT_OF[relation]}) FROM {relation}").fetchall()
    if len(found) > 1:
        apart = [row for (day,) in found for row in rows_of(case, day)]
        assert sorted(map(repr, apart)) == sorted(map(repr, rows_of(case)))


@each_table
def test_nothing_comes_of_nothing(table: str) -> None:
    """Without records a table is empty, unless its cases say what it has then."""
    check(rows_of(Case(table, "nothing", [])), file_of(table).get("empty", []))


@each_table
def test_columns_are_those_of_the_dictionary(table: str) -> None:
    """Their names, order and types are as the dictionary says, and one case expects every one of them."""
    names = columns_of(table)
    relation = build(Case(table, "nothing", []), database("UTC"))
    assert relation.columns == names
    assert list(map(str, relation.types)) == [type_of(table, name) for name in names]
    assert any(list(row) == names for case in cases_of(table) for row in case.expected)


@each_table
def test_every_column_is_explained(table: str) -> None:
    """The header says what the table is, and a comment after each column what that is."""
    text = SELECTS[table].read_text("utf-8")
    assert re.match(
        r"-- \S.*\.\n-- grain: \S.*\n-- partition: \S.*\n(-- windows: \S.*\n)?(-- before: 1\n)?-- sort: \S.*\n\n\S",
        text,
    )
    select = sqlglot.parse_one(text, dialect="duckdb")
    assert isinstance(select, sqlglot.exp.Select)
    assert [column.alias_or_name for column in select.selects if not column.comments] == []
    order = sqlglot.parse_one(f"SELECT 1 ORDER BY {sort_of(table)}", dialect="duckdb")
    assert {column.name for column in order.find_all(sqlglot.exp.Column)} <= set(columns_of(table))


def test_every_case_belongs_to_a_table() -> None:
    """A file of cases stands where its table's select stands."""
    cases = {path.relative_to(CASES).with_suffix("") for path in CASES.glob("*/*.toml")}
    assert cases == {Path(path.parent.name, table) for table, path in SELECTS.items()}
