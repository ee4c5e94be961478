"""Questions of a bank's customers, whose intents are known: what the canonical form of a text joins, and what not."""

from __future__ import annotations

import shutil
from collections import defaultdict
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.real.files import DATA, NEED_DATA, csv_rows
from tidemill import Tidemill
from tidemill.engine import connection as engine_connection

if TYPE_CHECKING:
    from collections.abc import Mapping

HERE = Path(__file__).parent
QUESTIONS, TEXTS, TOPICS = 10_003, 10_003, 9_971

pytestmark = NEED_DATA


@pytest.fixture(scope="module")
def questions() -> list[tuple[str, str]]:
    """Text and intent of each question."""
    return [(row["text"], row["category"]) for _, row in csv_rows("banking77")]


@pytest.fixture(scope="module")
def topics(questions: list[tuple[str, str]]) -> Mapping[str, list[tuple[str, str]]]:
    """The questions by the canonical form of their texts."""
    query = "SELECT canonical(t) FROM unnest($texts::VARCHAR[]) WITH ORDINALITY r(t, n) ORDER BY n"
    found = defaultdict(list)
    with engine_connection.connect() as connection:
        forms = connection.execute(query, {"texts": [text for text, _ in questions]}).fetchall()
    for (form,), question in zip(forms, questions, strict=True):
        found[form].append(question)
    return found


def test_texts_that_are_joined_are_of_one_intent(topics: Mapping[str, list[tuple[str, str]]]) -> None:
    """All pairs but one: a text to which the set gives one intent with a hyphen, and another without it."""
    merged = [asked for asked in topics.values() if len({text for text, _ in asked}) > 1]
    assert [len(asked) for asked in merged] == [2] * (TEXTS - TOPICS)
    (pair,) = [asked for asked in merged if len({intent for _, intent in asked}) > 1]
    assert len({text.replace("-", " ") for text, _ in pair}) == 1


def test_topics_and_what_they_join(
    questions: list[tuple[str, str]], topics: Mapping[str, list[tuple[str, str]]]
) -> None:
    """So many questions, different texts, and topics."""
    assert (len(questions), len({text for text, _ in questions}), len(topics)) == (QUESTIONS, TEXTS, TOPICS)


def test_the_tables_have_the_same_topics(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, topics: Mapping[str, list[tuple[str, str]]]
) -> None:
    """Each with its questions and its texts, as trending_topics and topic_diversity have them."""
    monkeypatch.setenv("TIDEMILL_REAL_DATA", str(DATA))
    shutil.copytree(HERE / "formats", tmp_path / "formats")
    settings = (HERE / "tidemill.toml").read_text("utf-8")
    start = settings.index("[sources.banking77]")
    (tmp_path / "tidemill.toml").write_text(settings[start : settings.index("[sources.", start + 1)])
    mill = Tidemill(tmp_path)
    mill.ingest()
    mill.build("trending_topics", "topic_diversity", as_of="2020-03-10T12:00Z")
    published = mill.sql("SELECT topic, frequency, variations FROM trending_topics WHERE window_hours = 24").fetchall()
    counted = sorted((len(asked), len({text for text, _ in asked})) for asked in topics.values())
    assert sorted((frequency, variations) for _, frequency, variations in published) == counted
    form = {text: form for form, asked in topics.items() for text, _ in asked}
    assert {form[topic] for topic, _, _ in published} == topics.keys()
    total = sum(frequency for frequency, _ in counted)
    diversity = 1 - sum(frequency**2 for frequency, _ in counted) / total**2
    assert (
        mill.sql("SELECT topics, questions, diversity, dominant_share FROM topic_diversity").fetchall()
        == [(len(topics), total, pytest.approx(diversity, rel=1e-12), max(counted)[0] / total)] * 3
    )
