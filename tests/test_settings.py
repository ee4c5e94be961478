from __future__ import annotations

import json
import re
import zoneinfo
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.homes import event, tm
from tidemill import Tidemill
from tidemill.config import memory
from tidemill.config.example import EXAMPLE
from tidemill.config.settings import Functions, Knowledge, Settings, Snapshots, Source, Windows, load
from tidemill.config.threshold import Threshold
from tidemill.engine import connection as engine_connection
from tidemill.errors import SettingsError
from tidemill.sources.selection import expanded

if TYPE_CHECKING:
    from pathlib import Path

THRESHOLD: Final = '[thresholds.a]\ntable = "user_usage"\ncolumn = "cost_usd"\noperator = ">"\n'


def settings_of(folder: Path, text: str | bytes) -> Settings:
    """The settings of a home with that tidemill.toml."""
    (folder / "tidemill.toml").write_bytes(text.encode() if isinstance(text, str) else text)
    return load(folder)


def fault_of(folder: Path, text: str | bytes) -> str:
    """What is wrong with a tidemill.toml, after the name of the file."""
    with pytest.raises(SettingsError) as raised:
        settings_of(folder, text)
    message = str(raised.value)
    assert message.startswith(f"{folder}/tidemill.toml")
    assert "\n" not in message
    return message.removeprefix(f"{folder}/tidemill.toml").removeprefix(": ").strip()


def test_without_a_file_all_is_default(tmp_path: Path) -> None:
    """A home needs no tidemill.toml, and may even not be there."""
    assert load(tmp_path / "none") == Settings()
    assert settings_of(tmp_path, "") == Settings()


def test_the_text_of_init_is_all_comments(tmp_path: Path) -> None:
    """As it is written it changes nothing."""
    assert settings_of(tmp_path, EXAMPLE) == Settings()


def test_the_text_of_init_names_every_setting_with_its_default(tmp_path: Path) -> None:
    """Without the comment marks it loads, and says what holds anyway, but for what has no fixed default."""
    lines = [re.sub(r"^# (?=\[|\w+ = )", "", line) for line in EXAMPLE.splitlines()]
    found = settings_of(tmp_path, "\n".join(lines))
    app = found.sources["app"]
    no_default = {"sources", "thresholds", "memory_limit", "threads"}
    assert found.model_dump(exclude=no_default) == Settings().model_dump(exclude=no_default)
    assert (found.memory_limit, found.threads) == ("8GB", 2)
    assert app == Source(name="app", path=["raw/*.jsonl"], record="event", timestamp="2026-01-01", id_prefix="app-")
    assert found.thresholds == {
        "costly_user": Threshold(
            name="costly_user",
            table="user_usage",
            column="cost_usd",
            operator=">",
            limit=50,
            window="24h",
            where={"user_id": "u1"},
        )
    }
    for model in (Settings, Windows, Snapshots, Functions, Knowledge, Source, Threshold):
        for name in model.model_fields.keys() - {"name"}:
            assert re.search(rf"^# (\[{name}(\.\w+)?\]|{name} = )", EXAMPLE, re.MULTILINE), name


def test_the_default_memory_is_what_the_text_of_init_says() -> None:
    """Without memory_limit a command may use 60 % of what there is, and the engine all of it but what Python holds."""
    assert "default: 60 % of the machine" in EXAMPLE
    everything = memory.limit(None)
    assert everything == int(0.6 * memory.available())
    with engine_connection.connect() as connection:
        assert engine_connection.memory(connection) == pytest.approx(everything - memory.BESIDE, rel=0.01)


@pytest.mark.parametrize(
    ("text", "fault"),
    [
        ('timezon = "UTC"', 'there is no setting "timezon"; did you mean "timezone"? (at timezon)'),
        (
            "[windows]\nrefresh_minute = 3",
            'there is no setting "refresh_minute"; did you mean "refresh_minutes"? (at windows.refresh_minute)',
        ),
        ("[snapshots]\nkep = 3", 'there is no setting "kep"; did you mean "keep"? (at snapshots.kep)'),
        (
            '[sources.a]\npath = "x"\nformt = "y"',
            'there is no setting "formt"; did you mean "format"? (at sources.a.formt)',
        ),
        ("[window]\nrefresh_minutes = 3", 'there is no setting "window"; did you mean "windows"? (at window)'),
        ('timezone = "Europe/Berln"', 'timezone: there is no timezone "Europe/Berln"; did you mean "Europe/Berlin"?'),
        ('timezone = "localtime"', 'timezone: there is no timezone "localtime"'),
        ("timezone = 3", "timezone: Input should be a valid string"),
        ('[sources.a]\npath = "x"\ntimezone = "CE"', 'sources.a.timezone: there is no timezone "CE"'),
        ("threads = 0", "threads: Input should be greater than or equal to 1"),
        ('memory_limit = "8"', "memory_limit: a size is a number and a unit, like 8GB or 512MiB; not 8"),
        ("[snapshots]\nkeep = 0", "snapshots.keep: Input should be greater than or equal to 1"),
        ("[windows]\nrefresh_minutes = -1", "windows.refresh_minutes: Input should be greater than or equal to 0"),
        ("[functions]\nshort_max = -0.5", "functions.short_max: Input should be greater than or equal to 0"),
        ("[functions]\nlong_max = inf", "functions.long_max: Input should be a finite number"),
        (
            "[functions]\nshort_max = 6",
            "functions: short_max, medium_max and long_max must not fall; they are 6, 5 and 10",
        ),
        ("[functions]\nmedium_max = 10.5", "functions: short_max, medium_max and long_max must not fall"),
        ("[knowledge]\ncost_per_1k_tokens = nan", "knowledge.cost_per_1k_tokens: Input should be a finite number"),
        (
            "[knowledge]\nminutes_saved = 3",
            'there is no setting "minutes_saved"; did you mean "minutes_saved_per_document"?',
        ),
        ('[sources.a]\nrecord = "event"', "sources.a.path: Field required"),
        ("[sources.a]\npath = []", "sources.a.path: "),
        ('[sources.a]\npath = "x"\nrecord = "events"', "sources.a.record: Input should be 'job', 'event' or 'metric'"),
        ('sources.a = "x.jsonl"', "sources.a: "),
        (
            f"{THRESHOLD}limt = 3",
            'there is no setting "limt"; did you mean "limit"? (at thresholds.a.limt)',
        ),
        (f"{THRESHOLD}limit = inf", "thresholds.a.limit: Input should be a finite number"),
        (f"{THRESHOLD}limit = true", "thresholds.a.limit: a limit is a number, not true"),
        (f'{THRESHOLD}limit = "much"', "thresholds.a.limit: Input should be a valid number"),
        (THRESHOLD, "thresholds.a.limit: Field required"),
        (
            THRESHOLD.replace('">"', '"=>"') + "limit = 3",
            "thresholds.a.operator: Input should be '>', '>=', '<', '<=', '=' or '!='",
        ),
        (
            f'{THRESHOLD}limit = 3\nwindow = "1w"',
            "thresholds.a.window: a window is a number of hours or days, like 24h or 7d; not 1w",
        ),
        (
            f'{THRESHOLD}limit = 3\nwhere = {{ user_id = ["u1", "u2"] }}',
            "thresholds.a.where.user_id: a column equals one text, number, time or truth value; not ['u1', 'u2']",
        ),
        ("timezone = ", "is not TOML: "),
        ("a = 1\na = 2", "is not TOML: "),
        (b"timezone = '\xff'", "is not TOML: "),
    ],
    ids=lambda value: value if isinstance(value, str) and "=" in value else "",
)
def test_what_is_wrong_is_said_with_file_and_key(tmp_path: Path, text: str | bytes, fault: str) -> None:
    """In one line, and what was meant where that can be guessed."""
    assert fault_of(tmp_path, text).startswith(fault)


def test_a_file_that_cannot_be_read(tmp_path: Path) -> None:
    """A folder in its place is no settings."""
    (tmp_path / "tidemill.toml").mkdir()
    with pytest.raises(SettingsError, match=r"tidemill\.toml cannot be read: Is a directory"):
        load(tmp_path)


def test_an_editors_byte_order_mark_is_no_fault(tmp_path: Path) -> None:
    """Some editors put one before the text."""
    assert settings_of(tmp_path, "\ufeffthreads = 3").threads == 3


def test_a_setting_that_no_table_accepts_is_refused_before_anything_is_built(tmp_path: Path) -> None:
    """Every timezone that the settings take, DuckDB knows."""
    with engine_connection.connect() as connection:
        known = {name for (name,) in connection.execute("SELECT name FROM pg_timezone_names()").fetchall()}
    assert zoneinfo.available_timezones() - {"localtime"} <= known
    assert settings_of(tmp_path, 'timezone = "America/St_Johns"').timezone == "America/St_Johns"


def test_what_a_select_may_name_has_one_name_each(tmp_path: Path) -> None:
    """The figures of functions and knowledge reach every select by their own names, equal bounds included."""
    found = settings_of(tmp_path, "[functions]\nshort_max = 5\nlong_max = 5\n[knowledge]\ncost_per_1k_tokens = 0")
    assert found.parameters == {
        "short_max": 5.0,
        "medium_max": 5.0,
        "long_max": 5.0,
        "cost_per_1k_tokens": 0.0,
        "minutes_saved_per_document": 5.0,
    }


# The environment


@pytest.mark.parametrize(
    ("environment", "key", "value"),
    [
        ({"TIDEMILL_TIMEZONE": "Asia/Tokyo"}, "timezone", "Asia/Tokyo"),
        ({"TIDEMILL_THREADS": "3"}, "threads", 3),
        ({"TIDEMILL_WINDOWS__REFRESH_MINUTES": "5"}, "windows", Windows(refresh_minutes=5)),
        ({"TIDEMILL_HOME": "/elsewhere"}, "timezone", "Europe/Berlin"),
    ],
    ids=lambda value: next(iter(value)) if isinstance(value, dict) else "",
)
def test_the_environment_wins(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, environment: dict[str, str], key: str, value: object
) -> None:
    """A variable stands for a setting, two underlines for a section; the other settings are those of the file."""
    for name, text in environment.items():
        monkeypatch.setenv(name, text)
    found = settings_of(tmp_path, 'timezone = "Europe/Berlin"\nmemory_limit = "1GB"\n[windows]\nrefresh_minutes = 7')
    assert getattr(found, key) == value
    assert found.memory_limit == "1GB"


def test_the_environment_may_change_one_value_of_a_threshold(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its limit, or a column that it looks at."""
    monkeypatch.setenv("TIDEMILL_THRESHOLDS__A__LIMIT", "60.5")
    monkeypatch.setenv("TIDEMILL_THRESHOLDS__A__WHERE__USER_ID", "u2")
    found = settings_of(tmp_path, f"{THRESHOLD}limit = 50").thresholds["a"]
    assert (found.name, found.limit, found.where) == ("a", 60.5, {"user_id": "u2"})


@pytest.mark.parametrize(
    ("given", "meant"),
    [("above", ">"), ("at least", ">="), ("below", "<"), ("at most", "<="), *((one, one) for one in ("=", "!=", "<"))],
)
def test_operators_are_signs_or_words(tmp_path: Path, given: str, meant: str) -> None:
    """The four orders have a word each."""
    found = settings_of(tmp_path, THRESHOLD.replace('">"', f'"{given}"') + "limit = 1")
    assert found.thresholds["a"].operator == meant


def test_what_a_column_must_equal_is_kept_as_text(tmp_path: Path) -> None:
    """As TOML writes numbers, truth values, dates and times."""
    where = "{ a = 1, b = true, c = 2026-02-10, d = 2026-02-10T10:00:00Z, e = 0.5, f = 'x' }"
    found = settings_of(tmp_path, f"{THRESHOLD}limit = 1\nwhere = {where}").thresholds["a"].where
    assert found == {
        "a": "1",
        "b": "true",
        "c": "2026-02-10",
        "d": "2026-02-10 10:00:00+00:00",
        "e": "0.5",
        "f": "x",
    }


def test_the_environment_may_change_one_value_of_a_source(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its other values stay as the file has them."""
    monkeypatch.setenv("TIDEMILL_SOURCES__APP__PATH", "elsewhere.jsonl")
    found = settings_of(tmp_path, '[sources.app]\npath = "x.jsonl"\nrecord = "event"').sources["app"]
    assert (found.path, found.record, found.name) == (["elsewhere.jsonl"], "event", "app")


@pytest.mark.parametrize(
    ("name", "text", "fault"),
    [
        ("TIDEMILL_THREADS", "many", "TIDEMILL_THREADS: threads: Input should be a valid integer"),
        (
            "TIDEMILL_WINDOWS__REFRESH",
            "3",
            'TIDEMILL_WINDOWS__REFRESH: there is no setting "refresh"; did you mean "refresh_minutes"',
        ),
        ("TIDEMILL_WINDOWS", "3", "TIDEMILL_WINDOWS: windows: "),
    ],
)
def test_a_variable_that_is_wrong_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, name: str, text: str, fault: str
) -> None:
    """Not the file, which says nothing of it."""
    monkeypatch.setenv(name, text)
    with pytest.raises(SettingsError) as raised:
        settings_of(tmp_path, "")
    assert str(raised.value).startswith(fault)


# Paths of sources


def test_paths_are_relative_to_the_home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`~` is the user's folder, ${VARIABLES} are the environment's, and an absolute path stays one."""
    monkeypatch.setenv("HOME", "/users/me")
    monkeypatch.setenv("RAW", "/data/raw")
    assert expanded("raw/*.jsonl", tmp_path) == f"{tmp_path}/raw/*.jsonl"
    assert expanded("../raw", tmp_path) == f"{tmp_path}/../raw"
    assert expanded("/raw/x.csv", tmp_path) == "/raw/x.csv"
    assert expanded("~/raw", tmp_path) == "/users/me/raw"
    assert expanded("${RAW}/x", tmp_path) == "/data/raw/x"
    assert expanded("$RAW/x", tmp_path) == "/data/raw/x"
    assert expanded("${NO_SUCH}/x", tmp_path) == f"{tmp_path}/${{NO_SUCH}}/x"


def test_sources_are_found_wherever_the_command_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A list of paths, one relative and one by a variable, is loaded from any folder; one that is not set is said."""
    place = tmp_path / "home"
    for folder, key in ((place / "raw", "a"), (tmp_path / "other", "b")):
        folder.mkdir(parents=True)
        (folder / "x.jsonl").write_text(json.dumps(event(key, "2026-02-10T10:00:00Z")) + "\n")
    (place / "tidemill.toml").write_text('[sources.app]\npath = ["raw/*.jsonl", "${OTHER}/x.jsonl"]\n')
    monkeypatch.chdir("/")
    said = tm("ingest", at=place)
    assert (said.code, said.err.splitlines()[-1]) == (2, f"tidemill: {place}/${{OTHER}}/x.jsonl does not exist")
    assert tm("ingest", at=place, environment={"OTHER": str(tmp_path / "other")}).code == 0
    Tidemill(place).build("activity_daily")
    assert Tidemill(place).sql("SELECT events FROM activity_daily").fetchall() == [(2,)]


def test_values_are_frozen() -> None:
    """Settings and sources are values: nobody changes them on the way."""
    value: Any = Settings()
    with pytest.raises(ValueError, match="frozen"):
        value.threads = 3
