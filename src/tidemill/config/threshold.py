"""A threshold as the settings have it: a limit to a column of a table's rows."""

from __future__ import annotations

from datetime import date
from typing import Annotated, Any, Final, Literal

from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field

from tidemill.config import duration

_WORDS: Final = {"above": ">", "at least": ">=", "below": "<", "at most": "<="}


def _span(text: str) -> str:
    if duration.hours(text) is None:
        raise ValueError(f"a window is a number of hours or days, like 24h or 7d; not {text}")
    return text


def _symbol(operator: object) -> object:
    return _WORDS.get(operator, operator) if isinstance(operator, str) else operator


def _figure(value: object) -> object:
    if isinstance(value, bool):
        raise ValueError(f"a limit is a number, not {str(value).lower()}")  # noqa: TRY004 - what pydantic tells
    return value


def _text(value: object) -> str:
    if isinstance(value, bool):
        return str(value).lower()
    if isinstance(value, str | int | float | date):
        return str(value)
    raise ValueError(f"a column equals one text, number, time or truth value; not {value}")


Span = Annotated[str, AfterValidator(_span)]
Operator = Annotated[Literal[">", ">=", "<", "<=", "=", "!="], BeforeValidator(_symbol)]
Figure = Annotated[float, BeforeValidator(_figure), Field(allow_inf_nan=False)]
Value = Annotated[str, BeforeValidator(_text)]


class Threshold(BaseModel):
    """A limit to a column of a table's rows: of those that `where` names, over a window up to the build's moment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    table: str
    column: str
    operator: Operator
    limit: Figure
    window: Span | None = None
    where: dict[str, Value] = {}

    @property
    def hours(self) -> int | None:
        """The hours of its window, if it has one."""
        return duration.hours(self.window) if self.window else None

    @property
    def definition(self) -> dict[str, Any]:
        """All but its name, as JSON has it."""
        return self.model_dump(exclude={"name"})
