from __future__ import annotations

import sys
from functools import partial
from typing import TYPE_CHECKING

import pytest

from benchmarks import __main__ as command
from benchmarks import (
    answers,
    bad_lines,
    data,
    environments,
    homes,
    ingest,
    late,
    measure,
    report,
    rollups,
    selects,
    serve,
    small_files,
)
from benchmarks.measure import Contender, ContenderError, Measured, Timed
from benchmarks.plan import Plan
from tidemill import Tidemill
from tidemill.catalog import tables as catalog_tables
from tidemill.records import BY_TABLE
from tidemill.simulation.simulate import simulate

if TYPE_CHECKING:
    from pathlib import Path

LINES = 400
FIRST = "SELECT 1 AS key, 1.0::DOUBLE AS x, 3 AS n UNION ALL SELECT NULL, NULL, 4"


def python(code: str) -> list[str]:
    """A command that runs some Python."""
    return [sys.executable, "-c", code]


def timed(name: str, *walls: float) -> Timed:
    """A contender that took so many seconds in each round."""
    return Timed(Contender(name, []), [[Measured(wall)] for wall in walls])


def test_a_contender_is_charged_with_its_own_memory() -> None:
    """What a process took is its own, and nothing of whoever started it."""
    held = bytearray(200 << 20)
    small = measure.measure(python("pass"))
    large = measure.measure(python("x = bytearray(150 << 20); import time; time.sleep(0.2)"))
    assert len(held) / (1 << 30) > small.memory
    assert large.memory > small.memory + 0.13
    assert large.wall >= 0.2


def test_a_failed_contender_says_what_it_said_last() -> None:
    """A contender that fails is told with its last words."""
    with pytest.raises(ContenderError, match="exit code 3: no such column"):
        measure.measure(python("import sys; print('no such column', file=sys.stderr); sys.exit(3)"))


def test_contenders_take_turns_and_none_is_dropped_silently(tmp_path: Path) -> None:
    """Those with our answer are timed in turn; one with another answer, or that cannot run, is told with its reason."""

    def differs() -> None:
        raise ContenderError("other rows")

    log = tmp_path / "log"

    def contender(name: str, code: str = "", **options: object) -> Contender:
        write = python(f"open({str(log)!r}, 'a').write({name!r}); {code}")
        return Contender(name, [write], **options)  # type: ignore[arg-type] # as a caller gives them

    plan = Plan(tmp_path, tmp_path, rounds=2, without=frozenset({"left"}))
    found = plan.compete(
        [
            contender("a"),
            contender("b"),
            contender("wrong", check=differs),
            contender("broken", "raise SystemExit('cannot')"),
            Contender("absent", [], missing="not installed"),
            Contender("left", []),
        ]
    )
    assert log.read_text() == "abwrongbroken" + "ab" * 2
    assert [len(each.rounds) for each in found] == [2, 2, 0, 0, 0, 0]
    reasons = [each.missing for each in found]
    assert [reasons[n] for n in (0, 1, 2, 4, 5)] == ["", "", "other rows", "not installed", "left out of this run"]
    assert "cannot" in reasons[3]
    assert "| broken | not measured: python" in "\n".join(report.times(found))


def test_an_environment_that_is_not_there_says_so() -> None:
    """What runs in an environment that was not made is missing, and has no versions."""
    absent = environments.peers("absent")
    assert absent.missing == "its environment is not installed: make bench installs it"
    assert not absent.versions("duckdb")


def test_nothing_is_compared_with_a_failure_of_ours(tmp_path: Path) -> None:
    """When ours, the first, cannot do the work, it is an error."""
    with pytest.raises(ContenderError, match=r"ours: .*exit code 1"):
        Plan(tmp_path, tmp_path, rounds=1).compete([Contender("ours", [python("raise SystemExit(1)")])])


@pytest.mark.parametrize(
    ("theirs", "what"),
    [
        ("SELECT 1 AS key, 1.0 + 5e-10 AS x, 3 AS n UNION ALL SELECT NULL, NULL, 4", ""),
        ("SELECT 1 AS key, 1.0 + 5e-9 AS x, 3 AS n UNION ALL SELECT NULL, NULL, 4", "x, for one"),
        ("SELECT 1 AS key, NULL AS x, 3 AS n UNION ALL SELECT NULL, NULL, 4", "x, for one"),
        ("SELECT 1 AS key, 1.0 AS x, 2 AS n UNION ALL SELECT NULL, NULL, 4", "n, for one"),
        ("SELECT 1 AS key, 1.0 AS x, 3 AS n", "a row is missing"),
        (f"{FIRST} UNION ALL SELECT 2, 1, 1", "a row too many"),
        ("SELECT 1 AS key, 1.0 AS x", "cannot be compared"),
    ],
    ids=["close", "far", "unknown", "count", "missing", "extra", "no column"],
)
def test_answers_are_equal_in_counts_and_close_in_doubles(theirs: str, what: str) -> None:
    """Counts are equal exactly, doubles to 1e-9, a key may be NULL, and a missing or further row is a difference."""
    compare = partial(answers.same_table, "t", f"({theirs})", f"({FIRST})", ["key"])
    if what:
        with pytest.raises(ContenderError, match=what):
            compare()
    else:
        compare()


def test_a_section_replaces_only_its_own(tmp_path: Path) -> None:
    """RESULTS.md keeps the sections of other works and sizes, in the order of works and then of sizes."""
    path, order = tmp_path / "RESULTS.md", ["ingest", "build"]
    report.write({"build:10": ["## b 10"], "ingest:1": ["## i 1, old"]}, order, path)
    report.write({"build:1": ["## b 1"], "ingest:1": ["## i 1"]}, order, path)
    text = path.read_text()
    assert [line for line in text.splitlines() if line.startswith("## ")] == ["## i 1", "## b 1", "## b 10"]
    assert text.count(report.HEAD) == 1


def test_medians_and_ratios_are_told() -> None:
    """A row has the median, the least and the most; the limit's speed is 1."""
    found = [timed("ours", 4, 1, 2), timed("bare", 1, 1, 1)]
    table = "\n".join(report.table(found, "bare", "lines", 100))
    assert "| ours | 2.00 | 1.00-4.00 | 50 | 0.00 | 0.50 |" in table
    assert "| bare | 1.00 | 1.00-1.00 | 100 | 0.00 | 1.00 (limit) |" in table
    assert not report.ahead(found, "bare").met
    assert report.of_limit(found, "bare", 0.5).met


def test_ours_and_the_bare_copies_load_the_same_lines(tmp_path: Path) -> None:
    """The ingest's contenders of the project's own environment have equal answers; other rows are noticed."""
    lines = tmp_path / "events.jsonl"
    answers.execute(data.clean(lines, LINES))
    plan = Plan(tmp_path, tmp_path, rounds=1)
    found = plan.compete(ingest.engine(plan, lines, LINES))
    assert [each.missing for each in found] == ["", "", ""]
    with pytest.raises(ContenderError, match="other rows"):
        ingest.engine(plan, lines, LINES + 1)[0].check()


def test_bad_lines_are_all_kept(tmp_path: Path) -> None:
    """The work of bad lines runs: what the bare copies keep is what is accepted, and the quarantine has the rest."""
    text = "\n".join(bad_lines.run(Plan(tmp_path, tmp_path, events=LINES, rounds=1)))
    assert "tidemill keeps the 4 bad lines in its quarantine" in text
    assert "not measured" not in text


def test_small_files_are_each_in_the_ledger(tmp_path: Path) -> None:
    """The work of many small files runs, and says how many a second."""
    text = "\n".join(small_files.run(Plan(tmp_path, tmp_path, files=3, rounds=1)))
    assert "F. Small files of 100 lines: 3 files" in text
    assert "not measured" not in text


def test_bare_selects_give_what_a_build_publishes(tmp_path: Path) -> None:
    """The same selects in one bare session give every table of days, weeks and months as the build publishes it."""
    home = tmp_path / "home"
    mill = Tidemill(home)
    mill.ingest(*simulate(home / "raw", events=600, days=9))
    tables = [
        catalog_tables.table(name) for name in ("activity_hourly", "activity_weekly", "jobs_daily", "metric_hourly")
    ]
    mill.build(*(table.name for table in tables), as_of="latest")
    homes.write_whole(home)
    bare = rollups.bare(tmp_path, home, tables)
    measure.run(bare)
    bare.check()
    wrong = tmp_path / "bare" / "jobs_daily.parquet"
    answers.execute(f"COPY (SELECT * REPLACE (jobs + 1 AS jobs) FROM '{wrong}') TO '{wrong}'")
    with pytest.raises(ContenderError, match=r"jobs_daily differs in .* jobs"):
        bare.check()


def test_the_last_hour_is_held_back(tmp_path: Path) -> None:
    """The hour that comes later is in files of its own, and in no other; a home comes back as it was put aside."""
    home = tmp_path / "home"
    simulate(home / "raw", events=2_000, days=2)
    before = sum(path.read_text().count("\n") for path in (home / "raw").iterdir())
    homes.hold_back(home / "raw", home / "late")
    late_lines = [line for path in (home / "late").iterdir() for line in path.read_text().splitlines()]
    kept = [line for path in (home / "raw").iterdir() for line in path.read_text().splitlines()]
    assert late_lines
    assert all(homes.LAST_HOUR in line for line in late_lines)
    assert len(late_lines) + len(kept) == before
    homes.bring_back(home, tmp_path / "again")
    assert sorted(path.name for path in (tmp_path / "again").rglob("*")) == sorted(p.name for p in home.rglob("*"))


def test_late_days_are_old_days_of_the_lake() -> None:
    """Late records are of thirty days, or as many as there are, none of them the last."""
    assert len(late.old_days(365)) == late.OLD_DAYS
    assert [len(late.old_days(3)), late.old_days(3)[0]] == [2, homes.first_day(3)]
    assert max(late.old_days(31)) < homes.LAST_DAY


def test_peers_get_every_macro_that_the_rollups_call() -> None:
    """A database with the macros for the peers can run each of the six selects, and has no others."""
    with answers.session() as connection:
        connection.execute(selects.macros())
        columns = ", ".join(f"NULL::{kind} AS {name}" for name, kind in BY_TABLE["events"].stored.items())
        connection.execute(f"CREATE VIEW events AS SELECT {columns} WHERE false")
        for name in selects.ROLLUPS:
            assert connection.execute(catalog_tables.table(name).select).fetchall() == []
    assert "price_periods" not in selects.macros()


def test_a_server_is_asked_streams_and_tells_everyone_of_a_publish(tmp_path: Path) -> None:
    """The work of the server runs: no request fails, the stream is whole, and every client has what was published."""
    load = serve.Load(serve.TABLES[:1], rate=50, advanced_rate=20, seconds=0.4, cold=3, clients=20)
    text = "\n".join(serve.run(Plan(tmp_path, tmp_path, events=600, rounds=1), load))
    assert "| /analytics/stats | 50 | 20 |" in text
    assert "| /analytics/advanced | cold, in turn | 3 |" in text
    assert text.count(", 0 errors (") == 3
    assert "20 clients have what is new within 1 s" in text


def test_works_and_scales_are_chosen(capsys: pytest.CaptureFixture[str]) -> None:
    """--only takes works that there are."""
    with pytest.raises(SystemExit):
        command.main(["--only", "ingest,speed"])
    assert "there is no work speed" in capsys.readouterr().err
