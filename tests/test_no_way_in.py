"""No way in: what a reader's SQL, a check, a path or an option cannot reach, however it is put."""

from __future__ import annotations

import gc
import gzip
import json
import stat
import time
from pathlib import Path
from typing import TYPE_CHECKING, Final

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.homes import AS_OF, built, digests, event, few_tables, home, job, metric, tm
from tidemill.build import outcome as build_outcome
from tidemill.engine.quoting import literal
from tidemill.errors import TidemillError, UsageError

__all__ = ["few_tables"]

if TYPE_CHECKING:
    from tidemill import Tidemill

FEW: Final = ("activity_daily",)
HIDDEN: Final = "hunter2"
RECORDS: Final = (
    event("a", "2026-02-10T10:00:00Z", session_id="s1", user_id="u1", duration_ms=10.5),
    job("j", "2026-02-10T09:00:00Z"),
    metric("m", "2026-02-10T09:00:00Z"),
)


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Tidemill:
    """A home that is built, with a secret beside it and one in its lake's folder."""
    made = home(tmp_path_factory.mktemp("read"), *RECORDS, settings="[query]\ntimeout_seconds = 1\n")
    made.build("activity_daily", as_of=AS_OF)
    (made.home.path.parent / "secret.csv").write_text(f"word\n{HIDDEN}\n")
    (made.home.lake / "secret.csv").write_text(f"word\n{HIDDEN}\n")
    return made


# What a reader asks


@pytest.mark.parametrize(
    "query",
    [
        "FROM read_text({beside})",
        "FROM read_csv({beside})",
        "FROM read_blob({beside})",
        "FROM read_json({beside})",
        "FROM {beside}",
        "FROM sniff_csv({beside})",
        "FROM read_csv({in_lake})",
        "FROM read_text({settings})",
        "FROM read_text({ledger})",
        "FROM glob({everything})",
        "FROM read_parquet({everything})",
        "FROM query('FROM read_text(' || chr(39) || {beside} || chr(39) || ')')",
        "FROM json_execute_serialized_sql(json_serialize_sql('FROM read_text(''' || {beside} || ''')'))",
        "SELECT (SELECT content FROM read_text({beside}))",
        "WITH x AS MATERIALIZED (FROM read_text({beside})) FROM x",
        "SELECT getenv('HOME')",
        "FROM duckdb_secrets()",
        "FROM pandas_scan(1)",
        "FROM mill",
        "EXPLAIN ANALYZE FROM read_text({beside})",
        "DESCRIBE FROM read_csv({beside})",
        "SUMMARIZE FROM read_csv({beside})",
    ],
)
def test_a_query_reads_no_file_but_what_the_views_name(mill: Tidemill, query: str) -> None:
    """Neither beside the home nor within it; not by a function, a name, a text that is run, or a plan."""
    with pytest.raises((TidemillError, duckdb.PermissionException)) as found:
        mill.sql(_filled(mill, query)).fetchall()
    assert HIDDEN not in str(found.value)


@pytest.mark.parametrize(
    "statement",
    [
        "COPY (SELECT 1 AS day) TO {published}",
        "COPY (SELECT 1 AS day) TO {published} (OVERWRITE true)",
        "/* SELECT */ COPY (SELECT 1) TO {published}",
        "-- SELECT 1\nCOPY (SELECT 1) TO {published}",
        "SELECT 1; COPY (SELECT 1) TO {published}",
        "SELECT 1 /* ; */ ; /* */ COPY (SELECT 1) TO {published}",
        "SELECT '--' ; COPY (SELECT 1) TO {published} -- '",
        "WITH x AS (COPY (SELECT 1) TO {published}) FROM x",
        "WITH x AS MATERIALIZED (COPY (SELECT 1) TO {published}) SELECT (SELECT count(*) FROM x)",
        "FROM (WITH x AS (COPY (SELECT 1) TO {published}) FROM x)",
        "WITH x AS (CO/**/PY (SELECT 1) TO {published}) FROM x",
        "EXPLAIN ANALYZE WITH x AS (COPY (SELECT 1) TO {published}) FROM x",
        "EXPLAIN ANALYZE COPY (SELECT 1) TO {published}",
        "EXPLAIN (ANALYZE) COPY (SELECT 1) TO {published}",
        "PREPARE x AS COPY (SELECT 1) TO {published}",
        "EXECUTE x",
        "WITH x AS (INSERT INTO activity_daily VALUES (1) RETURNING *) FROM x",
        "WITH x AS (DELETE FROM builds RETURNING *) FROM x",
        "WITH x AS (UPDATE builds SET rows = 0 RETURNING *) FROM x",
        "WITH x AS (MERGE INTO builds USING builds b ON true WHEN MATCHED THEN DELETE RETURNING *) FROM x",
        "INSERT INTO builds SELECT * FROM builds",
        "CREATE TEMP MACRO x() AS TABLE FROM read_text({beside})",
        "CREATE OR REPLACE TEMP VIEW activity_daily AS SELECT 1",
        "CREATE HIDDEN (TYPE s3)",
        "ATTACH {beside} AS x",
        "ATTACH ':memory:' AS x",
        "DETACH tidemill",
        "USE memory",
        "INSTALL httpfs",
        "LOAD httpfs",
        "LOAD {beside}",
        "SET lock_configuration = false",
        "SET VARIABLE x = 1",
        "SET GLOBAL allowed_directories = ['/']",
        "RESET allowed_paths",
        "PRAGMA enable_external_access",
        "PRAGMA memory_limit = '1TB'",
        "CALL enable_logging('QueryLog', storage_path = {beside})",
        "SELECT * FROM enable_logging('QueryLog', storage_path = {beside})",
        "SELECT * FROM enable_profiling()",
        "EXPORT DATABASE {folder}",
        "IMPORT DATABASE {folder}",
        "CHECKPOINT",
        "VACUUM",
        "BEGIN",
        "PIVOT activity_daily ON day",
    ],
)
def test_a_query_changes_nothing(mill: Tidemill, statement: str) -> None:
    """Nor does it reach beyond, whatever comments and quotes hide it; every file is as it was, to the byte."""
    before = digests(mill.home.path)
    with pytest.raises(TidemillError):
        mill.sql(_filled(mill, statement)).fetchall()
    assert digests(mill.home.path) == before
    assert mill.sql("SELECT count(*) FROM activity_daily").fetchall() == [(1,)]


def test_what_a_query_may_use_is_locked(mill: Tidemill) -> None:
    """No extension is loaded, the configuration is locked, and only files that the views name are allowed."""
    wanted = ("enable_external_access", "lock_configuration", "autoload_known_extensions", "allow_community_extensions")
    found = dict(mill.sql(f"SELECT name, value FROM duckdb_settings() WHERE name IN {wanted}").fetchall())
    assert (found["enable_external_access"], found["lock_configuration"]) == ("false", "true")
    assert found["autoload_known_extensions"] == "false"
    ((allowed,),) = mill.sql("SELECT current_setting('allowed_paths')").fetchall()
    assert all(path.startswith(str(mill.home.path)) for path in allowed)
    assert not any("secret" in path or "loads-" in path for path in allowed)
    ((folders, spill),) = mill.sql(
        "SELECT current_setting('allowed_directories'), current_setting('temp_directory')"
    ).fetchall()
    assert folders == [f"{spill}/"]
    assert Path(spill).parent == mill.home.staging


@pytest.mark.parametrize(
    "way", ["{0}/../../../{1}", "{0}/./../../../{1}", "{0}//../../../{1}", "{0}/x/../../../../{1}"]
)
def test_what_it_spills_into_leads_nowhere_else(mill: Tidemill, way: str) -> None:
    """The one folder that a query may use is its own, and not a way to what lies above it."""
    ((spill,),) = mill.sql("SELECT current_setting('temp_directory')").fetchall()
    (mill.home.path / "secret.txt").write_text("a secret")
    path = f"{spill}{way}secret.txt"
    with pytest.raises(UsageError, match="Cannot access file"):
        mill.sql(f"SELECT content FROM read_text('{path}')").fetchall()


def test_a_query_that_takes_too_long_is_ended(mill: Tidemill) -> None:
    """By query.timeout_seconds, in one line; the next query is answered."""
    started = time.monotonic()
    said = tm("query", "SELECT count(*) FROM range(1000000000000)", at=mill)
    assert said.code == 1
    assert said.fault.startswith("the query took longer than query.timeout_seconds allows")
    assert time.monotonic() - started < 10
    assert tm("query", "SELECT 1 AS n", "--format", "csv", at=mill).out == "n\n1\n"


def test_a_query_stays_within_the_memory_limit(tmp_path: Path) -> None:
    """What needs more than memory_limit, and cannot be put aside, fails in one line."""
    mill = home(tmp_path, *RECORDS, settings="memory_limit = '100MB'\n")
    built(mill, "activity_daily", as_of=AS_OF)
    said = tm("query", "SELECT len(list(range)) FROM range(100000000)", at=mill)
    assert (said.code, "does not fit memory_limit" in said.fault) == (1, True)


def test_what_is_large_is_put_aside(tmp_path: Path) -> None:
    """A sort that does not fit the memory limit spills, into a folder that goes with the command."""
    mill = home(tmp_path, *RECORDS, settings="memory_limit = '100MB'\n")
    built(mill, "activity_daily", as_of=AS_OF)
    before = digests(mill.home.path)
    query = "SELECT max(n) FROM (SELECT row_number() OVER (ORDER BY hash(range)) AS n FROM range(5000000))"
    assert tm("query", query, "--format", "csv", at=mill).out.split() == ["max(n)", "5000000"]
    gc.collect()
    assert digests(mill.home.path) == before
    assert list(mill.home.staging.iterdir()) == []


def test_published_files_have_no_write_permission(mill: Tidemill) -> None:
    """No file of a snapshot can be written, by its owner either."""
    files = [path for path in mill.snapshot().rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".parquet", ".duckdb", ".json"}
    assert [path for path in files if stat.S_IMODE(path.stat().st_mode) & 0o222] == []


# What a check asks


@pytest.mark.parametrize(
    ("select", "fault"),
    [
        ("SELECT * FROM read_text({beside})", "it calls read_text"),
        ("SELECT * FROM {beside}", "it reads "),
        ("SELECT 1) ; COPY (SELECT 1) TO {target}; SELECT count(*) FROM (SELECT 1", "it ends the select"),
        ("WITH x AS (COPY (SELECT 1) TO {target}) SELECT 1", "it writes something in its WITH"),
        ("SELECT * FROM query('FROM events')", "it calls query"),
        ("SELECT * FROM lake.released", "it reads lake.released"),
        ("SELECT current_setting('temp_directory') AS t", "it calls current_setting"),
        ("SELECT * FROM activity_daily, glob('/etc/*')", "it calls glob"),
    ],
    ids=lambda value: value[:40],
)
def test_a_check_reads_tables_and_the_lake_alone(mill: Tidemill, tmp_path: Path, select: str, fault: str) -> None:
    """What reaches for a file or ends its own statement cannot be run, and says so; no file is read or written."""
    target = tmp_path / "written.csv"
    text = select.replace("{target}", literal(target))
    file = mill.home.checks / "own.sql"
    file.parent.mkdir(exist_ok=True)
    file.write_text(f"-- What must hold.\n-- severity: warn\n{_filled(mill, text)}\n")
    try:
        found = next(outcome for outcome in mill.check() if outcome.check == "own")
    finally:
        file.unlink()
    assert found.result is build_outcome.Result.ERROR
    assert fault in str(found.why)
    assert HIDDEN not in str(found)
    assert not target.exists()


# What an option names


@pytest.mark.parametrize("place", ["tables/current/activity_daily/x.parquet", "lake/x.parquet", "tables/CURRENT"])
@pytest.mark.parametrize("through", ["straight", "link", "dots"])
def test_output_goes_neither_into_tables_nor_into_the_lake(
    mill: Tidemill, tmp_path: Path, place: str, through: str
) -> None:
    """A result over a published file would change a snapshot: it is refused, also through a link."""
    target = mill.home.path / place
    if through == "link":
        link = tmp_path / "out.csv"
        link.symlink_to(target)
        target = link
    if through == "dots":
        target = mill.home.path / "raw" / ".." / place
    before = digests(mill.home.path)
    for command in (["query", "SELECT 1"], ["show", "activity_daily"], ["status"], ["quarantine", "export"]):
        said = tm(*command, "--output", target, at=mill)
        assert (said.code, "belongs to the home" in said.fault) == (2, True)
    assert digests(mill.home.path) == before


@pytest.mark.parametrize(
    "name",
    [
        "activity_daily; DROP VIEW x",
        '"activity_daily"',
        "../../secret",
        "/etc/passwd",
        "read_text('x')",
        "lake.loads",
        "",
    ],
)
def test_a_table_is_named_and_nothing_else(mill: Tidemill, name: str) -> None:
    """A name that is no table's is said to be none, whatever it looks like."""
    for command in (["path", name], ["show", name], ["tables", name], ["build", name]):
        said = tm(*command, at=mill)
        assert said.code == (0 if command == ["tables", ""] else 2), command


@pytest.mark.parametrize(
    "where",
    [
        "day=2026-02-10' OR 'a'='a",
        "day=2026-02-10'; COPY (SELECT 1) TO 'x",
        '"day"=2026-02-10',
        "1=1",
        "day)=2026-02-10",
    ],
)
def test_a_filter_is_a_column_and_a_value(mill: Tidemill, where: str) -> None:
    """Quotes in it are quotes: it is no such column, or no such value, and never SQL."""
    said = tm("show", "activity_daily", "--where", where, at=mill)
    assert (said.code, said.data) == (2, b"")
    assert said.fault.startswith(("where ", 'there is no column "'))
    over = tm("show", "activity_daily", "--since", "7d", "--as-of", AS_OF, "--where", f"user_id={where}", at=mill)
    assert (over.code, "no rows" in over.err) == (0, True)


def test_prices_that_are_sql_are_no_prices(tmp_path: Path) -> None:
    """What stands in prices.csv is bound as values."""
    mill = home(tmp_path, *RECORDS)
    mill.home.prices.write_text(
        "provider,model,valid_from,input_per_1m_usd,output_per_1m_usd\n"
        "x'); COPY (SELECT 1) TO 'y,m' OR 'a'='a,2026-01-01,1,1\n"
    )
    with duckdb.connect() as connection:
        from tidemill.catalog import prices

        prices.bind(connection, "prices", mill.home.prices)
        found = connection.execute("SELECT provider, model FROM prices").fetchall()
    assert found == [("x'); COPY (SELECT 1) TO 'y", "m' OR 'a'='a")]


def test_an_environment_variable_is_no_way_to_a_setting_that_is_none(mill: Tidemill) -> None:
    """A wrong value in the environment is said by its variable's name, without the value."""
    said = tm("status", at=mill, environment={"TIDEMILL_QUERY__TIMEOUT_SECONDS": HIDDEN})
    assert said.code == 2
    assert "TIDEMILL_QUERY__TIMEOUT_SECONDS" in said.fault
    assert HIDDEN not in said.fault


# What a source's path names


@pytest.mark.parametrize("name", ["*", "[ab]", "?", "**", "x[!a]", "{a,b}", "a'b", "\\*", "%2e"])
@pytest.mark.parametrize("suffix", [".jsonl", ".csv", ".json", ".parquet", ".jsonl.gz"])
def test_a_file_whose_name_is_a_pattern_is_that_file(tmp_path: Path, name: str, suffix: str) -> None:
    """The engine takes such a name for others' too: no other file's records are loaded under it."""
    record = {"timestamp": "2026-02-10", "type": "question"}
    folder = tmp_path / "in"
    folder.mkdir()
    for other in ("a", "b", "xb", "ab"):
        _write(folder / f"{other}{suffix}", record | {"name": other})
    _write(folder / f"{name}{suffix}", record | {"name": name})
    mill = home(tmp_path)
    (report,) = mill.ingest(folder / f"{name}{suffix}", record="event")
    assert (report.failures, report.total("accepted"), report.total("records_read")) == ([], 1, 1)
    assert [load["uri"] for load in report.loads] == [str(folder / f"{name}{suffix}")]
    with duckdb.connect() as connection:
        stored = literal(mill.home.lake / "events" / "**" / "*.parquet")
        assert connection.execute(f"SELECT name FROM read_parquet({stored})").fetchall() == [(name,)]


def _write(file: Path, record: dict[str, str]) -> None:
    """A file of one record, as its name says."""
    line = json.dumps(record) + "\n"
    match file.name.partition(".")[2]:
        case "csv":
            file.write_text(",".join(record) + "\n" + ",".join(f'"{value}"' for value in record.values()) + "\n")
        case "parquet":
            pq.write_table(pa.Table.from_pylist([record]), str(file))
        case "jsonl.gz":
            file.write_bytes(gzip.compress(line.encode()))
        case _:
            file.write_text(line)


def test_a_link_out_of_a_source_is_not_read(tmp_path: Path) -> None:
    """Whoever may write into a source's folder cannot have another file read, and shown by the quarantine."""
    folder = tmp_path / "in"
    folder.mkdir()
    _write(folder / "a.jsonl", {"timestamp": "2026-02-10", "type": "question"})
    (tmp_path / "secret.txt").write_text(HIDDEN)
    (folder / "b.jsonl").symlink_to(tmp_path / "secret.txt")
    mill = home(tmp_path, settings=f"[sources.app]\npath = {str(folder)!r}\nrecord = 'event'\n")
    said = tm("ingest", at=mill)
    assert said.code == 2
    assert f"{folder}/b.jsonl is a link that leads out of its folder" in said.err
    assert (said.out.splitlines()[1].split()[:3], HIDDEN in said.err) == (["app", "1", "1"], False)
    assert mill.quarantine().is_empty()


@pytest.mark.parametrize("name", ["home[1]", "ho*me", "what?"])
def test_a_home_whose_name_is_a_pattern_is_refused(tmp_path: Path, name: str) -> None:
    """The engine would read another home's files beside it."""
    said = tm("status", at=tmp_path / name)
    assert (said.code, "cannot be a home" in said.fault) == (2, True)


def _filled(mill: Tidemill, text: str) -> str:
    """A statement with the paths of this home in it."""
    (published,) = (mill.snapshot() / "activity_daily").iterdir()
    (ledger,) = (mill.home.lake / "loads" / "_delta_log").glob("*1.json")
    places = {
        "beside": mill.home.path.parent / "secret.csv",
        "in_lake": mill.home.lake / "secret.csv",
        "settings": mill.home.settings_file,
        "ledger": ledger,
        "everything": mill.home.lake / "**",
        "published": published,
        "folder": mill.home.path.parent / "exported",
    }
    for name, place in places.items():
        text = text.replace(f"{{{name}}}", literal(place))
    return text
