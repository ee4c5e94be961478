"""Each route over HTTP: what the functions of Python say, in every format, of one snapshot."""

from __future__ import annotations

import csv
import io
import json
import re
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any, Final

import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from tests.homes import event, feed, home, tm
from tests.readers import servers
from tidemill.catalog import system_tables
from tidemill.catalog import tables as catalog_tables
from tidemill.readers import activity, assistants, functions, jobs, tables
from tidemill.readers import snapshot as readers_snapshot
from tidemill.readers.paging import Filter, Page
from tidemill.server import bodies

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    import httpx

    from tests.readers.servers import Server
    from tidemill import Tidemill
    from tidemill.readers.snapshot import Published

TABLES: Final = "/api/v1/tables"
ANALYTICS: Final = "/api/v1/analytics"
ROUTES: Final[dict[str, Callable[[Published], object]]] = {
    TABLES: tables.tables,
    f"{TABLES}/jobs_daily": lambda of: tables.rows(of, "jobs_daily", Page(limit=1_000)),
    f"{TABLES}/activity_daily?columns=day,events&events__gte=3&order=-events,day&limit=2": lambda of: tables.rows(
        of,
        "activity_daily",
        Page(("day", "events"), (Filter("events", "gte", "3"),), ("-events", "day"), 2),
    ),
    f"{TABLES}/tools_daily?tool_name__null=false&limit=3": lambda of: tables.rows(
        of, "tools_daily", Page(filters=(Filter("tool_name", "null", "false"),), limit=3)
    ),
    f"{ANALYTICS}/stats": jobs.stats,
    f"{ANALYTICS}/validations": jobs.validations,
    f"{ANALYTICS}/errors": jobs.errors,
    f"{ANALYTICS}/durations": jobs.durations,
    f"{ANALYTICS}/durations?limit=2": lambda of: jobs.durations(of, limit=2),
    f"{ANALYTICS}/costs": jobs.costs,
    f"{ANALYTICS}/costs?limit=1": lambda of: jobs.costs(of, limit=1),
    f"{ANALYTICS}/costs?hours=168": lambda of: assistants.assistant_costs(of, hours=168),
    f"{ANALYTICS}/advanced": assistants.advanced,
    f"{ANALYTICS}/advanced?assistant_id=a1&ttft_hours=168&step_days=90&cache_hours=2&cost_hours=3"
    "&trending_limit=1&trending_days=30&limit=2": lambda of: assistants.advanced(
        of,
        assistant_id="a1",
        ttft_hours=168,
        step_days=90,
        cache_hours=2,
        cost_hours=3,
        trending_limit=1,
        trending_days=30,
        limit=2,
    ),
    f"{ANALYTICS}/ttft": assistants.ttft,
    f"{ANALYTICS}/advanced/ttft?hours=168&assistant_id=a1": lambda of: assistants.ttft(
        of, hours=168, assistant_id="a1"
    ),
    f"{ANALYTICS}/trending?limit=50": lambda of: assistants.trending(of, limit=50),
    f"{ANALYTICS}/advanced/trending?assistant_id=a2": lambda of: assistants.trending(of, assistant_id="a2"),
    f"{ANALYTICS}/advanced/costs?hours=168&assistant_id=a1": lambda of: assistants.assistant_costs(
        of, hours=168, assistant_id="a1"
    ),
    f"{ANALYTICS}/freshness": assistants.freshness,
    f"{ANALYTICS}/advanced/freshness": assistants.freshness,
    "/api/v1/activity/daily": lambda of: activity.activity(of, "daily"),
    "/api/v1/activity/hourly?from=2026-02-10&to=2026-02-24T12:00Z": lambda of: activity.activity(
        of, "hourly", from_="2026-02-10", to="2026-02-24T12:00Z"
    ),
    "/api/v1/activity/by_tool?from=2026-02-10&type=tool_use&limit=2": lambda of: activity.activity(
        of, "by_tool", from_="2026-02-10", where={"type": "tool_use"}, limit=2
    ),
    "/api/v1/functions": functions.functions,
    "/api/v1/functions?function=load_orders": lambda of: functions.functions(of, function="load_orders"),
}
FAULTS: Final = {
    f"{TABLES}/activity_dialy": (404, 'no table "activity_dialy"; did you mean "activity_daily"?'),
    f"{TABLES}/activity_daily.xml": (404, 'no table "activity_daily.xml"'),
    "/nowhere": (404, "Not Found"),
    f"{TABLES}/activity_daily?format=xml": (422, 'no format "xml"; there are: arrow, csv'),
    f"{TABLES}/activity_daily?columns=dya": (422, 'did you mean "day"?'),
    f"{TABLES}/activity_daily?order=-dya": (422, 'did you mean "day"?'),
    f"{TABLES}/activity_daily?dya=1": (422, 'did you mean "day"?'),
    f"{TABLES}/activity_daily?events=many": (422, "events is a BIGINT; not many"),
    f"{TABLES}/activity_daily?events=1'%20OR%20'a'='a": (422, "events is a BIGINT"),
    f"{TABLES}/activity_daily?events__null=perhaps": (422, "true or false"),
    f"{TABLES}/activity_daily?limit=0": (422, "limit: "),
    f"{TABLES}/activity_daily?limit=1000001": (422, "limit is at most 1,000,000"),
    f"{TABLES}/activity_daily?cursor=x": (422, "cursor is none"),
    f"{TABLES}/activity_daily?cursor=%C3%A4": (422, "cursor is none"),
    f"{ANALYTICS}/ttft?hours=0": (422, "hours: "),
    f"{ANALYTICS}/ttft?hours=169": (422, "hours: "),
    f"{ANALYTICS}/ttft?hours=many": (422, "hours: "),
    f"{ANALYTICS}/ttft?assistant_id=": (422, "assistant_id: "),
    f"{ANALYTICS}/costs?hours=169": (422, "hours: "),
    f"{ANALYTICS}/advanced/costs?hours=1.5": (422, "hours: "),
    f"{ANALYTICS}/trending?limit=0": (422, "limit: "),
    f"{ANALYTICS}/trending?limit=51": (422, "limit: "),
    f"{ANALYTICS}/advanced?step_days=91&trending_limit=51": (422, "step_days: "),
    f"{ANALYTICS}/advanced?trending_days=0": (422, "trending_days: "),
    "/api/v1/activity/yearly": (422, "grouping: "),
    "/api/v1/activity/daily?from=yesterday": (422, "yesterday"),
    "/api/v1/activity/daily?from=2026-02-11&to=2026-02-10": (422, "2026-02-1"),
    "/api/v1/activity/hourly?from=0001-01-01&to=9999-01-01": (422, ""),
}


@pytest.fixture(scope="module")
def mill(tmp_path_factory: pytest.TempPathFactory) -> Tidemill:
    """A home of every table."""
    return servers.small(tmp_path_factory)


@pytest.fixture(scope="module")
def server(mill: Tidemill) -> Iterator[Server]:
    """Its server."""
    with servers.serving(mill) as started:
        yield started


@pytest.fixture(scope="module")
def snapshot(mill: Tidemill) -> Published:
    """What is published there, opened by this process."""
    return readers_snapshot.newest(mill.home)


@pytest.mark.parametrize("route", ROUTES)
def test_a_route_answers_what_its_function_does(server: Server, snapshot: Published, route: str) -> None:
    """The same values in the same order of fields; the answer says of which snapshot it is."""
    answer = server.get(route)
    assert (answer.status_code, answer.headers["content-type"]) == (200, "application/json")
    assert answer.headers["tidemill-snapshot"] == snapshot.id
    expected = ROUTES[route](snapshot)
    assert json.dumps(_timeless(answer.json())) == json.dumps(_timeless(expected))


def _timeless(found: Any) -> Any:
    return {**found, "generated_at": ""} if isinstance(found, dict) and "generated_at" in found else found


def test_every_route_is_compared(server: Server) -> None:
    """No route that the description names is left out of these tests."""
    asked = {re.sub(r"(tables|activity)/\w+", r"\1/{}", route.partition("?")[0]) for route in ROUTES}
    described = {
        re.sub(r"\{\w+\}", "{}", path)
        for path, methods in server.get("/openapi.json").json()["paths"].items()
        if "get" in methods and path.startswith("/api/")
    }
    assert asked == described


def test_every_table_is_served(server: Server, mill: Tidemill) -> None:
    """As many rows as the snapshot has, and those columns that are described."""
    described = server.get(TABLES).json()
    assert {table["name"] for table in described} == catalog_tables.tables().keys() | system_tables.OWN.keys()
    for table in described:
        page = server.get(f"{TABLES}/{table['name']}").json()
        assert page["total_rows"] == table["rows"] == len(mill.sql(f"FROM {table['name']}").fetchall()), table["name"]
        assert {tuple(row) for row in page["rows"]} <= {tuple(column["name"] for column in table["columns"])}


@pytest.mark.parametrize("route", FAULTS)
def test_what_cannot_be_answered_is_said_in_one_line(server: Server, route: str) -> None:
    """With the status that is meant, and nothing but why."""
    answer = server.get(route)
    status, why = FAULTS[route]
    assert (answer.status_code, list(answer.json())) == (status, ["detail"])
    assert why in answer.json()["detail"]
    assert "\n" not in answer.json()["detail"]


@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE", "PATCH", "OPTIONS"])
def test_tables_are_only_read(server: Server, method: str) -> None:
    """Any other method is none of a table's."""
    answer = server.client.request(method, f"{server.http}{TABLES}/activity_daily")
    assert (answer.status_code, answer.json()) == (405, {"detail": "Method Not Allowed"})


@pytest.mark.parametrize(
    ("accept", "media"),
    [
        ("*/*", "json"),
        ("", "json"),
        ("text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", "json"),
        ("text/csv", "csv"),
        ("TEXT/CSV; header=present", "csv"),
        ("application/json;q=0.5, text/csv;q=0.9", "csv"),
        ("application/x-ndjson", "jsonl"),
        ("application/vnd.apache.parquet", "parquet"),
        ("application/vnd.apache.arrow.stream, */*;q=0.1", "arrow"),
        ("application/json;q=0, text/*", "csv"),
        ("application/json;q=x, text/csv", "csv"),
    ],
)
def test_accept_chooses_the_format(server: Server, accept: str, media: str) -> None:
    """What is liked best of what there is; what is not understood is passed over."""
    answer = server.get(f"{TABLES}/activity_daily", headers={"accept": accept} if accept else {})
    assert (answer.status_code, answer.headers["content-type"].partition(";")[0]) == (200, bodies.MEDIA[media])
    assert answer.headers["vary"] == "Accept"


@pytest.mark.parametrize("accept", ["application/xml", "image/*", "text/csv;q=0", ";;;"])
def test_a_format_that_there_is_not_is_not_acceptable(server: Server, accept: str) -> None:
    """406 names those that there are."""
    answer = server.get(f"{TABLES}/activity_daily", headers={"accept": accept})
    assert answer.status_code == 406
    assert all(media in answer.json()["detail"] for media in bodies.MEDIA.values())


@pytest.mark.parametrize("form", bodies.MEDIA)
def test_the_ending_and_the_parameter_choose_it_too(server: Server, form: str) -> None:
    """Before the header, and with the same rows."""
    headers = {"accept": "application/xml"}
    by_ending = server.get(f"{TABLES}/activity_daily.{form}", headers=headers)
    by_parameter = server.get(f"{TABLES}/activity_daily?format={form}", headers=headers)
    assert by_ending.headers["content-type"].partition(";")[0] == bodies.MEDIA[form]
    assert _rows(by_ending, form) == _rows(by_parameter, form)


def _rows(answer: httpx.Response, form: str) -> object:
    """What bytes mean: what fills Arrow's up may be anything."""
    return pa.ipc.open_stream(answer.content).read_all().to_pylist() if form == "arrow" else answer.content


def test_an_ending_and_a_parameter_that_differ_are_refused(server: Server) -> None:
    """Which of both is meant nobody can say."""
    answer = server.get(f"{TABLES}/activity_daily.csv?format=json")
    assert (answer.status_code, answer.json()["detail"][-13:]) == (422, "; ask for one")


@pytest.mark.parametrize("table", ["activity_daily", "job_totals", "llm_ttft", "table_columns", "builds"])
def test_csv_is_the_same_as_the_commands(server: Server, mill: Tidemill, table: str) -> None:
    """To the byte: a table over HTTP is what `tidemill query` writes."""
    said = tm("query", f"FROM {table}", "--format", "csv", at=mill)
    assert server.get(f"{TABLES}/{table}.csv").content == said.data


def test_every_format_has_the_same_rows(server: Server, mill: Tidemill) -> None:
    """JSON in pages, lines of JSON, CSV, Parquet and Arrow."""
    for table in ("activity_daily", "job_totals"):
        expected = mill.table(table).collect()
        parquet = pl.read_parquet(io.BytesIO(server.get(f"{TABLES}/{table}.parquet").content))
        arrow = pa.ipc.open_stream(server.get(f"{TABLES}/{table}.arrow").content).read_all()
        assert parquet.equals(expected)
        assert pl.DataFrame(arrow).equals(expected)
        lines = [json.loads(line) for line in server.get(f"{TABLES}/{table}.jsonl").text.splitlines()]
        assert lines == server.get(f"{TABLES}/{table}.json").json()["rows"]
        assert len(list(csv.reader(io.StringIO(server.get(f"{TABLES}/{table}.csv").text)))) == len(expected) + 1


def test_polars_and_pyarrow_read_a_table_by_its_address(server: Server, mill: Tidemill) -> None:
    """`read_parquet` and `scan_parquet` of Polars, which asks for parts; PyArrow of the bytes."""
    address = f"{server.http}{TABLES}/activity_daily.parquet"
    expected = mill.table("activity_daily").collect()
    assert pl.read_parquet(address).equals(expected)
    scanned = pl.scan_parquet(address).filter(pl.col("events") > 3).select("day", "events").collect()
    assert scanned.equals(expected.filter(pl.col("events") > 3).select("day", "events"))
    assert pq.read_table(io.BytesIO(server.get(f"{TABLES}/activity_daily.parquet").content)).num_rows == len(expected)


def test_a_part_of_a_file_may_be_asked_for(server: Server) -> None:
    """The head without the body says how long it is, a range is that range, one beyond its end is refused."""
    path = f"{TABLES}/activity_daily.parquet"
    whole = server.get(path)
    head = server.client.head(server.http + path)
    assert (head.status_code, head.content, whole.content[:4]) == (200, b"", b"PAR1")
    assert (head.headers["content-length"], head.headers["accept-ranges"]) == (str(len(whole.content)), "bytes")
    part = server.get(path, headers={"range": "bytes=4-11", "if-range": whole.headers["etag"]})
    assert (part.status_code, part.content) == (206, whole.content[4:12])
    assert part.headers["content-range"] == f"bytes 4-11/{len(whole.content)}"
    assert server.get(path, headers={"range": "bytes=-8"}).content == whole.content[-8:]
    assert server.get(path, headers={"range": "bytes=4-11", "if-range": '"another"'}).content == whole.content
    assert server.get(path, headers={"range": f"bytes={len(whole.content)}-"}).status_code == 416


@pytest.mark.parametrize(
    "path", ["/healthz", "/readyz", "/metrics", TABLES, f"{ANALYTICS}/stats", f"{ANALYTICS}/ttft?hours=2"]
)
def test_the_head_of_any_route_has_no_body(server: Server, path: str) -> None:
    """HEAD says what GET would."""
    head = server.client.head(f"{server.http}{path}")
    assert (head.status_code, head.content) == (200, b"")


@pytest.mark.parametrize(
    ("path", "said"),
    [
        ("ttft?hour=48", 'there is no parameter "hour"; did you mean "hours"?'),
        ("stats?since=24h", 'there is no parameter "since"; there are: none'),
        ("advanced?assistant=a1", 'there is no parameter "assistant"; did you mean "assistant_id"?'),
        ("ttft?hours=24&hours=48", "hours is given 2 times; give it once"),
    ],
)
def test_a_parameter_that_there_is_not_is_refused(server: Server, path: str, said: str) -> None:
    """What was meant would be answered with something else."""
    answer = server.get(f"{ANALYTICS}/{path}")
    assert (answer.status_code, answer.json()["detail"]) == (422, said)


def test_a_parameter_that_means_nothing_is_let_be(server: Server) -> None:
    """Pages add one, so that nothing on the way keeps the answer."""
    assert server.get(f"{ANALYTICS}/stats?_=1764122400").status_code == 200


def test_when_windows_end_is_said_with_every_answer(server: Server) -> None:
    """As `advanced` says it, also where a list has no room for it."""
    as_of = server.get(f"{ANALYTICS}/advanced").json()["as_of"]
    assert as_of == "2026-03-01T00:00:00Z"
    for path in (f"{ANALYTICS}/ttft", f"{ANALYTICS}/freshness", f"{TABLES}/llm_ttft.csv"):
        assert server.get(path).headers["tidemill-as-of"] == as_of


@pytest.mark.parametrize("form", ["json", "csv", "arrow"])
def test_the_head_of_any_format_has_no_body(server: Server, form: str) -> None:
    """HEAD says what GET would."""
    head = server.client.head(f"{server.http}{TABLES}/activity_daily.{form}")
    assert (head.status_code, head.content) == (200, b"")
    assert head.headers["content-type"].partition(";")[0] == bodies.MEDIA[form]


@pytest.mark.parametrize("path", [f"{TABLES}/activity_daily", f"{TABLES}/activity_daily.parquet", f"{ANALYTICS}/stats"])
def test_who_has_the_newest_is_told_so(server: Server, path: str) -> None:
    """304 without a body to the tag of the snapshot, be it weak or one of several; the answer to any other."""
    tag = server.get(path).headers["etag"]
    for given in (tag, f"W/{tag}", f'"x", {tag}', "*"):
        answer = server.get(path, headers={"if-none-match": given})
        assert (answer.status_code, answer.content, answer.headers["etag"]) == (304, b"", tag), given
    assert server.get(path, headers={"if-none-match": '"x"'}).status_code == 200
    assert server.get(f"{TABLES}/nothing", headers={"if-none-match": "*"}).status_code == 404


def test_another_format_has_another_tag(server: Server) -> None:
    """Whoever has the CSV does not have the Parquet."""
    paths = (f"{TABLES}/activity_daily.{form}" for form in bodies.MEDIA)
    assert len({server.get(path).headers["etag"] for path in paths}) == len(bodies.MEDIA)


def test_pages_follow_each_other(server: Server, mill: Tidemill) -> None:
    """By the cursor of JSON or of the header, of any size, until there is none; together they are the table."""
    expected = mill.table("activity_hourly").collect()["hour"].to_list()
    rows, cursor, size = [], "", 5
    while cursor is not None:
        page = server.get(f"{TABLES}/activity_hourly?limit={size}" + (f"&cursor={cursor}" if cursor else "")).json()
        rows += [row["hour"] for row in page["rows"]]
        cursor, size = page["next_cursor"], size * 3
    assert rows == [hour.strftime("%Y-%m-%dT%H:%M:%SZ") for hour in expected]
    frames, cursor = [], ""
    while cursor is not None:
        part = server.get(f"{TABLES}/activity_hourly.parquet?limit=70" + (f"&cursor={cursor}" if cursor else ""))
        assert part.headers["tidemill-total-rows"] == str(len(expected))
        frames.append(pl.read_parquet(io.BytesIO(part.content)))
        cursor = part.headers.get("tidemill-next-cursor")
    assert pl.concat(frames).equals(mill.table("activity_hourly").collect())


def test_a_cursor_is_of_its_question(server: Server) -> None:
    """With another table, filter, order or columns it is refused."""
    cursor = server.get(f"{TABLES}/activity_daily?limit=1").json()["next_cursor"]
    for other in (
        "activity_hourly?x=",
        "activity_daily?order=-day",
        "activity_daily?columns=day",
        "activity_daily?day__gt=2026-01-01",
    ):
        answer = server.get(f"{TABLES}/{other}&limit=1&cursor={cursor}")
        assert (answer.status_code, "cursor belongs to another" in answer.text) == (422, True), other


def test_pages_are_of_one_snapshot_though_another_is_published(tmp_path: Path) -> None:
    """The cursor goes on with the snapshot that it began with, the next question has the new one; gone is 404."""
    mill = servers.one(tmp_path)
    with servers.serving(mill) as server:
        first = server.get(f"{TABLES}/activity_daily?columns=day&limit=1").json()
        feed(mill, event("earlier", "2026-01-01T10:00:00Z"))
        mill.build(servers.FEW, as_of=servers.AS_OF)
        second = server.get(f"{TABLES}/activity_daily?columns=day&limit=9&cursor={first['next_cursor']}").json()
        assert [row["day"] for row in first["rows"] + second["rows"]] == ["2026-02-10", "2026-02-11", "2026-02-12"]
        assert (second["snapshot"], second["total_rows"]) == (first["snapshot"], 3)
        anew = server.get(f"{TABLES}/activity_daily?columns=day&limit=1").json()
        assert (anew["rows"], anew["total_rows"]) == ([{"day": "2026-01-01"}], 4)
        assert anew["snapshot"] == server.get("/readyz").json()["snapshot"] != first["snapshot"]
        answer = server.get(f"{TABLES}/activity_daily", headers={"if-none-match": f'"{first["snapshot"]}.json"'})
        assert answer.status_code == 200
        forged = tables.next_cursor("20200101T000000000000-00000000", "activity_daily", Page(limit=1), 9)
        gone = server.get(f"{TABLES}/activity_daily?limit=1&cursor={forged}")
        assert (gone.status_code, "is not kept any more" in gone.json()["detail"]) == (404, True)


def test_what_is_not_published_yet_is_said(tmp_path: Path) -> None:
    """A snapshot of one table has no figures of others: 503 names what is to be run, and the rest is answered."""
    with servers.serving(servers.one(tmp_path)) as server:
        answer = server.get(f"{ANALYTICS}/stats")
        assert answer.status_code == 503
        assert answer.json() == {"detail": "job_summary is not built yet; run: tidemill build job_summary"}
        assert server.get(f"{TABLES}/jobs_daily").status_code == 404
        found = server.get(f"{ANALYTICS}/advanced").json()
        assert (found["ttft_percentiles"], found["user_stats"]) == (None, [])
        assert found["errors"]["user_stats"] == "user_usage is not built yet; run: tidemill build user_usage"
        assert server.is_well()


@pytest.mark.parametrize("records", [(), servers.RECORDS], ids=["empty", "unbuilt"])
def test_before_a_publish_there_is_no_answer(tmp_path: Path, records: tuple[Any, ...]) -> None:
    """503 in one line that says what to run, though the server is well; after the publish there is one."""
    mill = home(tmp_path, *records)
    with servers.serving(mill) as server:
        assert (server.get("/healthz").status_code, server.get("/healthz").json()) == (200, {"status": "ok"})
        for path in (
            "/readyz",
            TABLES,
            f"{TABLES}/activity_daily",
            f"{TABLES}/activity_daily.csv",
            f"{ANALYTICS}/stats",
        ):
            answer = server.get(path)
            assert answer.status_code == 503, path
            assert answer.json() == {"detail": f"nothing is published in {mill.home.path} yet; run: tidemill build"}
        mill.build(servers.FEW, as_of=servers.AS_OF)
        assert server.is_well()
        assert server.get(f"{TABLES}/activity_daily").json()["total_rows"] == len(
            {r["timestamp"] for r in records if "timestamp" in r}
        )
    assert "Traceback" not in server.log


def test_fifty_clients_at_once_have_the_same_answer(server: Server) -> None:
    """Of every kind of route, each as if it were alone."""
    paths = [
        f"{ANALYTICS}/advanced?limit=7",
        f"{TABLES}/job_totals.parquet",
        "/api/v1/activity/by_user",
        f"{ANALYTICS}/durations",
    ]
    with ThreadPoolExecutor(50) as threads:
        answers = list(threads.map(server.get, [paths[number % len(paths)] for number in range(200)]))
    assert {answer.status_code for answer in answers} == {200}
    for path in paths:
        assert len({answer.content for answer in answers if answer.url.raw_path.decode() == path}) == 1, path
