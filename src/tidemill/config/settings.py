"""tidemill.toml and the environment as checked settings; every setting has a default."""

from __future__ import annotations

import os
import re
import tomllib
import zoneinfo
from typing import TYPE_CHECKING, Annotated, Any, Final, Literal, Self

from pydantic import (
    AfterValidator,
    BaseModel,
    BeforeValidator,
    ConfigDict,
    Field,
    PrivateAttr,
    ValidationError,
    model_validator,
)
from pydantic_settings import BaseSettings, PydanticBaseSettingsSource, SettingsConfigDict

from tidemill.config.threshold import Threshold
from tidemill.errors import SettingsError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path


FILE: Final = "tidemill.toml"
"""The file of settings in the folder of a home."""
NATIVE: Final = "native"
PREFIX: Final = "TIDEMILL_"
"""How the environment variables begin that stand for settings: TIDEMILL_WINDOWS__REFRESH_MINUTES=5."""


def _known_timezone(name: str) -> str:
    try:
        zoneinfo.ZoneInfo(name if name != "localtime" else "")
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        known = zoneinfo.available_timezones() - {"localtime"}
        raise ValueError(str(UsageError.unknown("timezone", name, known))) from None
    return name


def _size(text: str) -> str:
    if not re.fullmatch(r"\d+(\.\d+)? ?([KMGT]i?B)", text):
        raise ValueError(f"a size is a number and a unit, like 8GB or 512MiB; not {text}")
    return text


Timezone = Annotated[str, AfterValidator(_known_timezone)]
Size = Annotated[str, AfterValidator(_size)]
Amount = Annotated[float, Field(ge=0, allow_inf_nan=False)]


def _listed(value: object) -> object:
    return [value] if isinstance(value, str) else value


class Source(BaseModel):
    """Where records come from, and how to read them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    name: str = ""
    path: Annotated[list[str], BeforeValidator(_listed), Field(min_length=1)]
    record: Literal["job", "event", "metric"] | None = None
    format: str = NATIVE
    timezone: Timezone = "UTC"
    timestamp: str | None = None
    id_prefix: str = ""
    max_expansion: Annotated[int, Field(ge=1)] = 250
    _given: dict[str, str] = PrivateAttr(default_factory=dict)

    @property
    def given(self) -> dict[str, str]:
        """The settings that were given for one ingest alone, instead of the configured ones."""
        return self._given

    def given_besides(self, values: dict[str, str]) -> Source:
        """The source with some settings given instead of its own.

        Raises:
            ValidationError: one is not what that setting may be.
        """
        source = Source(**(self.model_dump() | values))
        source._given.update(self._given | values)
        return source


class Windows(BaseModel):
    """Tables over a window that ends at the run's moment."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    refresh_minutes: Annotated[int, Field(ge=0)] = 60


class Snapshots(BaseModel):
    """How many published snapshots are kept for readers that still use them."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    keep: Annotated[int, Field(ge=1)] = 5


class Query(BaseModel):
    """What a reader's SQL may use beside the memory limit; 0 seconds are no limit."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    timeout_seconds: Annotated[int, Field(ge=0)] = 600


class Serve(BaseModel):
    """What the server offers, and how much of it at once.

    An answer is kept until nobody asked for it for `cache_ttl` seconds; WebSocket clients are sent the newest every
    `push_seconds`.
    """

    model_config = ConfigDict(extra="forbid", frozen=True)

    host: str = "127.0.0.1"
    port: Annotated[int, Field(ge=0, le=65535)] = 8000
    grpc_port: Annotated[int, Field(ge=0, le=65535)] = 50055
    sql: bool = False
    cors_origins: Annotated[list[str], BeforeValidator(_listed)] = []
    cache_ttl: Amount = 10.0
    push_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 10.0
    timeout_seconds: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 30.0
    max_rows: Annotated[int, Field(ge=1)] = 1_000_000
    max_request_bytes: Annotated[int, Field(ge=1)] = 1 << 20
    max_requests: Annotated[int, Field(ge=1)] = 100
    max_websockets: Annotated[int, Field(ge=1)] = 2_000


class Functions(BaseModel):
    """How long, in seconds, a function's call takes at most that is short, medium or long."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    short_max: Amount = 2.0
    medium_max: Amount = 5.0
    long_max: Amount = 10.0

    @model_validator(mode="after")
    def _ascending(self) -> Self:
        if not self.short_max <= self.medium_max <= self.long_max:
            raise ValueError(
                "short_max, medium_max and long_max must not fall; "
                f"they are {self.short_max:g}, {self.medium_max:g} and {self.long_max:g}"
            )
        return self


class Knowledge(BaseModel):
    """What the documents of a knowledge base cost in US dollars, and the minutes that each of them saves."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    cost_per_1k_tokens: Amount = 0.0001
    minutes_saved_per_document: Amount = 5.0


class Settings(BaseSettings):
    """All settings of a home."""

    model_config = SettingsConfigDict(
        extra="forbid", frozen=True, env_prefix=PREFIX, env_nested_delimiter="__", enable_decoding=False
    )

    timezone: Timezone = "UTC"
    memory_limit: Size | None = None
    threads: Annotated[int | None, Field(ge=1)] = None
    lock_wait_seconds: Amount = 600.0
    durability: Literal["none", "fsync"] = "none"
    sources: dict[str, Source] = {}
    windows: Windows = Windows()
    snapshots: Snapshots = Snapshots()
    query: Query = Query()
    serve: Serve = Serve()
    functions: Functions = Functions()
    knowledge: Knowledge = Knowledge()
    thresholds: dict[str, Threshold] = {}

    @property
    def parameters(self) -> dict[str, float]:
        """The settings that a table's select may name, as `$short_max`."""
        return self.functions.model_dump() | self.knowledge.model_dump()

    @property
    def durable(self) -> bool:
        """Whether a power failure, too, must lose nothing that was committed or published."""
        return self.durability == "fsync"

    @classmethod
    def settings_customise_sources(
        cls,
        settings_cls: type[BaseSettings],  # noqa: ARG003 - the library's signature
        init_settings: PydanticBaseSettingsSource,
        env_settings: PydanticBaseSettingsSource,
        dotenv_settings: PydanticBaseSettingsSource,  # noqa: ARG003
        file_secret_settings: PydanticBaseSettingsSource,  # noqa: ARG003
    ) -> tuple[PydanticBaseSettingsSource, ...]:
        """The environment wins over tidemill.toml."""
        return env_settings, init_settings


def load(home: Path) -> Settings:
    """The settings of a home; SettingsError names the file, the key and what is wrong with it."""
    file = home / FILE
    try:
        text = file.read_text(encoding="utf-8-sig")
        values: dict[str, Any] = tomllib.loads(text)
    except FileNotFoundError:
        values = {}
    except OSError as error:
        raise SettingsError(f"{file} cannot be read: {error.strerror}") from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise SettingsError(f"{file} is not TOML: {error}") from error
    try:
        settings = Settings(**values)
    except ValidationError as error:
        raise SettingsError(_first_fault(file, error)) from error
    sources = {name: source.model_copy(update={"name": name}) for name, source in settings.sources.items()}
    limits = {name: threshold.model_copy(update={"name": name}) for name, threshold in settings.thresholds.items()}
    return settings.model_copy(update={"sources": sources, "thresholds": limits})


def of_reader(home: Path) -> Settings:
    """The settings of a home, or the defaults where these cannot be used: nobody who only reads need mend them."""
    try:
        return load(home)
    except SettingsError:
        return Settings.model_construct()


def _first_fault(file: Path, error: ValidationError) -> str:
    faults = error.errors()
    fault = next((fault for fault in faults if fault["type"] == "extra_forbidden"), faults[0])
    loc = [str(part) for part in fault["loc"]]
    key = ".".join(loc)
    if fault["type"] == "extra_forbidden":
        what = f"{UsageError.unknown('setting', loc[-1], _known_keys(loc))} (at {key})"
    else:
        what = f"{key}: {fault['msg'].removeprefix('Value error, ')}"
    return f"{origin(file, loc)}: {what}"


def _known_keys(loc: Sequence[str]) -> Iterable[str]:
    """The settings that stand beside an unknown one."""
    sections: dict[str, type[BaseModel]] = {
        "windows": Windows,
        "snapshots": Snapshots,
        "query": Query,
        "serve": Serve,
        "functions": Functions,
        "knowledge": Knowledge,
        "sources": Source,
        "thresholds": Threshold,
    }
    beside = sections[loc[0]] if len(loc) > 1 else Settings
    return beside.model_fields.keys() - {"name"}


def origin(file: Path, loc: Sequence[str]) -> str:
    """What said a setting: an environment variable, or else the file."""
    names = {f"{PREFIX}{'__'.join(loc[:n])}".upper() for n in range(1, len(loc) + 1)}
    return next((name for name in os.environ if name.upper() in names), str(file))
