from __future__ import annotations

import asyncio
from concurrent.futures import ThreadPoolExecutor

from tidemill.server.cache import Answers


def test_an_answer_is_kept_for_as_long_as_somebody_asks() -> None:
    """Each time it is asked for it is kept anew, and then goes."""
    made: list[str] = []

    def make() -> str:
        made.append("x")
        return "x"

    async def ask(texts: Answers[str], *pauses: float) -> int:
        for pause in pauses:
            await asyncio.sleep(pause)
            await texts.get("q", make)
        return len(made)

    with ThreadPoolExecutor(1) as pool:
        texts: Answers[str] = Answers(pool, ttl=0.5, timeout=5, most_bytes=100, size=len)
        assert asyncio.run(ask(texts, 0, *[0.1] * 9)) == 1
        assert asyncio.run(ask(texts, 0.6)) == 2
