"""Answers that are kept: each made once for all who ask, for a while, and not for nobody."""

from __future__ import annotations

import asyncio
import time
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event
from typing import TYPE_CHECKING, Any

import pytest

from tidemill.server.cache import Answers

if TYPE_CHECKING:
    from collections.abc import Iterator

    Texts = Answers[str]


@contextmanager
def answers(*, ttl: float = 60, timeout: float = 5, most_bytes: int = 100, threads: int = 1) -> Iterator[Texts]:
    """Answers of texts, as long as they are."""
    with ThreadPoolExecutor(threads) as pool:
        yield Answers(pool, ttl=ttl, timeout=timeout, most_bytes=most_bytes, size=len)


class Made:
    """Makes answers, and counts them."""

    def __init__(self, seconds: float = 0.0, text: str = "x") -> None:
        self.seconds, self.text, self.times = seconds, text, 0

    def __call__(self) -> str:
        """Take a while, and answer."""
        self.times += 1
        time.sleep(self.seconds)
        return self.text


def test_who_asks_at_the_same_time_or_soon_after_shares_an_answer() -> None:
    """It is made once for all of them."""
    made = Made(0.1)

    async def ask(texts: Texts) -> list[Any]:
        together = await asyncio.gather(*(texts.get("q", made) for _ in range(50)))
        return [*together, await texts.get("q", made)]

    with answers() as texts:
        assert asyncio.run(ask(texts)) == ["x"] * 51
    assert made.times == 1


def test_an_answer_is_kept_for_so_long() -> None:
    """After that it is made again, without a time to live each time."""
    for ttl, times in ((0.05, 2), (0.0, 3)):
        made = Made()

        async def ask(texts: Texts, made: Made = made) -> None:
            for pause in (0.0, 0.1, 0.0):
                await asyncio.sleep(pause)
                await texts.get("q", made)

        with answers(ttl=ttl) as texts:
            asyncio.run(ask(texts))
        assert made.times == times


def test_the_oldest_answers_are_forgotten_first() -> None:
    """As soon as there is more than may be kept."""
    made = {name: Made(text="x" * 40) for name in "abc"}

    async def ask(texts: Texts) -> None:
        for name in "abcbca":
            await texts.get(name, made[name])

    with answers() as texts:
        asyncio.run(ask(texts))
    assert {name: one.times for name, one in made.items()} == {"a": 2, "b": 1, "c": 1}


def test_what_fails_is_told_to_all_and_not_kept() -> None:
    """Whoever asks next has it made again."""

    def fail() -> str:
        time.sleep(0.05)
        raise KeyError("no")

    async def ask(texts: Texts) -> list[Any]:
        failed = await asyncio.gather(*(texts.get("q", fail) for _ in range(3)), return_exceptions=True)
        return [*map(type, failed), await texts.get("q", Made())]

    with answers() as texts:
        assert asyncio.run(ask(texts)) == [KeyError, KeyError, KeyError, "x"]


def test_what_takes_too_long_is_there_for_who_asks_next() -> None:
    """The first is told that it takes too long; the work goes on, and is not begun anew."""
    made = Made(0.3)

    async def ask(texts: Texts) -> str:
        with pytest.raises(TimeoutError):
            await texts.get("q", made)
        with pytest.raises(TimeoutError):
            await texts.get("q", made)
        await asyncio.sleep(0.2)
        return await texts.get("q", made)

    with answers(timeout=0.1) as texts:
        assert asyncio.run(ask(texts)) == "x"
    assert made.times == 1


def test_what_nobody_waits_for_any_more_is_not_begun() -> None:
    """So questions that are given up do not keep the threads from those that are not; one of several goes on."""
    go, given_up = Event(), Made()

    async def ask(texts: Texts) -> str:
        first = asyncio.create_task(texts.get("slow", lambda: str(go.wait(5))))
        await asyncio.sleep(0.01)
        gone = [asyncio.create_task(texts.get(number, given_up)) for number in range(20)]
        shared = [asyncio.create_task(texts.get("shared", Made())) for _ in range(2)]
        await asyncio.sleep(0.01)
        for task in (*gone, shared[0]):
            task.cancel()
        await asyncio.gather(*gone, return_exceptions=True)
        again = asyncio.create_task(texts.get(0, Made(text="again")))
        await asyncio.sleep(0.01)
        go.set()
        return f"{await first} {await shared[1]} {await again}"

    with answers() as texts:
        assert asyncio.run(ask(texts)) == "True x again"
    assert given_up.times == 0
