"""What was asked: questions that are the same but for their spelling."""

from __future__ import annotations

import unicodedata
from collections import Counter
from typing import TYPE_CHECKING, Any

from tests.oracle.activity import daily
from tests.oracle.clock import ended, within
from tests.oracle.figures import ratio
from tests.oracle.world import grouped

if TYPE_CHECKING:
    from tests.oracle.world import Row, World

APOSTROPHES = "'\u2018\u2019\u02bc"


def canonical(text: str) -> str:
    """Lower case without accents, apostrophes and punctuation; if nothing is left, the trimmed text."""
    decomposed = unicodedata.normalize("NFD", text.lower())
    bare = "".join(character for character in decomposed if unicodedata.category(character)[0] != "M")
    plain = unicodedata.normalize("NFC", bare)
    spaced = "".join(
        character if unicodedata.category(character)[0] in "LN" else " "
        for character in plain
        if character not in APOSTROPHES
    )
    return " ".join(spaced.split()) or text.strip()


def _questions(events: list[Row]) -> list[Row]:
    return [event for event in events if event["text"] is not None]


def trending_topics(world: World) -> list[Row]:
    """Which questions come up most, and whether they do more often than before."""

    def table(world: World, events: list[Row], hours: int) -> list[Row]:
        before = Counter(
            (event["assistant_id"], canonical(event["text"]))
            for event in _questions(within(world, hours, "question", back=1))
        )
        rows = [
            _asked(assistant, asked)
            | {"previous_frequency": before[assistant, form], "growth": len(asked) - before[assistant, form]}
            for (assistant, form), asked in _by_topic(events).items()
        ]
        return sorted(rows, key=_rank)

    return ended(world, table, "question")


def topics_daily(world: World) -> list[Row]:
    """What was asked each day, in which words."""
    groups = daily(world, _questions(world.of_type("question")), "assistant_id", "text")
    return [
        {"day": day, "assistant_id": assistant, "text": text, "questions": len(asked)}
        | {"canonical_text": canonical(text)}
        | {"first_asked": asked[0]["timestamp"], "last_asked": asked[-1]["timestamp"]}
        for (day, assistant, text), asked in groups.items()
    ]


def topics(world: World) -> list[Row]:
    """Which questions came up most of all that were ever asked."""
    rows = []
    for (assistant, form), asked in _by_topic(world.of_type("question")).items():
        row = _asked(assistant, asked)
        rows.append({"assistant_id": assistant, "topic": row["topic"], "canonical_text": form} | row)
    return sorted(rows, key=_rank)


def _by_topic(events: list[Row]) -> dict[Any, list[Row]]:
    return grouped(_questions(events), lambda event: (event["assistant_id"], canonical(event["text"])))


def _asked(assistant: str | None, asked: list[Row]) -> Row:
    return {
        "assistant_id": assistant,
        "topic": _topic(asked),
        "frequency": len(asked),
        "variations": len({event["text"] for event in asked}),
        "first_asked": asked[0]["timestamp"],
        "last_asked": asked[-1]["timestamp"],
    }


def _topic(asked: list[Row]) -> str:
    """The most frequent text; of equals the one asked first, then the smallest."""
    texts = grouped(asked, lambda event: event["text"])
    return str(min(texts, key=lambda text: (-len(texts[text]), texts[text][0]["timestamp"], text)))


def _rank(row: Row) -> tuple[int, float, str, bool, str]:
    assistant = row["assistant_id"]
    return -row["frequency"], -row["last_asked"].timestamp(), row["topic"], assistant is None, assistant or ""


def topic_diversity(world: World) -> list[Row]:
    """How varied the questions are."""

    def table(_world: World, events: list[Row], _hours: int) -> list[Row]:
        frequencies = Counter(canonical(event["text"]) for event in _questions(events))
        asked = frequencies.total()
        return [
            {
                "topics": len(frequencies),
                "questions": asked,
                "diversity": 1 - sum((f / asked) ** 2 for f in frequencies.values()) if asked else None,
                "dominant_share": ratio(max(frequencies.values(), default=0), asked),
            }
        ]

    return ended(world, table, "question")


def session_distribution(world: World) -> list[Row]:
    """How many sessions asked once, a few times, or often."""

    def table(_world: World, events: list[Row], _hours: int) -> list[Row]:
        questions = Counter(event["session_id"] for event in events if event["session_id"] is not None)
        buckets = Counter(_bucket(asked) for asked in questions.values())
        return [
            {"bucket": bucket, "sessions": buckets[bucket], "session_share": ratio(buckets[bucket], len(questions))}
            for bucket in ("single", "normal", "power")
        ]

    return ended(world, table, "question")


def _bucket(asked: int) -> str:
    if asked == 1:
        return "single"
    return "normal" if asked <= 5 else "power"
