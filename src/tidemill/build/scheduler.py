"""Scheduling of tables on several connections."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping

    from tidemill.build.context import Build

    K = TypeVar("K", bound=Hashable)
    O = TypeVar("O")  # noqa: E741 - what each of them owns
    T = TypeVar("T")
from tidemill.engine.parallel import at_once, share


def each(build: Build, needs: Mapping[K, Iterable[K]], work: Callable[[Build, K], T]) -> dict[K, T]:
    """Run some work for each table, after that for the tables it needs, and return the results.

    It is given the build with a connection of its own to the same database, in which nothing is bound.
    """
    number = at_once(build.connection, len(needs)) - 1
    builds = [build, *(replace(build, connection=build.another(n)) for n in range(number))]
    return share(builds, needs, work, lambda own: own.connection.interrupt())
