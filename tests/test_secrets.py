"""No secret is ever said: not by the command, not by an error's text."""

from __future__ import annotations

from typing import TYPE_CHECKING, Final

import pytest

from tests.homes import home, tm
from tidemill.errors import redacted

if TYPE_CHECKING:
    from pathlib import Path

HIDDEN: Final = "hunter2"


@pytest.mark.parametrize(
    "path",
    [
        f"https://user:{HIDDEN}@example.org/x.jsonl",
        f"postgresql://user:{HIDDEN}@localhost:5432/db",
        f"s3://bucket/x.jsonl?secret_access_key={HIDDEN}&region=eu",
        f"x.jsonl?token={HIDDEN}",
    ],
)
def test_a_password_in_a_path_is_not_said(tmp_path: Path, path: str) -> None:
    """Neither by the command nor by an error's text, on the command line or in the settings."""
    mill = home(tmp_path, settings=f"[sources.app]\npath = {path!r}\nrecord = 'event'\n")
    for arguments in (["ingest"], ["ingest", path], ["run"]):
        said = tm(*arguments, at=mill)
        assert said.code == 2
        assert "***" in said.err
        assert HIDDEN not in said.err + said.out
    (report,) = mill.ingest()
    assert [HIDDEN in f"{failure} {failure!r}" for failure in report.failures] == [False]


@pytest.mark.parametrize(
    "text",
    [
        "C:/a@b is no file",
        "https://example.org:8080/a@b",
        "token buckets hold 5 tokens",
        "design=3 and total_tokens=5",
        'where takes column=value; not "x"',
        "/data/user:group/x",
    ],
)
def test_what_is_no_secret_is_said_as_it_is(text: str) -> None:
    """Only the password of a URL, and what a parameter says that is named like one, are left out."""
    assert redacted(text) == text
