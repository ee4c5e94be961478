from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.homes import home, rows
from tidemill.build.checks import definitions
from tidemill.catalog import column_types, dictionary
from tidemill.catalog import tables as catalog_tables
from tidemill.catalog.system_tables import OWN
from tidemill.cli import docs
from tidemill.errors import TableError

if TYPE_CHECKING:
    from tidemill import Tidemill

DICTIONARY = Path(__file__).parents[1] / "docs" / "tables.md"


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Tidemill:
    """A home whose tables are published, without a record."""
    made = home(tmp_path_factory.mktemp("dictionary"))
    made.build()
    return made


def test_the_documented_tables_are_those_that_there_are() -> None:
    """docs/tables.md is what the SQL files say; after a change to them, run: make docs."""
    assert DICTIONARY.read_text(encoding="utf-8") == docs.markdown()


def test_every_table_and_check_is_in_the_dictionary() -> None:
    """Each under its name, with every column."""
    text = docs.markdown()
    for name, table in catalog_tables.tables().items():
        section = text.partition(f"\n### {name}\n")[2].partition("\n### ")[0]
        assert table.description in section
        for column, comment in table.comments.items():
            assert f"\n| `{column}` | " in section
            assert f" | {comment.replace('|', chr(92) + '|')} |\n" in section
    for name in (*OWN, *definitions.shipped()):
        assert f"### {name}\n" in text or f"| `{name}` | " in text


def test_types_that_are_bound_are_types_that_are_published(mill: Tidemill) -> None:
    """The table table_columns has every column of every table in its order, itself and builds included."""
    expected = [
        (entry.name, column, made.type, made.description)
        for entry in sorted(dictionary.entries(), key=lambda entry: entry.name)
        for column, made in entry.columns.items()
    ]
    assert rows(mill, "FROM table_columns") == expected
    assert {name for name, *_ in expected} == {*catalog_tables.tables(), *OWN}


def test_a_key_is_of_the_tables_columns(mill: Tidemill) -> None:
    """Whatever the header calls its grain; a table of one row has none."""
    for entry in dictionary.entries():
        assert set(entry.key) <= set(entry.columns), entry.name
        assert entry.key or len(mill.show(entry.name)) == 1, entry.name


def test_the_pipelines_own_tables_have_the_columns_that_are_documented(mill: Tidemill) -> None:
    """In that order, each with its comment in the catalog."""
    for table in OWN.values():
        assert mill.show(table.name).columns == list(table.columns)
        found = rows(
            mill, f"SELECT column_name, data_type, comment FROM duckdb_columns() WHERE table_name = '{table.name}'"
        )
        assert found == [(name, column.type, column.description) for name, column in table.columns.items()]


def test_a_select_that_cannot_be_bound_is_named(tmp_path: Path) -> None:
    """With its file and line."""
    folder = tmp_path / "family"
    folder.mkdir()
    header = "-- What it is.\n-- grain: day\n-- partition: day\n-- sort: day\n"
    (folder / "one.sql").write_text(f"{header}\nSELECT\n    no_such AS day  -- the day\nFROM events\n")
    with pytest.raises(TableError, match=r"table one: sql/tables/family/one.sql, line 7: Binder Error: .*no_such"):
        column_types.types(catalog_tables.read(tmp_path).values())


@pytest.mark.parametrize(
    ("header", "key"),
    [
        ("grain: day, name\n-- partition: day", ("day", "name")),
        ("grain: one row, whatever\n-- partition: none", ()),
        ("grain: window\n-- partition: window\n-- windows: 24h", ("window_hours", "as_of")),
        ("grain: window, name\n-- partition: window\n-- windows: 24h", ("window_hours", "as_of", "name")),
        ("grain: name\n-- partition: window\n-- windows: 24h", ("window_hours", "as_of", "name")),
        ("grain: a call\n-- key: source, id\n-- partition: day", ("source", "id")),
    ],
)
def test_a_key_comes_of_the_grain(tmp_path: Path, header: str, key: tuple[str, ...]) -> None:
    """A window's table has those of the window first; a header may name the key itself."""
    (tmp_path / "family").mkdir()
    (tmp_path / "family" / "one.sql").write_text(f"-- What it is.\n-- {header}\n-- sort: day\nSELECT 1\nFROM events\n")
    assert catalog_tables.read(tmp_path)["one"].key == key
