"""Answers on their way: each made once however many ask for it at the same time, and kept for a while."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from dataclasses import dataclass
from typing import TYPE_CHECKING, Generic, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Hashable
    from concurrent.futures import Executor, Future

T = TypeVar("T")


@dataclass(eq=False)
class Making(Generic[T]):
    """An answer that is being made, or is to be, and how many wait for it."""

    work: Future[T]
    done: asyncio.Future[T]
    waiting: int = 0


class Answers(Generic[T]):
    """What was asked lately, by its question; of more than `most_bytes` what was not asked for longest goes first.

    A question names a snapshot, which never changes: its answer is as good as ever for as long as somebody asks.
    """

    def __init__(
        self, threads: Executor, *, ttl: float, timeout: float, most_bytes: int, size: Callable[[T], int]
    ) -> None:
        self.threads = threads
        self._ttl = ttl
        self._timeout = timeout
        self._most_bytes = most_bytes
        self._size = size
        self._bytes = 0
        self._kept: OrderedDict[Hashable, tuple[float, T]] = OrderedDict()
        self._making: dict[Hashable, Making[T]] = {}

    async def get(self, question: Hashable, make: Callable[[], T]) -> T:
        """The answer that is kept, or that somebody is waiting for already, or a new one, made in a thread.

        Raises:
            TimeoutError: it takes too long; whoever asks next waits for it again, unless it had not even begun.
        """
        kept = self._kept.get(question)
        if kept and kept[0] > (now := time.monotonic()):
            self._kept[question] = (now + self._ttl, kept[1])
            self._kept.move_to_end(question)
            return kept[1]
        making = self._making.get(question) or self._begun(question, make)
        making.waiting += 1
        try:
            async with asyncio.timeout(self._timeout):
                return await asyncio.shield(making.done)
        finally:
            making.waiting -= 1
            if not making.waiting and making.work.cancel():
                self._end(question, making)

    def _begun(self, question: Hashable, make: Callable[[], T]) -> Making[T]:
        work = self.threads.submit(make)
        making = Making(work, asyncio.wrap_future(work))
        self._making[question] = making
        making.done.add_done_callback(lambda done: self._made(question, making, done))
        return making

    def _end(self, question: Hashable, making: Making[T]) -> None:
        if self._making.get(question) is making:
            del self._making[question]

    def _made(self, question: Hashable, making: Making[T], done: asyncio.Future[T]) -> None:
        self._end(question, making)
        if done.cancelled() or done.exception():
            return
        now = time.monotonic()
        self._forget(question)
        self._kept[question] = (now + self._ttl, done.result())
        self._bytes += self._size(done.result())
        while self._kept:
            oldest, (until, _) = next(iter(self._kept.items()))
            if until > now and self._bytes <= self._most_bytes:
                break
            self._forget(oldest)

    def _forget(self, question: Hashable) -> None:
        if kept := self._kept.pop(question, None):
            self._bytes -= self._size(kept[1])
