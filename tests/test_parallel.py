"""Work that goes on at the same time: in the order of what needs what, each on a connection of its own."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import duckdb
import pytest

from tidemill import Tidemill
from tidemill.build.run import look
from tidemill.build.scheduler import each

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tidemill.build.context import Build


@pytest.fixture
def build(tmp_path: Path) -> Iterator[Build]:
    """A build of a home without records, with two threads."""
    mill = Tidemill(tmp_path)
    settings = mill.settings.model_copy(update={"threads": 2})
    with look(mill.home, settings) as found:
        yield found


def test_what_needs_another_waits_for_it(build: Build) -> None:
    """Each name comes after those that it needs; the results are in the order that was given."""
    done: list[str] = []
    needs = {"last": ["left", "right"], "left": ["first"], "right": ["first"], "first": []}

    def name_it(_: Build, name: str) -> str:
        done.append(name)
        return name.upper()

    assert each(build, needs, name_it) == {name: name.upper() for name in needs}
    assert (done[0], {*done[1:3]}, done[3]) == ("first", {"left", "right"}, "last")


def test_two_go_on_at_the_same_time_and_share_what_is_not_bound(build: Build) -> None:
    """Both see the database's tables, and neither what the other has bound."""
    build.connection.execute("CREATE TABLE shared AS SELECT 42 AS answer")
    together = threading.Barrier(2, timeout=30)

    def bound(own: Build, name: str) -> list[tuple[object, ...]]:
        own.connection.execute(f"CREATE TEMP VIEW mine AS SELECT answer, '{name}' AS name FROM shared")
        together.wait()
        return own.connection.execute("FROM mine").fetchall()

    assert each(build, {"a": (), "b": ()}, bound) == {"a": [(42, "a")], "b": [(42, "b")]}


def test_an_error_ends_what_else_goes_on(build: Build) -> None:
    """The first error is raised at once; a query that runs beside it is interrupted, and nothing more begins."""
    begun: list[str] = []
    together = threading.Barrier(2, timeout=30)

    def fail(own: Build, name: str) -> None:
        begun.append(name)
        if name in {"late", "later"}:  # in the moment before the error is seen
            return
        together.wait()
        if name == "bad":
            raise ValueError(name)
        with pytest.raises(duckdb.InterruptException):
            own.connection.execute("SELECT sum(hash(a.range)) FROM range(10_000_000) a, range(1_000_000) b")

    with pytest.raises(ValueError, match="bad"):
        each(build, {"bad": (), "long": (), **dict.fromkeys(["late", "later"], ()), "after": ["long"]}, fail)
    assert sorted(begun[:2]) == ["bad", "long"]
    assert "after" not in begun
