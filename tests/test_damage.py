from __future__ import annotations

import os
import shutil
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pytest
from deltalake import DeltaTable

from tests.homes import AS_OF, built, event, feed, few_tables, home, job, metric, published, rows, tm
from tidemill import Tidemill
from tidemill.errors import DamagedError
from tidemill.lake import commits, delta
from tidemill.lake import schema as lake_schema

__all__ = ["few_tables"]

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

FEW: Final = ("activity_daily", "sessions", "metric_hourly")
DAYS: Final = ("2026-01-10", "2026-02-10", "2026-02-11")

FILES: Final = {
    "a data file": "lake/events/day=2026-01-10/*.parquet",
    "the ledger": "lake/loads/*.parquet",
    "the newest commit": "lake/events/_delta_log/*5.json",
    "a commit": "lake/events/_delta_log/*4.json",
    "a checkpoint": "lake/events/_delta_log/*.checkpoint.parquet",
    "a table's file": "tables/current/activity_daily/2026-01-10-*.parquet",
    "a table of the pipeline's": "tables/current/builds/*.parquet",
    "a manifest": "tables/current/manifest.json",
    "a catalog": "tables/current/catalog.duckdb",
}


def cut(path: Path) -> None:
    """Leave the first half of a file."""
    os.truncate(path, path.stat().st_size // 2)


def changed(path: Path) -> None:
    """Change one byte in the middle of a file, as a failing disk does: neither size nor time tell."""
    stat, content = path.stat(), bytearray(path.read_bytes())
    content[len(content) // 2] ^= 0xFF
    path.chmod(0o644)
    path.write_bytes(content)
    path.chmod(stat.st_mode)
    os.utime(path, ns=(stat.st_atime_ns, stat.st_mtime_ns))


def deleted(path: Path) -> None:
    """Delete a file."""
    path.unlink()


HARM: Final = [pytest.param(harm, id=harm.__name__) for harm in (cut, changed, deleted)]


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A home that was compacted, fed once more, and built."""
    mill = home(tmp_path_factory.mktemp("damage"))
    for day in DAYS:
        at = f"{day}T10:00:00Z"
        feed(mill, event(day, at, session_id="s", duration_ms=2.5), job(day, at), metric(day, at))
    mill.compact()
    for late in (f"{DAYS[1]}T12:00:00Z", f"{DAYS[2]}T12:00:00Z"):
        feed(mill, event(late, late, session_id="s"), job(late, late), metric(late, late))
    built(mill, *FEW, as_of=AS_OF)
    return mill.home.path


@pytest.fixture
def mill(whole: Path, tmp_path: Path) -> Tidemill:
    """A copy of that home, of one's own to damage."""
    return Tidemill(shutil.copytree(whole, tmp_path / "home", symlinks=True))


def found(mill: Tidemill, pattern: str) -> Path:
    """A file of a home that a pattern names; of the lake's data one that is still in it."""
    gone = {
        path
        for name in lake_schema.TABLES
        for path in delta.on_disk(mill.home.lake / name, name)
        if str(path) not in DeltaTable(mill.home.lake / name).file_uris()
    }
    return max(path for path in mill.home.path.glob(pattern) if path not in gone).resolve()


def build(mill: Tidemill) -> str:
    """What a build says that fails."""
    said = tm("build", *FEW, "--as-of", AS_OF, at=mill)
    assert (said.code, said.data) == (1, b"")
    (line,) = [line for line in said.err.splitlines() if not line.startswith("build: ")]
    return line.removeprefix("tidemill: ")


def named(mill: Tidemill) -> list[str]:
    """What check --deep says that finds damage, a line each."""
    said = tm("check", "--deep", "--format", "csv", at=mill)
    assert said.code == 1
    lines = [line.removeprefix("tidemill: ") for line in said.err.splitlines() if line.startswith("tidemill: ")]
    assert len(said.out.splitlines()) == 1 + len(lines)
    assert all("; " in line for line in lines), "what is wrong, and what to do"
    return lines


def test_a_whole_home_is_told_to_be(mill: Tidemill) -> None:
    """With --deep the files are one more check, which finds nothing."""
    built(mill, *FEW, as_of=AS_OF)
    said = tm("check", "--deep", "--format", "csv", at=mill)
    assert said.code == 0, said.err
    assert said.out.splitlines()[1] == "files,fail,ok,0,,"
    assert "files" not in tm("check", "--format", "csv", at=mill).out


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("pattern", FILES.values(), ids=FILES.keys())
def test_a_deep_check_names_what_is_damaged(mill: Tidemill, pattern: str, harm: Callable[[Path], None]) -> None:
    """Whichever file of the lake or of a snapshot, and even if neither its size nor its time tell."""
    built(mill, *FEW, as_of=AS_OF)
    path = found(mill, pattern)
    harm(path)
    assert [line.split()[0] for line in named(mill) if str(path) in line] == [str(path)]


@pytest.mark.parametrize("harm", HARM)
@pytest.mark.parametrize("pattern", FILES.values(), ids=FILES.keys())
def test_a_build_fails_on_what_is_damaged(mill: Tidemill, pattern: str, harm: Callable[[Path], None]) -> None:
    """By its name, though it would read nothing of it and though nothing is stale; what is published stays."""
    path = found(mill, pattern)
    harm(path)
    if harm is changed:
        os.utime(path)  # by somebody, not by a disk
    pointer = (mill.home.tables / "current").readlink()
    assert build(mill).startswith(str(path))
    assert (mill.home.tables / "current").readlink() == pointer


@pytest.mark.parametrize("pattern", FILES.values(), ids=FILES.keys())
def test_other_commands_end_with_a_line(mill: Tidemill, pattern: str) -> None:
    """They say what is wrong if they need what is damaged, and go on if they don't; never with a traceback."""
    built(mill, *FEW, as_of=AS_OF)
    file = mill.home.path / "more.jsonl"
    file.write_text('{"record": "event", "id": "x", "timestamp": "2026-01-10T12:00:00Z", "type": "question"}\n')
    cut(found(mill, pattern))
    for command in (
        ("status",),
        ("query", "SELECT count(*) FROM activity_daily, lake.events, lake.loads"),
        ("show", "activity_daily"),
        ("show", "activity_daily", "--since", "90d", "--as-of", AS_OF),
        ("path", "activity_daily"),
        ("tables", "activity_daily"),
        ("compact",),
        ("quarantine", "list"),
        ("check",),
        ("prune", "--keep", "90000d"),
        ("ingest", file),
    ):
        said = tm(*command, at=mill)
        assert said.code in {0, 1}, (command, said.err)
        assert "Traceback" not in said.err
        assert "--debug shows where" not in said.err, "an error of the program's, not a line about the file"
        faults = [line for line in said.err.splitlines() if line.startswith("tidemill: ")]
        assert len(faults) == said.code, (command, said.err)


def test_a_commit_that_was_cut_after_a_line_is_found(mill: Tidemill) -> None:
    """Delta reads what is left of it and says nothing; nor does it miss its newest commits."""
    log = mill.home.lake / "events" / "_delta_log"
    newest = max(log.glob("*.json"))
    newest.write_text(newest.read_text().splitlines(keepends=True)[0])
    assert build(mill).startswith(f"{newest} was changed")
    newest.unlink()
    assert build(mill).startswith(f"{newest} is missing")
    more = mill.home.path / "more.jsonl"
    more.write_text('{"record": "event", "timestamp": "2026-03-01T10:00:00Z", "type": "question"}\n')
    assert f"{newest} is missing" in tm("ingest", more, at=mill).err
    assert not newest.exists(), "what is lost must not be overwritten"


def test_a_table_that_is_gone_is_not_made_again(mill: Tidemill) -> None:
    """An empty one in its place would take all its records out of the tables."""
    shutil.rmtree(mill.home.lake / "events")
    assert str(mill.home.lake / "events") in build(mill)
    assert not (mill.home.lake / "events").exists()


def test_another_lake_is_not_built_of(mill: Tidemill, tmp_path: Path) -> None:
    """Nor none: where a disk is not mounted, or the wrong one is, nothing becomes less."""
    mill.home.lake.rename(tmp_path / "lake")
    assert build(mill).startswith(f"{mill.home.lake} is missing, or another lake")
    feed(mill, event("other", "2026-02-10T10:00:00Z"))
    assert build(mill).startswith(f"{mill.home.lake} is missing, or another lake")
    shutil.rmtree(mill.home.lake)
    (tmp_path / "lake").rename(mill.home.lake)
    assert built(mill, *FEW, as_of=AS_OF) == {}


def test_a_lost_mark_of_pruning_is_missed(mill: Tidemill) -> None:
    """Without it sealed days would look as if they had lost all records, and leave the tables."""
    built(mill, *FEW, as_of=AS_OF)
    mill.prune("200d")
    assert rows(mill, "SELECT count(*) FROM activity_daily") == [(3,)]
    built(mill, *FEW, as_of=AS_OF)
    mark = mill.home.lake / commits.PRUNED
    day = mark.read_text()
    mark.unlink()
    assert build(mill).startswith(f"{mark} does not say that days before {day} were pruned")
    assert named(mill)[0].startswith(str(mark))
    mark.write_text("2026")
    assert build(mill).startswith(f"{mark} names no day")
    mark.write_text(day)
    assert built(mill, *FEW, as_of=AS_OF) == {}
    assert rows(mill, "SELECT count(*) FROM activity_daily") == [(3,)]


@pytest.mark.parametrize(
    "pattern", ["tables/current/activity_daily/2026-02-10-*.parquet", "lake/events/day=2026-02-10/*.parquet"]
)
def test_what_a_build_reads_is_compared_with_its_name(mill: Tidemill, pattern: str) -> None:
    """A byte that a disk changed would else be in a new file, under a name that vouches for it."""
    feed(mill, event("later", f"{DAYS[1]}T13:00:00Z", session_id="s"))
    path = max(mill.home.path.glob(pattern)).resolve()
    changed(path)
    assert build(mill).startswith(f"{path} was changed")


def test_compacting_does_not_hide_a_changed_byte(mill: Tidemill) -> None:
    """What is merged was compared with its name before."""
    feed(mill, event("later", f"{DAYS[1]}T13:00:00Z", session_id="s"))
    path = min(mill.home.lake.glob(f"events/day={DAYS[1]}/*.parquet"))
    changed(path)
    with pytest.raises(DamagedError, match=f"{path} was changed"):
        mill.compact()


def test_a_copy_with_other_times_is_the_same_home(whole: Path, tmp_path: Path) -> None:
    """Its content decides; the files get their times back, so that they are read for that only once."""
    mill = Tidemill(shutil.copytree(whole, tmp_path / "home", symlinks=True, copy_function=shutil.copyfile))
    path = next(mill.home.lake.glob("events/day=*/*.parquet"))
    new = path.stat().st_mtime_ns
    assert built(mill, *FEW, as_of=AS_OF) == {}
    assert published(mill)["activity_daily"]
    assert path.stat().st_mtime_ns < new
    assert tm("check", "--deep", at=mill).code == 0


def test_what_is_put_back_is_whole_again(mill: Tidemill) -> None:
    """From a copy, whatever its time."""
    path = found(mill, FILES["a data file"])
    content = path.read_bytes()
    deleted(path)
    build(mill)
    path.write_bytes(content)
    assert built(mill, *FEW, as_of=AS_OF) == {}


def test_a_file_beside_those_of_a_snapshot_is_named(mill: Tidemill) -> None:
    """Whoever reads a table's folder would read it, too."""
    built(mill, *FEW, as_of=AS_OF)
    stray = mill.path("activity_daily") / "stray.parquet"
    pl.read_parquet(mill.path("activity_daily")).write_parquet(stray)
    assert named(mill) == [f"{stray} is none of the snapshot's files; remove it"]


def test_a_lake_file_that_only_an_older_snapshot_names_is_missed(mill: Tidemill) -> None:
    """Its readers still need what the lake has put another file in the place of."""
    feed(mill, event("later", f"{DAYS[1]}T13:00:00Z", session_id="s"))
    built(mill, *FEW, as_of=AS_OF)
    older = mill.snapshot()
    old = min(mill.home.lake.glob(f"events/day={DAYS[1]}/*.parquet"))
    mill.compact()
    built(mill, *FEW, as_of=AS_OF)
    changed(old)
    assert [line.split()[0] for line in named(mill)] == [str(old)]
    deleted(old)
    assert f"{older / 'catalog.duckdb'} names {old.name} of the lake, which is missing; " in "\n".join(named(mill))


# Journals


def test_a_compaction_does_not_begin_over_a_missing_file(mill: Tidemill) -> None:
    """It says which, as all others do, and changes nothing."""
    gone = found(mill, "lake/events/day=*/*.parquet")
    gone.unlink()
    said = tm("compact", at=mill)
    assert (said.code, said.fault) == (1, f"{gone} is missing; put it back from a copy")


def interrupted(mill: Tidemill, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Ingest, and be interrupted before the commit that the journal is of; the journal."""

    def interrupt(*_arguments: object, **_options: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(delta, "append", interrupt)
        with pytest.raises(KeyboardInterrupt):
            feed(mill, event("journaled", "2026-02-10T14:00:00Z", session_id="s"))
    return found(mill, "lake/journal-*.json")


@pytest.mark.parametrize("harm", [cut, changed])
def test_a_damaged_journal_is_named(
    mill: Tidemill, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], None]
) -> None:
    """Nothing of it is done; the message says how to go on."""
    journal = interrupted(mill, monkeypatch)
    harm(journal)
    assert build(mill).startswith(f"{journal} ")
    assert named(mill)[0].startswith(f"{journal} ")
    journal.unlink()
    mill.ingest(*(mill.home.path / "raw").iterdir(), reread=True)
    built(mill, *FEW, as_of=AS_OF)
    assert rows(mill, "SELECT count(*) FROM lake.events") == [(6,)]


@pytest.mark.parametrize("harm", HARM)
def test_a_damaged_staged_file_is_named(
    mill: Tidemill, monkeypatch: pytest.MonkeyPatch, harm: Callable[[Path], None]
) -> None:
    """A journal's commit is finished from whole files, or not at all."""
    journal = interrupted(mill, monkeypatch)
    staged = max((mill.home.staging).glob("run-*/*/loads.parquet"))
    harm(staged)
    assert f"{staged} " in build(mill)
    assert f"and {journal.name} names it" in named(mill)[0]


def test_a_lost_journal_is_found_by_the_ledger(mill: Tidemill, monkeypatch: pytest.MonkeyPatch) -> None:
    """Records without a load in the ledger are of a commit that nobody finishes any more."""
    append = delta.append

    def events_only(folder: Path, *arguments: Any, **options: Any) -> None:
        if folder.name == "loads":
            raise KeyboardInterrupt
        append(folder, *arguments, **options)

    with monkeypatch.context() as patch:
        patch.setattr(delta, "append", events_only)
        with pytest.raises(KeyboardInterrupt):
            feed(mill, event("half", "2026-02-10T14:00:00Z", session_id="s"))
    found(mill, "lake/journal-*.json").unlink()
    what = "which its ledger does not know: a journal was lost; load its file again: tidemill ingest FILE --reread"
    assert named(mill)[0].endswith(what)
    assert build(mill).endswith(what)
    mill.ingest(*(mill.home.path / "raw").iterdir(), reread=True)


# Pointers


def test_a_deleted_pointer_is_made_again(mill: Tidemill) -> None:
    """By the next build, from the other one; until then whoever reads is told."""
    built(mill, *FEW, as_of=AS_OF)
    link, folder = mill.home.tables / "current", mill.snapshot()
    link.unlink()
    assert named(mill) == [f"{link} is missing; run: tidemill build"]
    assert tm("query", "SELECT 1", at=mill).fault == f"{link} is missing; run: tidemill build"
    assert tm("status", at=mill).code == 1
    assert built(mill, *FEW, as_of=AS_OF) == {}
    assert mill.snapshot() == folder
    (mill.home.tables / "CURRENT").unlink()
    assert named(mill) == [f"{mill.home.tables / 'CURRENT'} does not name {folder}; run: tidemill build"]
    built(mill, *FEW, as_of=AS_OF)
    assert (mill.home.tables / "CURRENT").read_text() == str(folder)


def test_a_pointer_to_nothing_is_an_error(mill: Tidemill) -> None:
    """A build that took it for an empty home would forget what was pruned, and remove the rest of the snapshot."""
    folder = mill.snapshot()
    deleted(folder / "manifest.json")
    assert build(mill).startswith(f"{folder / 'manifest.json'} is missing, and it is the newest snapshot")
    assert (folder / "activity_daily").is_dir()
    shutil.rmtree(folder)
    assert build(mill).startswith(f"{folder} is missing, and it is the newest snapshot")
    link = mill.home.tables / "current"
    link.unlink()
    link.mkdir()
    assert build(mill).startswith(f"{link} is not a link to a snapshot; remove it")
