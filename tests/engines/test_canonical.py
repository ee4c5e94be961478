from __future__ import annotations

import unicodedata

import pytest
from hypothesis import example, given
from hypothesis import settings as examples
from hypothesis import strategies as st

from tidemill.engine import connection

CONNECTION = connection.connect(threads=1)
APOSTROPHES = {
    unicodedata.lookup(name)
    for name in (
        "APOSTROPHE",
        "GRAVE ACCENT",
        "ACUTE ACCENT",
        "MODIFIER LETTER PRIME",
        "MODIFIER LETTER TURNED COMMA",
        "MODIFIER LETTER APOSTROPHE",
        "LEFT SINGLE QUOTATION MARK",
        "RIGHT SINGLE QUOTATION MARK",
        "SINGLE HIGH-REVERSED-9 QUOTATION MARK",
        "PRIME",
        "FULLWIDTH APOSTROPHE",
    )
}
OLD = [chr(n) for n in range(1, 0x30000) if unicodedata.ucd_3_2_0.category(chr(n)) not in {"Cn", "Cs", "Co"}]
"""The characters of Unicode 3.2, on whose kinds all later versions agree."""
AWKWARD = (
    *"aAéÉßẞ\u0131IİiΣ\u03c3ςжЖ\u0301\u0327\u0345\u20dd",
    *APOSTROPHES,
    *" \t\n\r\v\f\x1c\x1f\x85\u00a0\u2003\u2028\u2029\u200b\u00ad\x01",
    *'?!.,;-_/\\"%$€+<>|~^#*()[]{}…¿«»\u037e\u0387',
    *"0²½Ⅷ٣५\u4e00中が\u304b\u3099한\u1112\u1161\u11abकी\u093f\u0e33ª\u02b0ʰ\U0001d49c🙂\ufe0f\u200d\ufb01",
)
TEXTS = st.text(st.one_of(st.sampled_from(AWKWARD), st.sampled_from(OLD)), max_size=20)


def canonical(*texts: str) -> list[str]:
    """What the macro makes of texts."""
    query = "SELECT canonical(t) FROM unnest($texts::VARCHAR[]) WITH ORDINALITY r(t, n) ORDER BY n"
    return [found for (found,) in CONNECTION.execute(query, {"texts": list(texts)}).fetchall()]


def in_python(text: str) -> str:
    """The dictionary's sentence once more, by Python's own tables of characters."""
    lower = text.lower().replace("\N{GREEK SMALL LETTER FINAL SIGMA}", "\N{GREEK SMALL LETTER SIGMA}")
    parts = unicodedata.normalize("NFD", lower)
    bare = unicodedata.normalize(
        "NFC", "".join(part for part in parts if not unicodedata.category(part).startswith("M"))
    )
    kept = "".join(part for part in bare if part not in APOSTROPHES)
    blank = "".join(part if unicodedata.category(part)[0] in "LN" else " " for part in kept)
    return " ".join(blank.split()) or text.strip()


@examples(deadline=None, max_examples=100)
@given(texts=st.lists(TEXTS, min_size=1, max_size=20))
@example(texts=list(AWKWARD))
@example(texts=["", " ", "'", "\n?!\u2003", "Don\u2019t  panic\u2026", "\u039f\u0394\u039f\u03a3"])
def test_the_canonical_form_is_that_of_python(texts: list[str]) -> None:
    """Of any text, by the character."""
    assert canonical(*texts) == [in_python(text) for text in texts]


def test_every_character_has_the_form_of_python() -> None:
    """Alone, and between letters."""
    texts = [text for character in OLD for text in (character, f"a{character}b")]
    forms = zip(texts, canonical(*texts), map(in_python, texts), strict=True)
    assert [(text, found) for text, found, expected in forms if found != expected] == []


@examples(deadline=None, max_examples=100)
@given(text=TEXTS)
def test_the_canonical_form_is_its_own(text: str) -> None:
    """So a text that is written like its topic's form is of that topic."""
    (form,) = canonical(text)
    assert canonical(form) == [form]


@examples(deadline=None, max_examples=100)
@given(text=TEXTS, form=st.sampled_from(["NFC", "NFD"]))
def test_how_accents_are_encoded_makes_no_topic(text: str, form: str) -> None:
    """As characters of their own, or within those that they are on."""
    spelled = unicodedata.normalize(form, text)  # type: ignore[arg-type]
    found = canonical(text, spelled)
    assert found[0] == found[1] or found[0] == text.strip()


@pytest.mark.parametrize(
    ("spellings", "form"),
    [
        (
            [
                "What's my PIN?",
                "whats my pin",
                "WHAT\u2019S MY PIN!!",
                " what\u02bcs\tmy-pin ",
                "What`s  my\npin\u2026",
            ],
            "whats my pin",
        ),
        (["Où est-ce?", "ou est ce", "OU\u0300 EST CE", "où\u00a0est\u2013ce ?"], "ou est ce"),
        (["Stra\u00dfe", "STRA\u1e9eE"], "stra\u00dfe"),
        (["€20", "$20", "20%", "20"], "20"),
        (["m\u00b2", "M\u00b2."], "m\u00b2"),
        (["?!", " ?! ", "\n?!\t"], "?!"),
        (["", " ", "\u2003"], ""),
    ],
)
def test_spellings_of_one_question_have_one_form(spellings: list[str], form: str) -> None:
    """Case, accents, apostrophes, punctuation and blanks do not matter, unless there is nothing else."""
    assert canonical(*spellings) == [form] * len(spellings)


def test_no_text_has_no_form() -> None:
    """It is not the empty text."""
    assert CONNECTION.execute("SELECT canonical(NULL)").fetchall() == [(None,)]
