from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Final

import pytest

from tests.homes import AS_OF, built, event, feed, home, write_settings
from tidemill import Tidemill
from tidemill.errors import DamagedError, TidemillError, UsageError
from tidemill.readers import assistants, tables
from tidemill.readers import snapshot as readers_snapshot
from tidemill.readers.activity import activity
from tidemill.readers.paging import Page
from tidemill.snapshots import manifest, publish

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from tidemill.readers.snapshot import Published

TABLES: Final = ("activity_daily", "sessions", "llm_ttft", "topics", "trending_topics")
RECORDS: Final = tuple(
    record
    for day in ("2026-02-11", "2026-02-12")
    for record in (
        event(f"{day} q", f"{day}T10:00:00Z", session_id=day, user_id="u1", text="why?", assistant_id="a1"),
        event(f"{day} r", f"{day}T11:00:00Z", type="llm_request", ttft_ms=100, assistant_id="a1"),
    )
)
LATER: Final = tuple(
    record
    for number in range(3)
    for record in (
        event(f"q{number}", f"2026-02-12T10:0{number}:00Z", session_id="2026-02-11", user_id="u0", text="WHY"),
        event(f"r{number}", f"2026-02-12T11:0{number}:00Z", type="llm_request", ttft_ms=900, assistant_id="a1"),
    )
)


def two_days(folder: Path) -> Tidemill:
    """A home of two days, that is built."""
    made = home(folder, *RECORDS)
    built(made, *TABLES, as_of=AS_OF)
    return made


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Tidemill:
    """One that all tests leave as it is, or mend."""
    return two_days(tmp_path_factory.mktemp("published"))


@pytest.fixture
def own_mill(tmp_path: Path) -> Tidemill:
    """One that a test may change."""
    return two_days(tmp_path)


def answers(snapshot: Published) -> list[Any]:
    """Of published tables and windows, of windows that are made of the lake, and of both together."""
    return [
        tables.rows(snapshot, "sessions", Page()),
        activity(snapshot, "daily"),
        activity(snapshot, "daily", from_="2026-02-12"),
        activity(snapshot, "by_user", where={"type": "question"}),
        assistants.ttft(snapshot),
        assistants.ttft(snapshot, hours=5),
        assistants.ttft(snapshot, assistant_id="a1"),
        assistants.trending(snapshot),
        assistants.trending(snapshot, days=3),
    ]


def test_a_snapshot_answers_from_its_own_moment(mill: Tidemill) -> None:
    """Two questions and two requests, of which each day has one."""
    found = mill.newest()
    everything, one_day = activity(found, "daily"), activity(found, "daily", from_="2026-02-12")
    assert (everything["total_metrics"], one_day["total_metrics"]) == (4, 2)
    assert assistants.ttft(found, hours=5) == {"p50": 0.1, "p95": 0.1, "p99": 0.1, "period_hours": 5}
    assert [row["frequency"] for row in assistants.trending(found, days=3)] == [2]


def feed_later(mill: Tidemill) -> None:
    """Late records for the days that are published, in two files."""
    feed(mill, *LATER[:3])
    feed(mill, *LATER[3:])


def test_an_opened_snapshot_stays_as_it_is(own_mill: Tidemill) -> None:
    """Whatever is ingested, published and compacted since, and whether or not it was asked before."""
    asked, not_yet_asked = readers_snapshot.newest(own_mill.home), readers_snapshot.newest(own_mill.home)
    before = answers(asked)
    feed_later(own_mill)
    feed(own_mill, event("next day", "2026-02-13T10:00:00Z", session_id="s", text="why?"))
    built(own_mill, *TABLES, as_of="2026-02-13T12:00:00Z")
    assert answers(asked) == before
    after = answers(own_mill.newest())
    assert [one for one, other in zip(before, after, strict=True) if one == other] == []
    own_mill.compact()
    built(own_mill, *TABLES, as_of="2026-02-14T12:00:00Z")
    own_mill.compact()
    kept = readers_snapshot.opened(own_mill.home, manifest.read(own_mill.home.tables / "snapshots" / asked.id))
    for snapshot in (asked, not_yet_asked, kept):
        assert answers(snapshot) == before


def test_records_that_are_not_published_yet_are_in_no_answer(own_mill: Tidemill) -> None:
    """Also of a snapshot that is opened after they came, and of a lake that was compacted since."""
    before = answers(readers_snapshot.newest(own_mill.home))
    feed_later(own_mill)
    assert answers(readers_snapshot.newest(own_mill.home)) == before
    own_mill.compact()
    assert answers(readers_snapshot.newest(own_mill.home)) == before


@pytest.mark.parametrize("name", ["without a lake", "with a lake of nothing"])
def test_a_snapshot_of_nothing_stays_one_of_nothing(tmp_path: Path, name: str) -> None:
    """A home may be built before its first record comes."""
    mill = home(tmp_path)
    if name == "with a lake of nothing":
        feed(mill)
    built(mill, *TABLES, as_of=AS_OF)
    before = answers(readers_snapshot.newest(mill.home))
    feed(mill, *RECORDS)
    assert mill.home.lake.exists()
    snapshot = readers_snapshot.newest(mill.home)
    assert answers(snapshot) == before
    assert activity(snapshot, "by_session")["total_metrics"] == 0


def test_the_newest_is_opened_once(own_mill: Tidemill) -> None:
    """Until there is a newer one; by the path of its home as by its home."""
    first = own_mill.newest()
    assert own_mill.newest() is first
    assert readers_snapshot.newest(str(own_mill.home.path)).id == readers_snapshot.newest(own_mill.home).id == first.id
    built(own_mill, *TABLES, as_of="2026-02-13T12:00:00Z")
    assert own_mill.newest().id != first.id


def test_any_thread_may_ask(mill: Tidemill) -> None:
    """Many at once, also the first for the lake, get the answers that one gets."""
    expected = answers(readers_snapshot.newest(mill.home))
    snapshot = readers_snapshot.newest(mill.home)
    with ThreadPoolExecutor(3) as pool:
        assert list(pool.map(answers, [snapshot] * 3)) == [expected] * 3


def test_a_day_is_one_of_the_snapshots_timezone(tmp_path: Path) -> None:
    """What the settings say since holds from the next build on."""
    mill = home(tmp_path, event("a", "2026-02-10T23:30:00Z", session_id="s"), settings='timezone = "Europe/Berlin"\n')
    built(mill, "activity_daily", as_of=AS_OF)
    write_settings(mill, 'timezone = "America/New_York"\n')
    snapshot = readers_snapshot.newest(mill.home)

    def days(snapshot: Published) -> list[Any]:
        spans: list[dict[str, Any]] = [{}, {"from_": "2026-02-10"}, {"from_": "2026-02-11"}]
        return [[row["day"] for row in activity(snapshot, "daily", **span)["time_series"]] for span in spans]

    assert days(snapshot) == [["2026-02-11"]] * 3  # half past midnight in Berlin
    built(mill, "activity_daily", as_of=AS_OF)
    assert days(mill.newest()) == [["2026-02-10"], ["2026-02-10"], []]  # half past six in New York
    assert days(snapshot) == [["2026-02-11"]] * 3


def test_a_home_that_is_not_published_says_what_to_do(tmp_path: Path) -> None:
    """Whether it has records, or is not there at all."""
    for mill in (Tidemill(tmp_path / "nowhere"), home(tmp_path, *RECORDS)):
        said = f"nothing is published in {mill.home.path} yet; run: tidemill build"
        with pytest.raises(TidemillError, match=said):
            readers_snapshot.newest(mill.home)
        with pytest.raises(UsageError, match=said):
            mill.newest()
    assert not (tmp_path / "nowhere").exists()


def test_a_home_elsewhere_says_what_to_do(own_mill: Tidemill, tmp_path: Path) -> None:
    """Its catalog names files that are not there any more; the next build mends that."""
    before = answers(own_mill.newest())
    own_mill.home.path.rename(tmp_path / "moved")
    new = Tidemill(tmp_path / "moved")
    said = f"{tmp_path}/moved was published as {own_mill.home.path}, .*tidemill build"
    with pytest.raises(TidemillError, match=said):
        readers_snapshot.newest(new.home)
    with pytest.raises(TidemillError, match=said):
        new.newest()
    built(new, *TABLES, as_of=AS_OF)
    moved = answers(new.newest())
    assert moved[1:] == before[1:]
    assert moved[0]["rows"] == before[0]["rows"]


def test_a_home_may_be_opened_by_a_link(mill: Tidemill, tmp_path: Path) -> None:
    """It is the same home."""
    (tmp_path / "link").symlink_to(mill.home.path)
    assert answers(readers_snapshot.newest(tmp_path / "link")) == answers(mill.newest())


def files(mill: Tidemill, table: str) -> list[Path]:
    """A table's files in the newest snapshot."""
    return sorted((mill.snapshot() / table).iterdir())


def cut(file: Path) -> None:
    """Lose its end."""
    file.write_bytes(file.read_bytes()[:-1])


def change(file: Path) -> None:
    """Another byte in its middle, as long as before."""
    data = bytearray(file.read_bytes())
    data[len(data) // 2] ^= 0xFF
    file.write_bytes(data)


@contextmanager
def damaged(file: Path, damage: Callable[[Path], None]) -> Iterator[None]:
    """A file that is damaged, and then put back from a copy."""
    data = file.read_bytes()
    file.unlink()  # of other names of it nothing is lost
    file.write_bytes(data)
    damage(file)
    try:
        yield
    finally:
        file.write_bytes(data)


DAMAGES: Final[dict[Callable[[Path], None], str]] = {
    os.unlink: "is missing",
    cut: "bytes instead of",
    change: "was changed: its content is not the one that was written",
}


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_a_damaged_snapshot_is_not_opened(mill: Tidemill, damage: Callable[[Path], None]) -> None:
    """The file is named; which table it is of does not matter."""
    (file,) = files(mill, "sessions")
    with damaged(file, damage), pytest.raises(DamagedError) as error:
        readers_snapshot.newest(mill.home)
    assert str(error.value).startswith(f"{file} ")
    assert DAMAGES[damage] in str(error.value)


def test_what_is_lost_of_an_open_snapshot_is_said(mill: Tidemill) -> None:
    """A table of which a file is lost, and one that is not in it at all; the others are served."""
    snapshot = readers_snapshot.newest(mill.home)
    before = activity(snapshot, "daily")
    (file,) = files(mill, "topics")
    asks: list[Callable[[], object]] = [
        lambda: assistants.trending(snapshot),
        lambda: tables.rows(snapshot, "topics", Page()),
    ]
    with damaged(file, os.unlink):
        for ask in asks:
            with pytest.raises(TidemillError, match=f"{file} is missing .*by: tidemill check --deep") as error:
                ask()
            assert not isinstance(error.value, UsageError)  # whoever asked made no mistake
        found = assistants.advanced(snapshot)
        assert "tidemill check --deep" in found["errors"]["trending_topics"]
        assert found["ttft_percentiles"] == assistants.ttft(snapshot)
        assert activity(snapshot, "daily") == before
    with pytest.raises(TidemillError, match="llm_cache is not built yet; run: tidemill build llm_cache"):
        assistants.cache_metrics(snapshot, hours=24)


@pytest.mark.parametrize("damage", DAMAGES, ids=lambda damage: damage.__name__)
def test_windows_that_need_a_damaged_file_of_the_lake_fail(mill: Tidemill, damage: Callable[[Path], None]) -> None:
    """What is published is served all the same, as are windows of other days."""
    snapshot = readers_snapshot.newest(mill.home)
    before = assistants.ttft(snapshot), assistants.trending(snapshot)
    one_day: dict[str, Any] = {"from_": "2026-02-11", "to": "2026-02-12"}
    of_the_day_before = activity(snapshot, "daily", **one_day)
    (file,) = mill.home.lake.glob("events/day=2026-02-12/*.parquet")
    with damaged(file, damage):
        with pytest.raises(DamagedError, match=DAMAGES[damage]):
            assistants.ttft(snapshot, hours=5)
        found = assistants.advanced(snapshot, ttft_hours=5)
        assert found["ttft_percentiles"] is None
        assert DAMAGES[damage] in found["errors"]["ttft_percentiles"]
        assert (assistants.ttft(snapshot), found["trending_topics"]) == before
        assert activity(snapshot, "daily", **one_day) == of_the_day_before


def test_what_takes_too_long_is_ended(mill: Tidemill) -> None:
    """What comes after it is answered."""
    hasty = readers_snapshot.opened(mill.home, publish.current(mill.home), seconds=1)
    with pytest.raises(TidemillError, match="took longer than query"):
        hasty.rows("SELECT count(*) FROM range(1_000_000_000) AS a, range(1_000) AS b WHERE a.range % 7 = b.range")
    assert len(hasty.table("sessions")) == 2
    assert len(hasty.table("sessions", limit=1)) == 1


def test_what_spellings_have_in_common(mill: Tidemill) -> None:
    """One text for each; what is no text fails as every query does, so that a dashboard has its other parts."""
    snapshot = readers_snapshot.newest(mill.home)
    assert snapshot.canonical(["Où ?", "ou", "?!"]) == ["ou", "ou", "?!"]
    assert snapshot.canonical([]) == []
    with pytest.raises(TidemillError, match="the query failed: Invalid Input Error"):
        snapshot.canonical(["half of a pair: \ud800"])
