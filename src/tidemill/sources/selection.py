"""Which sources an ingest is asked for: configured ones by name, and files by their paths."""

from __future__ import annotations

import difflib
import os
from pathlib import Path
from typing import TYPE_CHECKING, Final

from pydantic import ValidationError

from tidemill.config.settings import NATIVE, Source
from tidemill.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

    from tidemill.config.settings import Settings

FILES: Final = "files"
"""The source of files that are named on the command line."""


def sources(
    settings: Settings, names: Sequence[str], *, source: str | None = None, **given: str | None
) -> list[Source]:
    """The configured sources of those names, or all; other names are files, of the source `files` or the one named.

    What is `given` (record, format, timezone) holds for files; of a configured source it replaces the setting.
    """
    values = {key: value for key, value in given.items() if value is not None}
    if values.get("format", "").endswith(".sql"):
        values["format"] = str(Path(values["format"]).expanduser().absolute())
    if not names:
        if source and source not in settings.sources:
            raise UsageError.unknown("source", source, settings.sources)
        return [_with(settings.sources[name], values) for name in ([source] if source else settings.sources)]
    configured = [name for name in names if name in settings.sources]
    for name in names:
        if name not in settings.sources and _is_near(name, settings.sources):
            raise UsageError.unknown("source", name, settings.sources)
    paths = [str(Path(name).expanduser().absolute()) for name in names if name not in settings.sources]
    found = [_with(settings.sources[name], values) for name in configured]
    if paths:
        known = settings.sources.get(source or "")
        like = known.model_dump(exclude={"path"}) if known else {"name": source or FILES}
        found.append(_with(Source(**like, path=paths), values))
    return found


def _is_near(name: str, known: Iterable[str]) -> bool:
    """Whether a name is rather a source's, mistyped, than a file's: a plain word that no file has for a name."""
    return name.isidentifier() and not Path(name).exists() and bool(difflib.get_close_matches(name, known, cutoff=0.5))


def _with(source: Source, values: dict[str, str]) -> Source:
    try:
        found = source.given_besides(values)
    except ValidationError as error:
        fault = error.errors()[0]
        what = fault["msg"].removeprefix("Value error, ")
        raise UsageError(f"{'.'.join(map(str, fault['loc']))}: {what}") from error
    if "record" in values and found.format != NATIVE:
        raise UsageError(f"record is {values['record']}, but format {found.format} says itself which records it makes")
    return found


def expanded(path: str, base: Path) -> str:
    """A source's path with `~` and `${VARIABLES}` filled in, relative to the home."""
    return str(base / Path(os.path.expandvars(path)).expanduser())
