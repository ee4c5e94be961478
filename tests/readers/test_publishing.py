"""While one snapshot is published after another the server answers without pause, each question from one of them."""

from __future__ import annotations

import signal
import threading
import time
from collections import Counter
from typing import TYPE_CHECKING, Final

import httpx
import pyarrow as pa
import pytest

from tests.homes import event, feed
from tests.readers import servers

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from tests.readers.servers import Server
    from tidemill import Tidemill

PUBLISHES: Final = 4
HOURS: Final = "/api/v1/tables/activity_hourly"
DAYS: Final = "/api/v1/tables/activity_daily"
BOTH: Final = (
    "SELECT (SELECT sum(events) FROM activity_daily)::BIGINT AS days, (SELECT count(*) FROM lake.events) AS lake"
)


def _publish(mill: Tidemill, number: int) -> str:
    """Another snapshot, with one event more; its name."""
    feed(mill, event(f"n{number}", f"2026-02-{number + 13}T10:00:00Z"))
    mill.build("activity_daily", "activity_hourly", as_of=servers.AS_OF)
    return mill.snapshot().name


def _asking(server: Server, until: threading.Event, seen: Counter[tuple[object, ...]]) -> None:
    """Ask in several ways, again and again; what was answered, and of which snapshot."""
    with httpx.Client(base_url=server.http, timeout=servers.SECONDS, trust_env=False) as client:
        while not until.is_set():
            for path in (DAYS, HOURS):
                answer = client.get(path, params={"columns": "events"})
                rows = answer.json().get("rows", [])
                found = (answer.json().get("snapshot"), sum(row["events"] for row in rows))
                seen[answer.status_code, answer.headers.get("tidemill-snapshot"), *found] += 1
            lines = client.get(f"{DAYS}.csv?columns=events")
            total = sum(map(int, lines.text.split()[1:]))
            seen[lines.status_code, lines.headers.get("tidemill-snapshot"), None, total] += 1
            sql = client.post("/api/v1/sql", json={"query": BOTH})
            (row,) = sql.json() if sql.status_code == 200 else ({"days": 0, "lake": -1},)
            assert row["days"] == row["lake"], sql.text
            seen[sql.status_code, sql.headers.get("tidemill-snapshot"), None, row["days"]] += 1


def test_every_answer_is_of_one_snapshot_and_none_fails(tmp_path: Path) -> None:
    """Tables, files, SQL and the lake have the figures of the snapshot that they name; the newest is seen at once."""
    mill = servers.one(tmp_path, settings="sql = true\ncache_ttl = 60")
    mill.build("activity_hourly", as_of=servers.AS_OF)
    events = {mill.snapshot().name: 3}
    seen: list[Counter[tuple[object, ...]]] = [Counter() for _ in range(2)]
    failures: list[BaseException] = []
    with servers.serving(mill) as server:
        until = threading.Event()
        threads = [threading.Thread(target=_noting(_asking, failures), args=(server, until, one)) for one in seen]
        for thread in threads:
            thread.start()
        for number in range(PUBLISHES):
            name = _publish(mill, number)
            events[name] = 4 + number
            assert server.get("/readyz").json()["snapshot"] == name
            assert server.get(DAYS).json()["snapshot"] == name
        until.set()
        for thread in threads:
            thread.join()
    assert failures == []
    found = sum(seen, Counter())
    assert {status for status, *_ in found} == {200}
    for _, of, said, total in found:
        assert (said in {of, None}, total) == (True, events[str(of)]), of
    assert len({of for _, of, *_ in found}) > PUBLISHES / 2
    assert "Traceback" not in server.log


def _noting(function: Callable[..., None], failures: list[BaseException]) -> Callable[..., None]:
    def noted(*arguments: object) -> None:
        try:
            function(*arguments)
        except BaseException as error:  # noqa: BLE001 - a thread's own would be lost
            failures.append(error)

    return noted


def test_what_is_kept_of_one_snapshot_is_no_answer_of_the_next(tmp_path: Path) -> None:
    """Nor is its tag: however long answers are kept, a publish is seen by who asks next."""
    mill = servers.one(tmp_path, settings="cache_ttl = 3600")
    with servers.serving(mill) as server:
        before = [server.get(f"{DAYS}.{form}") for form in ("json", "csv", "parquet")]
        feed(mill, event("later", "2026-02-20T10:00:00Z"))
        mill.build(servers.FEW, as_of=servers.AS_OF)
        for old in before:
            new = server.get(old.url.path, headers={"if-none-match": old.headers["etag"]})
            assert new.status_code == 200
            assert new.content != old.content
            assert new.headers["etag"] != old.headers["etag"]


def test_a_snapshot_that_is_damaged_is_said_and_mended(tmp_path: Path) -> None:
    """503 in one line while the newest cannot be read; then it is answered from, without a restart."""
    mill = servers.one(tmp_path)
    current = mill.home.tables / "current"
    with servers.serving(mill) as server:
        assert server.is_well()
        target = current.readlink()
        current.unlink()
        current.symlink_to("snapshots/gone")
        answer = server.get(DAYS)
        assert answer.status_code == 503
        assert "\n" not in answer.json()["detail"]
        assert (server.get("/readyz").status_code, server.get("/healthz").status_code) == (503, 200)
        current.unlink()
        current.symlink_to(target)
        assert server.is_well()
    assert "Traceback" not in server.log


@pytest.mark.parametrize("sign", [signal.SIGTERM, signal.SIGINT])
def test_what_is_being_answered_at_the_end_is_answered(tmp_path: Path, sign: signal.Signals) -> None:
    """A signal ends the server after that, and no new question is taken; its exit code is 0."""
    many = [event(f"m{n}", "2026-02-10T10:00:00Z", session_id=f"{n:05}{'s' * 20_000}") for n in range(1_000)]
    mill = servers.one(tmp_path, *many)
    mill.build("sessions", as_of=servers.AS_OF)
    with servers.serving(mill) as server:
        with server.client.stream("GET", f"{server.http}/api/v1/tables/sessions.arrow") as answer:
            # 20 MB are more than a connection holds while nobody reads, so the answer is still under way.
            parts = answer.iter_raw(1 << 16)
            first = next(parts)
            server.process.send_signal(sign)
            refused = servers.until(lambda: _is_refused(server), 5)
            body = first + b"".join(parts)
        assert pa.ipc.open_stream(body).read_all().num_rows == 1_000
        assert refused
        assert server.process.wait(servers.SECONDS) == 0
        assert "Traceback" not in server.log


def _is_refused(server: Server) -> bool:
    try:
        httpx.get(f"{server.http}/healthz", timeout=1, trust_env=False)
    except httpx.TransportError:
        return True
    return False


def test_a_second_signal_ends_it_at_once(tmp_path: Path) -> None:
    """Whoever cannot wait for what is being answered need not; the query is ended by its own limit."""
    mill = servers.one(tmp_path, settings="sql = true\ntimeout_seconds = 1.5")
    with servers.serving(mill) as server:
        asking = threading.Thread(target=lambda: _is_refused_sql(server))
        asking.start()
        time.sleep(0.3)
        for _ in range(2):
            server.process.send_signal(signal.SIGINT)
            time.sleep(0.1)
        assert server.process.wait(servers.SECONDS) == 0
        asking.join()


def _is_refused_sql(server: Server) -> None:
    try:
        server.sql("SELECT count(*) FROM range(1000000000000)")
    except httpx.TransportError:
        return
