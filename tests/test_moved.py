from __future__ import annotations

import subprocess
import sys
from typing import TYPE_CHECKING, Final

import duckdb
import pytest

from tests.homes import AS_OF, built, digests, event, feed, few_tables, home, published, rows, tm
from tidemill import Tidemill
from tidemill.lake import delta

__all__ = ["few_tables"]

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FEW: Final = ("sessions", "metric_hourly")
RECORDS: Final = (
    event("a", "2026-02-10T10:00:00Z", session_id="s"),
    event("b", "2026-02-11T10:00:00Z", session_id="s"),
)


def moved(mill: Tidemill, to: Path) -> None:
    """As mv does."""
    mill.home.path.rename(to)


def copied(mill: Tidemill, to: Path) -> None:
    """As cp -a does: times stay, and the old home does, too."""
    subprocess.run(["cp", "-a", mill.home.path, to], check=True)


def copied_without_times(mill: Tidemill, to: Path) -> None:
    """As cp -r does."""
    subprocess.run(["cp", "-r", mill.home.path, to], check=True)


def renamed_behind_a_link(mill: Tidemill, to: Path) -> None:
    """A link to where the disk is now, and another name of the folder there."""
    mill.home.path.rename(to.with_name("disk"))
    to.symlink_to(to.with_name("disk"))


def lake_elsewhere(mill: Tidemill, to: Path) -> None:
    """The lake on another disk, with a link to it."""
    mill.home.path.rename(to)
    (to / "lake").rename(to.with_name("lake"))
    (to / "lake").symlink_to(to.with_name("lake"))


WAYS: Final = (moved, copied, copied_without_times, renamed_behind_a_link, lake_elsewhere)


@pytest.fixture
def mill(tmp_path: Path) -> Tidemill:
    """A home that is built."""
    made = home(tmp_path, *RECORDS)
    built(made, *FEW, as_of=AS_OF)
    return made


@pytest.mark.parametrize("way", WAYS, ids=[way.__name__ for way in WAYS])
def test_a_home_elsewhere_is_published_again(
    mill: Tidemill, tmp_path: Path, way: Callable[[Tidemill, Path], None]
) -> None:
    """By the next build, which builds nothing: catalog, link and text then name what is there; an old home lives on."""
    tables = published(mill)
    way(mill, tmp_path / "new home")
    old = digests(mill.home.path) if mill.home.path.exists() else {}
    new = Tidemill(tmp_path / "new home")
    assert built(new, *FEW, as_of=AS_OF) == {}
    assert published(new) == tables
    assert (new.home.tables / "CURRENT").read_text() == str(new.home.tables / (new.home.tables / "current").readlink())
    with duckdb.connect(str(new.home.tables / "current" / "catalog.duckdb"), read_only=True) as catalog:
        text = "".join(
            sql for (sql,) in catalog.execute("SELECT sql FROM duckdb_views() WHERE NOT internal").fetchall()
        )
        assert str(new.home.path) in text
        assert f"'{mill.home.path}/" not in text
        assert catalog.execute("SELECT count(*) FROM lake.events").fetchall() == [(2,)]
    feed(new, event("c", "2026-02-12T10:00:00Z", session_id="s"))
    assert built(new, *FEW, as_of=AS_OF) != {}
    assert rows(new, "SELECT count(*) FROM lake.events") == [(3,)]
    assert (digests(mill.home.path) if old else {}) == old, "the old home is another one"
    assert tm("check", "--deep", at=new).code == 0


@pytest.mark.parametrize("way", WAYS, ids=[way.__name__ for way in WAYS])
def test_before_that_readers_are_told(mill: Tidemill, tmp_path: Path, way: Callable[[Tidemill, Path], None]) -> None:
    """What would read files at the old place says what to run; everything else works."""
    way(mill, tmp_path / "new")
    new = Tidemill(tmp_path / "new")
    advice = f"{new.home.path} was published as {mill.home.path}, and its catalog names the files there"
    for command in (("query", "SELECT 1"), ("show", "sessions")):
        said = tm(*command, at=new)
        assert (said.code, said.fault) == (1, f"{advice}; run: tidemill build")
    status = tm("status", at=new)
    assert (status.code, status.err) == (0, f"tidemill: {advice}; run: tidemill build\n")
    assert tm("path", "sessions", at=new).out.strip() == str(new.snapshot() / "sessions")
    assert new.table("sessions").collect().height == 1
    said = tm("show", "sessions", "--since", "7d", "--as-of", AS_OF, "--format", "csv", at=new)
    assert said.code == 0
    assert len(said.out.splitlines()) == 2
    assert f"{new.home.tables / 'CURRENT'} does not name" in tm("check", "--deep", at=new).err
    assert tm("run", "--as-of", AS_OF, at=new).code == 0
    assert tm("query", "SELECT count(*) FROM lake.events", "--format", "csv", at=new).out.splitlines()[1] == "2"


def test_another_name_of_the_same_place_is_read_as_it_is(mill: Tidemill, tmp_path: Path) -> None:
    """Through a link to the home the catalog's paths are right."""
    (tmp_path / "link").symlink_to(mill.home.path)
    linked = Tidemill(tmp_path / "link")
    assert rows(linked, "SELECT count(*), (SELECT count(*) FROM lake.events) FROM sessions") == [(1, 2)]
    assert tm("status", at=linked).err == ""
    shown = tm("show", "sessions", "--format", "csv", at=linked)
    assert shown.out == tm("show", "sessions", "--format", "csv", at=mill).out


def test_a_mounted_home_is_read_and_built(mill: Tidemill, tmp_path: Path) -> None:
    """A bind mount is another name of the same place, too; it needs the right to mount."""
    place = tmp_path / "mounted"
    place.mkdir()
    script = f"""
    mount --bind '{mill.home.path}' '{place}' || exit 77
    "$@" --home '{place}' query 'SELECT count(*) FROM lake.events' --format csv &&
    "$@" --home '{place}' build sessions --as-of {AS_OF} &&
    cat '{place}/tables/CURRENT'
    """
    command = ["unshare", "--mount", "sh", "-c", script, "sh", sys.executable, "-m", "tidemill"]
    said = subprocess.run(command, capture_output=True, text=True, check=False)
    if said.returncode == 77 or "unshare" in said.stderr:
        pytest.skip("no right to mount")
    assert said.returncode == 0, said.stderr
    assert said.stdout.split() == ["count_star()", "2", f"{place}/tables/snapshots/{mill.snapshot().name}"]


def test_a_copy_finishes_its_own_journal(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """From its own staged files: those of the home that it is a copy of stay where they are."""

    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    mill = home(tmp_path, *RECORDS)
    with monkeypatch.context() as patch:
        patch.setattr(delta, "append", interrupt)
        with pytest.raises(KeyboardInterrupt):
            feed(mill, event("c", "2026-02-12T10:00:00Z", session_id="s"))
    copied(mill, tmp_path / "copy")
    before = digests(mill.home.path)
    copy = Tidemill(tmp_path / "copy")
    built(copy, *FEW, as_of=AS_OF)
    assert rows(copy, "SELECT count(*) FROM lake.events") == [(3,)]
    assert digests(mill.home.path) == before
    built(mill, *FEW, as_of=AS_OF)
    assert rows(mill, "SELECT count(*) FROM lake.events") == [(3,)]
