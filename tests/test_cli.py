from __future__ import annotations

import json
import signal
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import pytest

from tests.homes import AS_OF, built, digests, event, feed, home, job, metric, process, tm
from tidemill import __version__
from tidemill.catalog import tables as catalog_tables

if TYPE_CHECKING:
    from tidemill import Tidemill

COMMANDS: Final = (
    *("init", "ingest", "build", "run", "query", "show", "path", "tables", "status", "check"),
    *("compact", "prune", "upgrade", "serve", "simulate", "quarantine"),
)
HEAVY: Final = ("polars", "duckdb", "pyarrow", "deltalake", "prefect", "pandas", "sqlglot", "pydantic")
RECORDS: Final = (
    event("a", "2026-02-10T10:00:00Z", session_id="s1", user_id="u1", duration_ms=10.5),
    event("b", "2026-02-11T10:00:00Z", session_id="s1", type="error_occurred"),
    job("j", "2026-02-10T09:00:00Z"),
    metric("m", "2026-02-10T09:00:00Z"),
)


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Tidemill:
    """A home that is built, for commands that read."""
    made = home(tmp_path_factory.mktemp("read"), *RECORDS)
    built(made, as_of=AS_OF)
    return made


# Help, and what it costs


@pytest.mark.parametrize("arguments", [(), ("--help",), ("-h",)], ids=["none", "--help", "-h"])
def test_help_names_every_command(arguments: tuple[str, ...]) -> None:
    """Without arguments too; each command stands there with a line of its own."""
    said = tm(*arguments)
    assert (said.code, said.err) == (0, "")
    lines = said.out.split("Commands:")[1].splitlines()
    assert [line.split()[0] for line in lines if line.startswith("  ")] == list(COMMANDS)


@pytest.mark.parametrize("name", COMMANDS)
def test_each_command_explains_itself(name: str) -> None:
    """Its help says how it is called, by the name that people type, and explains every option."""
    said = tm(name, "--help")
    assert said.code == 0
    assert said.out.startswith(f"Usage: tidemill {name} ")
    options = [line for line in said.out.splitlines() if line.strip().startswith("--")]
    assert [line for line in options if len(line.split("  ")) < 2] == []


def test_help_imports_nothing_heavy() -> None:
    """The command's help starts none of the libraries that take their time."""
    code = f"""
import sys
from tidemill.cli import main as cli
try:
    cli.main(["--help"])
except SystemExit:
    print([name for name in {HEAVY} if name in sys.modules], file=sys.stderr)
"""
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stderr == "[]\n"


def test_the_package_needs_neither_prefect_nor_pandas() -> None:
    """No module of it imports them, directly or through another library."""
    code = """
import importlib, pkgutil, sys
import tidemill
for module in pkgutil.walk_packages(tidemill.__path__, "tidemill."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)
print([name for name in ("prefect", "pandas") if name in sys.modules])
"""
    found = subprocess.run([sys.executable, "-c", code], check=True, capture_output=True, text=True)
    assert found.stdout == "[]\n"


# From nothing to tables


def test_the_pipeline_by_hand(tmp_path: Path) -> None:
    """Init, ingest, build and the reading commands, each with its result alone on standard output."""
    place = tmp_path / "home"
    file = tmp_path / "app.jsonl"
    file.write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    said = tm("init", at=place)
    assert (said.code, said.out) == (0, "")
    assert said.err.startswith(f"wrote {place}/tidemill.toml")
    said = tm("ingest", file, at=place)
    assert said.code == 0
    counts = ["source", "loads", "records_read", "expanded", "accepted", "duplicates", "quarantined", "ignored"]
    assert [line.split() for line in said.out.splitlines()] == [counts, ["files", *"1404000"]]
    said = tm("build", "--as-of", AS_OF, at=place)
    assert said.code == 0
    assert [line.split()[0] for line in said.out.splitlines()] == ["table", *catalog_tables.tables()]
    assert sorted(said.err.splitlines()) == sorted(f"build: {table}" for table in catalog_tables.tables())
    said = tm("build", "--as-of", AS_OF, at=place)
    assert (said.code, said.out, said.err) == (0, "", "everything is fresh: nothing was built\n")
    (tmp_path / "more.jsonl").write_text(json.dumps(metric("more", "2026-02-10T11:00:00Z")) + "\n")
    tm("ingest", tmp_path / "more.jsonl", at=place)
    said = tm("build", "--as-of", AS_OF, at=place)
    assert (said.code, set(said.err.splitlines())) == (0, {"build: metric_daily", "build: metric_hourly"})
    said = tm("query", "SELECT job_id, status FROM job_states", at=place)
    assert (said.code, said.out.split(), said.err) == (0, ["job_id", "status", "j", "completed"], "")
    said = tm("path", "job_states", at=place)
    assert said.code == 0
    assert [path.suffix for path in (place / said.out.strip()).iterdir()] == [".parquet"]
    assert said.out == f"{(place / 'tables' / 'current').resolve()}/job_states\n"


def test_run_is_ingest_and_build(tmp_path: Path) -> None:
    """The configured sources are loaded, then the tables built; again, and there is nothing to do."""
    place = tmp_path / "home"
    (place / "raw").mkdir(parents=True)
    (place / "raw" / "a.jsonl").write_text("".join(json.dumps(record) + "\n" for record in RECORDS))
    (place / "tidemill.toml").write_text('[sources.app]\npath = "raw/*.jsonl"\n')
    said = tm("run", "--as-of", "latest", at=place)
    assert said.code == 0
    assert said.out.splitlines()[1].split() == ["app", *"1404000"]
    said = tm("run", "--as-of", "latest", at=place)
    assert said.code == 0
    assert said.out.splitlines()[1].split() == ["app", *"0000000"]
    assert said.err == "ingest: app\napp: 1 file holds nothing new\neverything is fresh: nothing was built\n"


def test_run_builds_what_it_could_load(tmp_path: Path) -> None:
    """A source that cannot be read is an error, and the records of the others are in the tables."""
    place = tmp_path / "home"
    place.mkdir()
    (place / "good.jsonl").write_text(json.dumps(RECORDS[0]) + "\n")
    (place / "tidemill.toml").write_text('[sources.bad]\npath = "no.jsonl"\n[sources.good]\npath = "good.jsonl"\n')
    said = tm("run", at=place)
    assert said.code == 2
    assert said.err.splitlines()[-1] == f"tidemill: {place}/no.jsonl does not exist"
    assert tm("query", "SELECT events FROM activity_daily", "--format", "csv", at=place).out == "events\n1\n"


def test_a_home_without_sources_says_so(tmp_path: Path) -> None:
    """Ingest and run find nothing to load, and say what to do."""
    for name in ("ingest", "run"):
        said = tm(name, at=tmp_path / "home")
        assert said.code == 0
        assert said.err.startswith(
            f"no sources are configured in {tmp_path}/home/tidemill.toml; name files, or run: tidemill init\n"
        )


def test_refused_records_and_empty_files_are_counted(tmp_path: Path) -> None:
    """Both are said on standard error, and change nothing about the exit code."""
    (tmp_path / "bad.jsonl").write_text("{}\n")
    (tmp_path / "empty.jsonl").touch()
    said = tm("ingest", tmp_path / "bad.jsonl", tmp_path / "empty.jsonl", "--record", "event", at=tmp_path / "home")
    assert said.code == 0
    assert f"files: {tmp_path}/empty.jsonl is empty\n" in said.err
    assert "files: 1 record was quarantined" in said.err


def test_init_leaves_an_existing_file_alone(tmp_path: Path) -> None:
    """A tidemill.toml that is there is not written over."""
    (tmp_path / "tidemill.toml").write_text("threads = 1\n")
    said = tm("init", at=tmp_path)
    assert (said.code, said.fault) == (2, f"{tmp_path}/tidemill.toml exists already; edit it, or remove it first")
    assert (tmp_path / "tidemill.toml").read_text() == "threads = 1\n"


def test_simulate_names_the_files_that_it_wrote(tmp_path: Path) -> None:
    """The files alone on standard output, what to do with them beside it, and they load."""
    said = tm("simulate", "--output", tmp_path / "raw", "--events", 200, "--days", 2, at=tmp_path / "home")
    assert said.code == 0
    files = said.out.splitlines()
    assert sorted(files) == sorted(str(path) for path in (tmp_path / "raw").iterdir())
    assert f"tidemill --home {tmp_path}/home ingest {tmp_path}/raw" in said.err
    assert tm("ingest", *files, at=tmp_path / "home").code == 0


def test_a_dry_run_says_what_is_stale_and_why(tmp_path: Path) -> None:
    """It names table, partition and reason, builds nothing, and says so when there is nothing to build."""
    mill = home(tmp_path, *RECORDS)
    mill.build()
    before = digests(mill.home.tables)
    feed(mill, metric("late", "2026-02-10T10:00:00Z"))
    said = tm("build", "--dry-run", at=mill)
    assert (said.code, said.err) == (0, "")
    table, partition, *why = said.out.splitlines()[1].split()
    assert (table, partition, " ".join(why)) == ("metric_daily", "2026-02-10", "its records changed")
    assert [line.split()[0] for line in said.out.splitlines()[1:]] == ["metric_daily", "metric_hourly"]
    said = tm("build", "--dry-run", "activity_daily", at=mill)
    assert (said.code, said.out, said.err) == (0, "", "everything is fresh: nothing would be built\n")
    full = tm("build", "--dry-run", "--full", "job_states", at=mill).out.splitlines()
    assert [line.split() for line in full] == [["table", "partition", "why"], ["job_states", "2026-02-10", "--full"]]
    assert digests(mill.home.tables) == before


def test_a_build_that_fails_in_part_says_what_was_built(tmp_path: Path) -> None:
    """What was built on standard output, each failure a line of its own, and the exit code is 1."""
    mill = home(tmp_path, *RECORDS)
    mill.home.prices.write_text("nothing\n")
    said = tm("build", "metric_daily", "llm_hourly", "assistant_costs", at=mill)
    assert said.code == 1
    assert [line.split()[0] for line in said.out.splitlines()] == ["table", "metric_daily"]
    failures = [line for line in said.err.splitlines() if line.startswith("tidemill: ")]
    assert [line.split(":")[1].split(" cannot")[0] for line in failures[:2]] == [
        " table assistant_costs",
        " table llm_hourly",
    ]
    assert failures[2:] == ["tidemill: 2 tables could not be built; everything else is published"]


def test_a_file_that_cannot_be_read_leaves_no_table_of_zeros(tmp_path: Path) -> None:
    """Its error is all that is said of it; beside it stands what the others loaded."""
    mill = home(tmp_path)
    said = tm("ingest", tmp_path / "no.jsonl", at=mill)
    assert (said.code, said.fault) == (2, f"{tmp_path}/no.jsonl does not exist")
    (tmp_path / "good.jsonl").write_text(json.dumps(RECORDS[0]) + "\n")
    said = tm("ingest", tmp_path / "no.jsonl", tmp_path / "good.jsonl", at=mill)
    assert said.code == 2
    assert said.out.splitlines()[1].split() == ["files", *"1101000"]


def test_a_source_that_is_mistyped_is_not_taken_for_a_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is said which one is near; what looks like a file, is there, or is near to nothing, is a file."""
    mill = home(tmp_path, settings='[sources.calls]\npath = "calls.jsonl"\nrecord = "event"\n')
    monkeypatch.chdir(tmp_path)
    said = tm("ingest", "cals", at=mill)
    assert (said.code, said.fault) == (2, 'there is no source "cals"; did you mean "calls"?')
    for name in ("calls.json", "./cals", "nothing_like_it"):
        assert tm("ingest", name, at=mill).fault == f"{tmp_path / name} does not exist"
    (tmp_path / "cals").mkdir()
    (tmp_path / "cals" / "a.jsonl").write_text(json.dumps(RECORDS[0]) + "\n")
    assert tm("ingest", "cals", at=mill).code == 0


def test_the_version_is_said() -> None:
    """That of the package, and nothing else is done."""
    said = tm("--version", "build")
    assert (said.code, said.out, said.err) == (0, f"tidemill {__version__}\n", "")


# One table, described


def test_a_table_is_described(tmp_path: Path) -> None:
    """Facts above columns for a person: before the build, after it, and once it is stale."""
    mill = home(tmp_path, *RECORDS)

    def facts() -> dict[str, str]:
        above = tm("tables", "metric_hourly", at=mill).out.partition("\n\n")[0]
        return {line.split()[0]: " ".join(line.split()[1:]) for line in above.splitlines()}

    assert (facts()["freshness"], facts()["rows"], facts()["built_at"]) == ("not built yet", "", "")
    built(mill, "metric_hourly")
    assert {name: value for name, value in facts().items() if name not in {"built_at", "bytes"}} == {
        "table": "metric_hourly",
        "family": "metrics",
        "description": catalog_tables.table("metric_hourly").description,
        "grain": "hour, name, unit, kind, labels",
        "key": "hour, name, unit, kind, labels",
        "partition": "day of hour",
        "reads": "metrics",
        "freshness": "fresh",
        "rows": "1",
    }
    files = list(mill.path("metric_hourly").iterdir())
    assert facts()["bytes"] == f"{sum(file.stat().st_size for file in files):,}"
    feed(mill, metric("late", "2026-02-10T09:30:00Z"), metric("new", "2026-02-12T09:30:00Z"))
    assert facts()["freshness"] == "stale: 2 of 2 (its records changed, new)"
    columns = tm("tables", "metric_hourly", at=mill).out.partition("\n\n")[2].splitlines()
    assert columns[0].split() == ["column", "type", "description"]
    assert " ".join(columns[1].split()) == "hour TIMESTAMP WITH TIME ZONE the instant at which the local hour begins"
    assert len(columns) == 1 + len(catalog_tables.table("metric_hourly").comments)


@pytest.mark.parametrize("name", ["activity_daily", "llm_ttft", "job_summary", "builds", "table_columns"])
def test_a_program_is_told_of_a_table_in_one_row(mill: Tidemill, name: str) -> None:
    """With its key as a list, its rows and bytes as numbers, and its columns nested."""
    (row,) = json.loads(tm("tables", name, "--format", "json", at=mill).out)
    assert (row["table"], row["rows"]) == (name, len(mill.show(name)))
    assert [column["column"] for column in row["columns"]] == mill.show(name).columns
    assert len(mill.show(name).select(row["key"]).unique()) == row["rows"] if row["key"] else row["rows"] == 1
    assert row["bytes"] > 0
    assert row["built_at"].endswith("Z")


# What is refused


@pytest.mark.parametrize(
    ("arguments", "fault"),
    [
        (["buld"], "No such command 'buld'. Did you mean 'build'?; see: tidemill --help"),
        (["build", "--ful"], "No such option: --ful (Possible options: --full); see: tidemill build --help"),
        (["tables", "activity_dayly"], 'there is no table "activity_dayly"; did you mean "activity_daily"?'),
        (["query"], "Missing argument 'sql'; see: tidemill query --help"),
        (["show", "activity_dayly"], 'there is no table "activity_dayly"; did you mean "activity_daily"?'),
        (["path", "activity_dayly"], 'there is no table "activity_dayly"; did you mean "activity_daily"?'),
        (["build", "activity_dayly"], 'there is no table "activity_dayly"; did you mean "activity_daily"?'),
        (["build", "--dry-run", "nothing_like_it_at_all"], 'there is no table "nothing_like_it_at_all"; there are: '),
        (["build", "--as-of", "noon"], "as-of takes a time like 2026-02-10T18:00Z, or latest; not noon"),
        (["query", "FROM activity_dayly"], 'Did you mean "activity_daily"?'),
        (
            ["query", "SELECT evnts FROM activity_daily"],
            'Referenced column "evnts" not found in FROM clause! Candidate bindings: "events"',
        ),
        (["query", "SELEC 1"], 'syntax error at or near "SELEC"'),
        (["query", "SELECT $1"], "Values were not provided"),
        (
            ["show", "activity_daily", "--format", "xml"],
            "'xml' is not one of 'table', 'csv', 'json', 'jsonl', 'parquet', 'arrow'",
        ),
        (["ingest", "x.jsonl", "--record", "evnt"], "record: "),
        (
            ["simulate", "--events", "0"],
            "--events': Input should be greater than or equal to 1; see: tidemill simulate --help",
        ),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, list) else "",
)
def test_what_cannot_be_used_is_one_line(mill: Tidemill, arguments: list[str], fault: str) -> None:
    """It says what and where, and what was meant; the exit code is 2."""
    said = tm(*arguments, at=mill)
    assert fault in said.fault
    assert said.code == (1 if "SELECT $1" in arguments else 2)


@pytest.mark.parametrize(
    "query",
    [
        "COPY (SELECT 1) TO '{folder}/out.csv'",
        "COPY builds TO '{snapshot}/out.csv'",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO '{snapshot}/out.csv'",
        "EXPLAIN /* x */ ANALYZE -- y\n COPY (SELECT 1) TO '{snapshot}/out.csv'",
        "WITH x AS (COPY (SELECT 1) TO '{snapshot}/out.csv') FROM x",
        "with x as (copy (select 1) to '{snapshot}/out.csv') from x",
        "EXPLAIN ANALYZE WITH x AS (COPY (SELECT 1) TO '{snapshot}/out.csv') FROM x",
        "FROM query('WITH x AS (COPY (SELECT 1) TO ''{snapshot}/out.csv'') FROM x')",
        "ATTACH '{snapshot}/out.db' AS x",
        "EXPLAIN ANALYZE ATTACH '{snapshot}/out.db' AS x",
        "EXPORT DATABASE '{snapshot}/out'",
        "INSTALL httpfs",
        "LOAD httpfs",
        "SET enable_external_access = true",
        "EXPLAIN ANALYZE SET threads = 1",
        "RESET lock_configuration",
        "PRAGMA database_list",
        "CALL pragma_version()",
        "CREATE TABLE x (i INTEGER)",
        "CREATE TEMP TABLE x AS SELECT 1",
        "DROP VIEW activity_daily",
        "DELETE FROM builds",
        "BEGIN",
        "CHECKPOINT",
        "SELECT 1; SELECT 2",
        "SELECT 1; COPY (SELECT 1) TO '{snapshot}/out.csv'",
        "",
        "/* nothing */",
        "SELECT * FROM read_text('/etc/passwd')",
        "SELECT * FROM read_csv('/etc/passwd')",
        "SELECT * FROM read_blob('{folder}/tidemill.toml')",
        "SELECT * FROM '{folder}/tidemill.toml'",
        "SELECT * FROM glob('/etc/*')",
        "SELECT * FROM glob('{folder}/*')",
        "SELECT * FROM read_parquet('https://localhost/x.parquet')",
        "FROM sqlite_scan('{folder}/x', 'y')",
        "FROM mill",
    ],
)
def test_query_only_reads_tables_and_lake(mill: Tidemill, query: str) -> None:
    """Whatever else is asked is refused, and no file appears or changes."""
    before = digests(mill.home.path)
    said = tm("query", query.format(folder=mill.home.path, snapshot=mill.snapshot()), at=mill)
    assert said.fault.startswith(("query takes one SELECT", "the query cannot be run", "the query failed"))
    assert said.code == (1 if "failed" in said.fault else 2)
    assert digests(mill.home.path) == before


@pytest.mark.parametrize(
    "query",
    [
        "SELECT 1 AS copied, 'COPY' AS \"copy\" -- COPY",
        "FROM activity_daily;",
        "VALUES (1)",
        "WITH RECURSIVE t(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM t WHERE n < 3) FROM t",
        "EXPLAIN SELECT 1",
        "EXPLAIN ANALYZE FROM activity_daily",
        "DESCRIBE activity_daily",
        "SHOW TABLES",
        "SUMMARIZE activity_daily",
        "SELECT * FROM read_text(getvariable('x'))",
        "FROM lake.loads",
        "SELECT comment FROM duckdb_columns()",
        "SELECT 'ü' AS \"größe\", $$COPY$$",
    ],
)
def test_query_takes_any_select(mill: Tidemill, query: str) -> None:
    """Also those that describe and explain, and the word COPY where it is none."""
    said = tm("query", query, at=mill)
    assert said.code == 0 or "getvariable" in query
    assert said.out or "getvariable" in query


def test_a_large_query_spills_elsewhere(mill: Tidemill) -> None:
    """What DuckDB puts aside lies in the home, where the next writer clears it, and no query may read there."""
    said = tm("query", "SELECT current_setting('temp_directory') AS t", "--format", "csv", at=mill)
    folder = Path(said.out.splitlines()[1])
    assert folder.parent == mill.home.staging
    assert not folder.exists()
    assert tm("query", f"FROM read_text('{folder}/../x')", at=mill).code == 2


# Homes that cannot be used


@pytest.mark.parametrize(
    "arguments", [("query", "SELECT 1"), ("show", "activity_daily"), ("path", "activity_daily")], ids=lambda a: a[0]
)
def test_nothing_is_read_where_nothing_is_published(tmp_path: Path, arguments: tuple[str, ...]) -> None:
    """A home that is not there, or not built, is said with what to do; none is made."""
    said = tm(*arguments, at=tmp_path / "none")
    assert (said.code, said.fault) == (2, f"nothing is published in {tmp_path}/none yet; run: tidemill build")
    assert not (tmp_path / "none").exists()


def test_a_table_that_is_not_built_is_said(tmp_path: Path) -> None:
    """With the command that builds it."""
    mill = home(tmp_path, *RECORDS)
    built(mill, "metric_hourly")
    said = tm("show", "activity_daily", at=mill)
    assert (said.code, said.fault) == (2, "activity_daily is not built yet; run: tidemill build activity_daily")


@pytest.mark.parametrize(
    "arguments", [("init",), ("build",), ("run",), ("ingest", "x.jsonl"), ("simulate",)], ids=lambda a: a[0]
)
def test_a_home_that_cannot_be_written(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, arguments: tuple[str, ...]
) -> None:
    """Where the system has no room for it, or a file stands in its place: exit code 2, and what to do."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "x.jsonl").write_text(json.dumps(RECORDS[0]) + "\n")
    for place in (Path("/proc/tidemill"), tmp_path / "x.jsonl"):
        said = tm(*arguments, at=place)
        assert said.code == 2
        assert f"{place}" in said.err.splitlines()[-1]
        assert "choose another --home" in said.err.splitlines()[-1] or "tidemill.toml cannot be read" in said.err


def test_a_home_with_a_question_mark_is_refused(tmp_path: Path) -> None:
    """DuckDB could not open a database in it."""
    said = tm("build", at=tmp_path / "what?")
    assert said.code == 2
    assert "what? cannot be a home" in said.fault


def test_a_home_that_delta_would_look_for_elsewhere_is_refused(tmp_path: Path) -> None:
    """delta-rs takes a %20 in a path for a blank and would make the tables' logs in another folder."""
    said = tm("ingest", "nothing.jsonl", at=tmp_path / "a%20b")
    assert said.code == 2
    assert "a%20b cannot be a home: Delta takes %20 for another character" in said.fault
    assert list(tmp_path.iterdir()) == []
    assert tm("status", at=tmp_path / "100% of b").code == 0


@pytest.mark.parametrize(
    ("arguments", "code"),
    [(("build",), 2), (("ingest",), 2), (("status",), 2), (("query", "SELECT 1"), 0), (("tables",), 0)],
    ids=lambda value: value[0] if isinstance(value, tuple) else "",
)
def test_settings_that_cannot_be_used(tmp_path: Path, arguments: tuple[str, ...], code: int) -> None:
    """Are said with their file by the commands that need them; reading does not."""
    mill = home(tmp_path, *RECORDS)
    built(mill, "metric_hourly")
    mill.home.settings_file.write_text('timezon = "UTC"\n')
    said = tm(*arguments, at=mill)
    assert said.code == code
    if code:
        assert (
            said.fault
            == f'{mill.home.settings_file}: there is no setting "timezon"; did you mean "timezone"? (at timezon)'
        )


def test_the_home_may_come_from_the_environment(mill: Tidemill) -> None:
    """TIDEMILL_HOME stands for --home, and is no setting."""
    environment = {"TIDEMILL_HOME": str(mill.home.path)}
    assert tm("path", "builds", environment=environment).out == f"{mill.path('builds')}\n"
    assert tm("status", environment=environment).code == 0


def test_debug_shows_where(tmp_path: Path) -> None:
    """With --debug the traceback stands before the one line; the exit code is the same."""
    plain = tm("path", "builds", at=tmp_path)
    said = tm("--debug", "path", "builds", at=tmp_path)
    assert "Traceback" not in plain.err
    assert said.err.startswith("Traceback (most recent call last):\n")
    assert said.err.endswith(plain.err)
    assert said.code == plain.code == 2
    assert "Traceback" not in tm("path", "builds", at=tmp_path).err


def test_what_nobody_thought_of_is_one_line_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """An unforeseen error has its kind and text, and --debug shows where it came from; the exit code is 1."""

    def fail(_table: str) -> None:
        raise ValueError("of two lines\nor more")

    mill = home(tmp_path, *RECORDS)
    built(mill, "metric_hourly")
    monkeypatch.setattr(catalog_tables, "known", fail)
    said = tm("path", "builds", at=mill)
    assert said.code == 1
    assert said.fault.startswith("ValueError: of two lines ")
    assert said.fault.endswith("(--debug shows where)")


def test_what_does_not_fit_in_memory_says_what_to_set(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Wherever the engine lacked it; other failures of the engine point to the files that it may have failed on."""
    mill = home(tmp_path, *RECORDS)
    built(mill, "metric_hourly")
    for error, told in (
        (duckdb.OutOfMemoryException("Out of Memory Error: no block"), "does not fit memory_limit; set a higher one"),
        (duckdb.IOException("IO Error: no page"), "IO Error: no page (what is damaged is named by: tidemill check"),
    ):

        def fail(_table: str, error: Exception = error) -> None:
            raise error

        monkeypatch.setattr(catalog_tables, "known", fail)
        said = tm("path", "builds", at=mill)
        assert said.code == 1
        assert told in said.fault


def test_an_interrupted_build_says_so(tmp_path: Path) -> None:
    """Ctrl-C ends it with exit code 130 and one line, and what was published stays."""
    mill = home(tmp_path, *RECORDS)
    built(mill, "metric_hourly")
    before = mill.snapshot()
    running = process("--home", mill.home.path, "build", stdout=subprocess.DEVNULL)
    assert running.stderr
    first = running.stderr.readline()
    running.send_signal(signal.SIGINT)
    _, rest = running.communicate()
    assert first.startswith(b"build: ")
    assert running.returncode == 130, rest
    assert rest.splitlines()[-1].startswith(b"tidemill: interrupted")
    assert b"Traceback" not in rest
    assert mill.snapshot() == before
    assert not list(mill.home.tables.glob("building-*"))


def test_the_module_is_the_command(mill: Tidemill) -> None:
    """`python -m tidemill` is called tidemill too, and ends with the exit code."""
    failing = process("--home", mill.home.path, "show", "no", stdout=subprocess.PIPE)
    out, err = failing.communicate()
    assert (failing.returncode, out) == (2, b"")
    assert err.startswith(b'tidemill: there is no table "no"; there are: ')
