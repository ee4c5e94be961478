"""POST /api/v1/sql: off unless it is switched on; then one SELECT over what is published, and no way beyond."""

from __future__ import annotations

import io
import json
import signal
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pyarrow as pa
import pytest

from tests.homes import digests
from tests.readers import servers
from tidemill.engine.quoting import literal
from tidemill.server import bodies

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.readers.servers import Server
    from tidemill import Tidemill

HIDDEN: Final = "hunter2"
BEYOND: Final = (
    "COPY (SELECT 1) TO {target}",
    "COPY activity_daily TO {target} (FORMAT parquet)",
    "WITH x AS (COPY (SELECT 1) TO {target}) FROM x",
    "EXPLAIN ANALYZE COPY (SELECT 1) TO {target}",
    "EXPORT DATABASE {target}",
    "ATTACH {target} AS x",
    "ATTACH ':memory:' AS x",
    "DETACH tidemill",
    "FROM read_csv({secret})",
    "FROM read_text({secret})",
    "FROM {secret}",
    "FROM read_text({settings})",
    "FROM glob('/etc/*')",
    "FROM read_text('/etc/passwd')",
    "FROM read_csv('http://127.0.0.1:1/x.csv')",
    "FROM parquet_scan('s3://bucket/x.parquet')",
    "FROM query('FROM read_text(' || chr(39) || {secret} || chr(39) || ')')",
    "PRAGMA enable_external_access",
    "PRAGMA database_list",
    "SET memory_limit = '1TB'",
    "SET GLOBAL max_execution_time = 0",
    "SET lock_configuration = false",
    "RESET allowed_paths",
    "SELECT 1; SELECT 2",
    "SELECT 1; COPY (SELECT 1) TO {target}",
    "INSTALL httpfs",
    "LOAD httpfs",
    "CREATE TABLE x AS SELECT 1",
    "CREATE OR REPLACE TEMP VIEW activity_daily AS SELECT 1",
    "INSERT INTO builds FROM builds",
    "DELETE FROM builds",
    "DROP VIEW activity_daily",
    "BEGIN",
    "CALL enable_logging('QueryLog', storage_path = {target})",
    "SELECT getenv('HOME')",
    "",
    ";",
    "-- nothing",
    "SELECT",
    "SELECT * FROM nothing",
    "\x00",
)

CRASH: Final = "SELECT (repeat('[',20000)||repeat(']',20000))::JSON::VARIANT"
ENDLESS: Final = {
    "sleep": "SELECT sleep_ms(1000000000000)",
    "one row": "SELECT levenshtein(repeat('a', 60000), repeat('b', 60000))",
    "cast": "SELECT (repeat('[', 5000) || repeat(']', 5000))::JSON::VARIANT",
    "constant": "SELECT length(repeat('x', 2147483648))",
    "nested list": "SELECT " + "[" * 500 + "1" + "]" * 500,
    "joins": "SELECT 1 FROM (SELECT 1) " + ", (SELECT 1)" * 500,
    "unions": "SELECT 1" + " UNION ALL SELECT 1" * 5_000,
    "nested WITH": "WITH a AS (" * 30_000 + "SELECT 1" + ") FROM a" * 30_000,
}
"""These run beyond the engine's own time limit, or crash it before."""


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Tidemill:
    """A home of one table, with a secret beside it; a query may take half a second, and return ten rows."""
    made = servers.one(tmp_path_factory.mktemp("sql"), settings="timeout_seconds = 1\nmax_rows = 10")
    (made.home.path.parent / "secret.csv").write_text(f"word\n{HIDDEN}\n")
    return made


@pytest.fixture(scope="module")
def server(mill: Tidemill) -> Iterator[Server]:
    """Its server, with SQL."""
    with servers.serving(mill, "--sql") as started:
        yield started


def test_it_is_off_by_default(tmp_path: Path) -> None:
    """403 says how it is switched on; by an option or a setting, and off again by an option."""
    mill = servers.one(tmp_path, settings="sql = true")
    with servers.serving(mill, "--no-sql") as server:
        answer = server.sql("SELECT 1 AS n")
        assert answer.status_code == 403
        assert answer.json() == {"detail": "SQL is not switched on; start the server with --sql"}
        assert _workers(server) == []
    assert mill.settings.serve.sql
    assert not type(mill.settings.serve)().sql


def test_a_select_is_answered(server: Server, mill: Tidemill) -> None:
    """Over the tables and the lake, as Python's `sql` does, and of a snapshot that is named."""
    for query in (
        "SELECT day, events FROM activity_daily ORDER BY day",
        "SELECT count(*) AS n FROM lake.events",
        "FROM (VALUES (1, 'a'), (2, NULL)) t(n, s)",
    ):
        answer = server.sql(query)
        assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
        relation = mill.sql(query)
        assert [tuple(row) for row in answer.json()] == [tuple(relation.columns)] * len(relation)
        expected = [dict(zip(relation.columns, map(_plain, row), strict=True)) for row in relation.fetchall()]
        assert answer.json() == expected
        assert answer.headers["tidemill-snapshot"] == server.get("/readyz").json()["snapshot"]
        assert answer.headers["cache-control"] == "no-store"


def _plain(value: object) -> object:
    return value.isoformat() if hasattr(value, "isoformat") else value


@pytest.mark.parametrize("form", bodies.MEDIA)
def test_it_comes_in_any_format(server: Server, form: str) -> None:
    """By the header or the parameter; an empty result has its columns."""
    for way in ({"headers": {"accept": bodies.MEDIA[form]}}, {"params": {"format": form}}):
        for rows in (2, 0):
            answer = server.sql(f"SELECT range AS n FROM range({rows})", **way)
            assert answer.headers["content-type"].partition(";")[0] == bodies.MEDIA[form]
            read: Any = {
                "json": lambda data: pl.DataFrame(json.load(data), schema=["n"]),
                "jsonl": lambda data: pl.DataFrame([json.loads(line) for line in data], schema=["n"]),
                "csv": pl.read_csv,
                "parquet": pl.read_parquet,
                "arrow": lambda data: pl.DataFrame(pa.ipc.open_stream(data).read_all()),
            }[form]
            assert read(io.BytesIO(answer.content))["n"].to_list() == list(range(rows))


@pytest.mark.parametrize(
    "query", ["DESCRIBE activity_daily", "EXPLAIN SELECT 1", "SUMMARIZE SELECT 1 AS n", "SHOW TABLES LIMIT 1"]
)
def test_what_describes_is_answered(server: Server, query: str) -> None:
    """As far as it has no more rows than may be."""
    answer = server.sql(query)
    assert answer.status_code in {200, 422}
    assert "\n" not in answer.json()["detail"] if answer.status_code == 422 else answer.json()


@pytest.mark.parametrize("query", BEYOND)
def test_there_is_no_way_beyond(server: Server, mill: Tidemill, query: str) -> None:
    """422 in one line; nothing is read or written, and the next question is answered as before."""
    target = mill.home.path.parent / "written"
    places = {"target": target, "secret": mill.home.path.parent / "secret.csv", "settings": mill.home.settings_file}
    for name, place in places.items():
        query = query.replace(f"{{{name}}}", literal(place))
    before = digests(mill.home.tables)
    answer = server.sql(query)
    assert (answer.status_code, list(answer.json())) == (422, ["detail"]), answer.text
    assert "\n" not in answer.json()["detail"]
    assert HIDDEN not in answer.text
    assert not target.exists()
    assert digests(mill.home.tables) == before
    assert server.sql("SELECT count(*) AS n FROM activity_daily").json() == [{"n": 3}]


def test_one_question_leaves_nothing_for_the_next(server: Server) -> None:
    """Neither a variable, nor a table, nor a setting."""
    for statement in ("SET VARIABLE x = 1", "CREATE TEMP TABLE x AS SELECT 1", "PREPARE x AS SELECT 1"):
        assert server.sql(statement).status_code == 422
    assert server.sql("SELECT getvariable('x') AS x").json() == [{"x": None}]
    (setting,) = server.sql("SELECT current_setting('enable_external_access') AS x").json()
    assert str(setting["x"]).lower() == "false"


def test_rows_and_time_have_limits(server: Server) -> None:
    """422 and 504; a query of as many rows as may be is answered."""
    assert len(server.sql("FROM range(10)").json()) == 10
    assert (server.sql("FROM range(11)").status_code, server.sql("FROM range(1000000000)").status_code) == (422, 422)
    for query in (
        "SELECT count(*) FROM range(1000000000000)",
        "SELECT count(*) FROM range(1000000) a, range(1000000) b WHERE a.range * b.range = 7",
        "WITH RECURSIVE x(n) AS (SELECT 1 UNION ALL SELECT n + 1 FROM x) SELECT max(n) FROM x",
    ):
        assert server.sql(query).status_code == 504, query
    assert server.is_well()


def test_sql_that_crashes_its_process_leaves_the_server_running(server: Server) -> None:
    """422 names the signal, and the next question is answered by a new process."""
    before = _worker(server)
    answer = server.sql(CRASH)
    assert answer.status_code == 422, answer.text
    assert "SIGSEGV" in answer.json()["detail"]
    assert server.is_well()
    assert _worker(server) != before


@pytest.mark.parametrize("query", ENDLESS.values(), ids=ENDLESS)
def test_sql_beyond_the_reach_of_the_time_limit_is_killed(server: Server, query: str) -> None:
    """504 at the deadline (422 if it crashed before), and the next question is answered by a new process."""
    before = _worker(server)
    assert server.sql(query).status_code in {504, 422}
    assert server.is_well()
    assert _worker(server) != before


def test_files_of_a_killed_sql_process_are_removed(server: Server, mill: Tidemill) -> None:
    """What it had spilled to the disk goes with it."""
    spilled = mill.home.staging / f"spill-{_worker(server)}-0" / "block"
    spilled.parent.mkdir(parents=True)
    spilled.touch()
    assert server.sql("SELECT sleep_ms(1000000000000)").status_code == 504
    servers.until(lambda: not spilled.parent.exists())
    assert not spilled.parent.exists()


def test_neither_dashboards_nor_sigterm_wait_for_sql(tmp_path: Path) -> None:
    """SQL that would take for ever takes a few places only, and is told 503 when the server ends."""
    mill = servers.one(tmp_path, settings="timeout_seconds = 600\nmax_requests = 8")
    with ThreadPoolExecutor(4) as asking, servers.serving(mill, "--sql") as server:
        worker = _worker(server)
        slow = [asking.submit(server.sql, "SELECT sleep_ms(1000000000000)", timeout=600) for _ in range(4)]
        assert servers.until(lambda: _inside(server) == len(slow))
        refused = server.sql("SELECT 1")
        assert refused.status_code == 429, refused.text
        assert refused.headers["retry-after"] == "1"
        assert server.is_well()
        assert server.end() == 0
        assert [answer.result().status_code for answer in slow] == [503] * 4
    assert not Path(f"/proc/{worker}").exists()


@pytest.mark.parametrize("query", ["", "SELECT sleep_ms(1000000000000)"])
def test_a_killed_server_leaves_no_sql_process(tmp_path: Path, query: str) -> None:
    """An idle process notices that its server is gone, a busy one ends at its deadline."""
    mill = servers.one(tmp_path, settings="timeout_seconds = 2")
    with ThreadPoolExecutor(1) as asking, servers.serving(mill, "--sql") as server:
        worker = _worker(server)
        if query:
            asking.submit(server.sql, query)
            assert servers.until(lambda: _inside(server) == 1)
        server.process.send_signal(signal.SIGKILL)
        assert servers.until(lambda: not Path(f"/proc/{worker}").exists())


def _inside(server: Server) -> float:
    """How many requests are being answered, beside the one that asks."""
    return server.figures()["tidemill_http_requests_in_progress"] - 1


def _worker(server: Server) -> int:
    """The process that has just answered SQL."""
    assert server.sql("SELECT 1 AS n").json() == [{"n": 1}]
    (worker,) = _workers(server)
    return worker


def _workers(server: Server) -> list[int]:
    """The server's child processes."""
    pid = server.process.pid
    return [int(child) for child in Path(f"/proc/{pid}/task/{pid}/children").read_text().split()]


def test_what_fails_on_its_values_says_so(server: Server) -> None:
    """In one line, be it the question's fault or the engine's."""
    answer = server.sql("SELECT CAST('many' AS INTEGER)")
    assert answer.status_code in {422, 503}
    assert "many" in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


@pytest.mark.parametrize(
    "body",
    [b"", b"{}", b"[]", b"null", b'{"query": 1}', b'{"query": null}', b"SELECT 1", b"\xff", b'{"query": "\\ud800"}'],
)
def test_a_body_that_asks_nothing_is_refused(server: Server, body: bytes) -> None:
    """422 says what is missing."""
    answer = server.post("/api/v1/sql", content=body, headers={"content-type": "application/json"})
    assert (answer.status_code, list(answer.json())) == (422, ["detail"])
    assert "\n" not in answer.json()["detail"]
    assert server.get("/api/v1/sql").status_code == 405
