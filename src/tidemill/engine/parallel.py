"""Work on what does not need each other, at the same time: one keeps the processors busy where another cannot."""

from __future__ import annotations

import time
from concurrent.futures import FIRST_COMPLETED, CancelledError, ThreadPoolExecutor, wait
from graphlib import TopologicalSorter
from queue import SimpleQueue
from threading import Event
from typing import TYPE_CHECKING, Final, TypeVar

from tidemill.engine import connection as engine_connection

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable, Iterable, Mapping, Sequence
    from concurrent.futures import Future

    from duckdb import DuckDBPyConnection

    K = TypeVar("K", bound=Hashable)
    O = TypeVar("O")  # noqa: E741 - what each of them owns
    T = TypeVar("T")

AT_ONCE: Final = 2
"""More would share the same processors, and each needs memory of its own."""
EACH_BYTES: Final = 256 << 20
"""With less memory for each they go one after the other."""
INTERRUPT_SECONDS: Final = 0.05


def share(
    owns: Sequence[O], needs: Mapping[K, Iterable[K]], work: Callable[[O, K], T], interrupt: Callable[[O], None]
) -> dict[K, T]:
    """What some work gives for each name, done after that for the names that it needs, by as many as there are `owns`.

    Each is given one of these for itself. The first error ends what is going on, and is raised.
    """
    order = TopologicalSorter(needs)
    order.prepare()
    found: dict[K, T] = {}
    running: dict[Future[T], K] = {}
    idle: SimpleQueue[O] = SimpleQueue()

    ended = Event()

    def one(name: K) -> T:
        own = idle.get()
        try:
            if ended.is_set():
                raise CancelledError
            return work(own, name)
        finally:
            idle.put(own)

    for own in owns:
        idle.put(own)
    with ThreadPoolExecutor(len(owns)) as pool:
        try:
            while order.is_active():
                running |= {pool.submit(one, name): name for name in order.get_ready()}
                for future in wait(running, return_when=FIRST_COMPLETED).done:
                    name = running.pop(future)
                    found[name] = future.result()
                    order.done(name)
        except BaseException:
            ended.set()
            pool.shutdown(wait=False, cancel_futures=True)
            while idle.qsize() < len(owns):  # of a thread that has just been started the pool may not know
                for own in owns:  # what is between two queries goes on with the next
                    interrupt(own)
                time.sleep(INTERRUPT_SECONDS)
            raise
    return {name: found[name] for name in needs}


def at_once(connection: DuckDBPyConnection, wanted: int) -> int:
    """How many of so many things are done at the same time, on connections to one database."""
    room = engine_connection.memory(connection) // EACH_BYTES
    return max(1, min(AT_ONCE, engine_connection.threads(connection), room, wanted))
