from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import sqlglot

from tests.homes import home
from tidemill.catalog import tables as catalog_tables
from tidemill.config.resources import sql_folder
from tidemill.errors import TableError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

HEADER = "-- What it is.\n-- grain: day\n-- partition: day\n-- sort: day\n"


def write(folder: Path, **texts: str) -> Path:
    """Write tables of those names and texts."""
    (folder / "family").mkdir(exist_ok=True)
    for name, text in texts.items():
        (folder / "family" / f"{name}.sql").write_text(text)
    return folder


def table(folder: Path, text: str) -> catalog_tables.Table:
    """The table of one text."""
    return catalog_tables.read(write(folder, one=text))["one"]


# What a header says


def test_a_header_and_what_follows_from_it(tmp_path: Path) -> None:
    """Name, family, description, grain, partition and its column, sort, windows."""
    header = "-- How it was.\n-- grain: hour, name\n-- partition: day of hour\n-- sort: hour, name\n"
    found = table(tmp_path, f"{header}\nSELECT 1\nFROM events\n")
    assert (found.name, found.family, found.description) == ("one", "family", "How it was.")
    assert (found.grain, found.partition, found.partition_column) == ("hour, name", "day", "hour")
    assert (found.sort, found.windows) == (("hour", "name"), ())


@pytest.mark.parametrize(
    ("partition", "column"),
    [("day", "day"), ("week", "week_start"), ("month", "month_start"), ("day of created_at", "created_at")],
)
def test_a_period_has_a_column(tmp_path: Path, partition: str, column: str) -> None:
    """That of its name, unless the header says another."""
    header = HEADER.replace("partition: day", f"partition: {partition}").replace("sort: day", f"sort: {column}")
    assert table(tmp_path, header + "SELECT 1\nFROM events\n").partition_column == column


def test_windows_are_hours(tmp_path: Path) -> None:
    """However they are written."""
    header = HEADER.replace("partition: day", "partition: window\n-- windows: 24h, 7d,30d")
    assert table(tmp_path, header + "SELECT 1\nFROM events\n").windows == (24, 168, 720)


def test_a_table_may_ask_for_the_window_before(tmp_path: Path) -> None:
    """It is then given twice the hours."""
    header = HEADER.replace("partition: day", "partition: window\n-- windows: 24h")
    one = table(tmp_path, header + "SELECT 1\nFROM events\n")
    both = table(tmp_path, header + "-- before: 1\nSELECT 1\nFROM events\n")
    assert [(found.before, found.stretch(24)) for found in (one, both)] == [(False, 24), (True, 48)]


def test_a_sort_may_be_of_expressions(tmp_path: Path) -> None:
    """A comma within parentheses divides nothing."""
    sort = "sort: day, name DESC, list_position(['b', 'a'], name), name"
    found = table(tmp_path, HEADER.replace("sort: day", sort) + "SELECT 1\nFROM events\n")
    assert found.sort == ("day", "name DESC", "list_position(['b', 'a'], name)", "name")


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        (
            HEADER.replace("sort: day", "sort: name, day") + "SELECT 1\n",
            "its sort does not begin with day, by which its files are cut",
        ),
        ("SELECT 1\n", "its header lacks grain, partition, sort"),
        ("-- What.\n-- grain: day\n-- sort: day\nSELECT 1\n", "its header lacks partition"),
        ("\n" + HEADER + "SELECT 1\n", "its header lacks a description"),
        ("", "its header lacks grain, partition, sort"),
        (
            HEADER.replace("partition: day", "partition: year"),
            "partition is year, not one of day, week, month, window, none",
        ),
        (HEADER.replace("partition: day", "partition: window"), "its header lacks windows"),
        (
            HEADER.replace("partition: day", "partition: window\n-- windows: 24"),
            "a window is a number of hours or days like 24h or 7d, not 24",
        ),
        (
            HEADER.replace("partition: day", "partition: window\n-- windows: 24h, 0h"),
            "a window is a number of hours or days like 24h or 7d, not 0h",
        ),
        (
            HEADER.replace("partition: day", "partition: window\n-- windows: 24h\n-- before: 2"),
            "before is 1, of a window table, or is not there",
        ),
        (HEADER + "-- before: 1\n", "before is 1, of a window table, or is not there"),
    ],
)
def test_a_header_that_is_none_is_said_with_its_file(tmp_path: Path, text: str, fault: str) -> None:
    """What it lacks, or what is wrong in it."""
    with pytest.raises(TableError) as raised:
        table(tmp_path, text)
    assert str(raised.value) == f"{tmp_path}/family/one.sql: {fault}"


# What a table reads


@pytest.mark.parametrize(
    ("select", "reads"),
    [
        ("SELECT 1\nFROM events", {"events"}),
        ("SELECT 1\nFROM jobs\nLEFT JOIN metrics USING (x)", {"jobs", "metrics"}),
        ("SELECT 1\nFROM prices, events", {"prices", "events"}),
        ("select 1 from events join other on true", {"events", "other"}),
        ("WITH events AS (SELECT 1 FROM jobs)\nSELECT 1\nFROM events", {"jobs"}),
        ("WITH a AS (SELECT 1 FROM events),\nb AS MATERIALIZED (SELECT 1 FROM a)\nSELECT 1\nFROM b", {"events"}),
        ("-- FROM metrics\nSELECT 1  -- FROM jobs\nFROM events", {"events"}),
        ("SELECT 1\nFROM nowhere", set()),
        ("SELECT (SELECT max(x) FROM other)\nFROM events", {"events", "other"}),
    ],
)
def test_what_a_select_reads(tmp_path: Path, select: str, reads: set[str]) -> None:
    """Records, prices and other tables, but not the names that it defines itself."""
    folder = write(tmp_path, one=f"{HEADER}\n{select}\n", other=f"{HEADER}\nSELECT 1\nFROM events\n")
    assert catalog_tables.read(folder)["one"].reads == reads


def test_each_table_comes_after_what_it_reads(tmp_path: Path) -> None:
    """Whatever they are called."""
    texts = {name: f"{HEADER}SELECT 1\nFROM {other}\n" for name, other in (("a", "b"), ("b", "c"), ("c", "events"))}
    assert list(catalog_tables.read(write(tmp_path, **texts))) == ["c", "b", "a"]


def test_a_circle_is_named(tmp_path: Path) -> None:
    """Tables that read each other cannot be built."""
    texts = {name: f"{HEADER}SELECT 1\nFROM {other}\n" for name, other in (("a", "b"), ("b", "a"))}
    with pytest.raises(TableError, match=r"tables read each other in a circle: [ab] → [ab] → [ab]"):
        catalog_tables.read(write(tmp_path, **texts))


def test_comments_are_the_columns(tmp_path: Path) -> None:
    """Each by the name that it has in the result, from the outermost select alone."""
    text = (
        HEADER
        + "WITH x AS (\n    SELECT\n        inner_column,  -- not this\n    FROM events\n)\n\nSELECT\n"
        + '    plain,  -- as it is\n    x.qualified,  -- of x\n    1 + 2 AS "sum",  -- added -- twice\n'
        + "    CASE WHEN a THEN b END\n        AS long,  -- on two lines\n"
        + "    count(*) AS last  -- without a comma\nFROM x\n"
    )
    assert table(tmp_path, text).comments == {
        "plain": "as it is",
        "qualified": "of x",
        "sum": "added -- twice",
        "long": "on two lines",
        "last": "without a comma",
    }


# The tables that there are


@pytest.fixture(scope="module")
def columns(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """The columns of every published table."""
    mill = home(tmp_path_factory.mktemp("catalog"))
    mill.build()
    return {name: mill.show(name).columns for name in mill.tables()}


@pytest.mark.parametrize("name", catalog_tables.tables())
def test_every_table_explains_itself(name: str, columns: dict[str, list[str]]) -> None:
    """Its description is a sentence, its comments are exactly its columns, and it has a file of cases."""
    found = catalog_tables.table(name)
    assert found.description.endswith(".")
    assert list(found.comments) == columns[name]
    assert (sql_folder().parent / "tests" / "sql" / "tables" / found.family / f"{name}.toml").exists()


@pytest.mark.parametrize("name", catalog_tables.tables())
def test_every_table_has_the_columns_of_its_header(name: str, columns: dict[str, list[str]]) -> None:
    """Those of its sort, its grain and its partition; and the sort ends in the key."""
    found = catalog_tables.table(name)
    order = sqlglot.parse_one(f"SELECT 1 ORDER BY {', '.join(found.sort)}", dialect="duckdb")
    sort = {column.name for column in order.find_all(sqlglot.exp.Column)}
    assert sort <= set(columns[name])
    if found.partition in {"day", "week", "month"}:
        assert found.partition_column in columns[name]
    if found.partition == "window":
        assert columns[name][:2] == ["window_hours", "as_of"]
    assert set(found.key) <= sort


@pytest.mark.parametrize("name", catalog_tables.tables())
def test_what_is_of_days_can_be_made_of_fewer_days(name: str) -> None:
    """Only what is built whole, and reads nothing but tables of days."""
    found = catalog_tables.table(name)
    of_days = {catalog_tables.tables()[read].partition for read in found.reads & catalog_tables.tables().keys()} == {
        "day"
    }
    assert catalog_tables.is_of_days(found) == (
        found.partition == "none" and of_days and catalog_tables.PRICES not in found.reads
    )


@pytest.mark.parametrize("name", catalog_tables.tables())
def test_a_table_that_is_built_whole_reads_only_tables(name: str) -> None:
    """It would have to read all events at each build; and every table reads something."""
    found = catalog_tables.table(name)
    assert found.reads
    assert not (found.partition == "none" and found.records)


def test_an_unknown_table_names_the_nearest() -> None:
    """Or all, when none is near."""
    with pytest.raises(UsageError, match=r"there is no table .job_total.; did you mean .job_totals.\?"):
        catalog_tables.table("job_total")
    with pytest.raises(UsageError, match="there are: activity_daily, activity_hourly, "):
        catalog_tables.table("xyzzy")
    assert catalog_tables.known("builds") == "builds"


def test_inputs_come_with_a_table_and_before_it() -> None:
    """Those of its inputs too, and no other table."""
    assert catalog_tables.with_inputs(["sessions"]) == ["session_activity_daily", "sessions"]
    assert catalog_tables.with_inputs(["sessions", "sessions"]) == ["session_activity_daily", "sessions"]
    assert catalog_tables.with_inputs([]) == list(catalog_tables.tables())
