"""Results of a build and of its checks."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final


@dataclass(frozen=True)
class Built:
    """One table's share of a build: its stale partitions, rows written and seconds, and why it was stale."""

    table: str
    partitions: tuple[str, ...]
    rows: int
    seconds: float
    why: tuple[str, ...] = ()


class Severity(StrEnum):
    """Severity of a check: only a failed `fail` check stops the publish."""

    FAIL = "fail"
    WARN = "warn"


SAMPLE_CHARACTERS: Final = 300
"""How much of a sample row a message shows."""


class Result(StrEnum):
    """Result of a check, from good to bad."""

    OK = "ok"
    NOT_RUN = "not run"
    WARNING = "warning"
    FAILED = "failed"
    ERROR = "error"


@dataclass(frozen=True)
class Outcome:
    """A check that was run: how many rows it found, one of them as JSON, or why there is none to tell."""

    check: str
    severity: Severity
    result: Result
    rows: int | None = None
    sample: str | None = None
    why: str | None = None

    @property
    def forbids(self) -> bool:
        """Return whether it keeps a build from being published."""
        return self.result in {Result.FAILED, Result.ERROR}

    def __str__(self) -> str:
        """One line: what the check found, or why it could not be run."""
        if self.result is Result.ERROR:
            return f"check {self.check} cannot be run: {self.why}"
        sample = self.sample or ""
        cut = sample[:SAMPLE_CHARACTERS] + ("…" if len(sample) > SAMPLE_CHARACTERS else "")
        found = "1 row" if self.rows == 1 else f"{self.rows} rows"
        return f"check {self.check} {'failed' if self.forbids else 'warns'}: {found}, such as {cut}"
