"""The flows as an operator runs them: a real server, a real worker, the deployments of prefect.yaml.

One story is played for all tests: two homes are worked on, one of whose runs is killed together with its worker.
"""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from contextlib import closing, contextmanager
from dataclasses import dataclass, field
from http import HTTPStatus
from http.client import HTTPConnection
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from tidemill import Tidemill, catalog
from tidemill.home import Home

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

ROOT = Path(__file__).parents[2]
TABLES = ["activity_hourly", "job_totals", "llm_ttft", "llm_hourly"]
SETTINGS = '[sources.app]\npath = "app.jsonl"\nrecord = "event"\n'
MORE = """
[sources.gone]
path = "gone/*.jsonl"
record = "event"

[thresholds.busy]
table = "activity_hourly"
column = "events"
operator = ">"
limit = 0
"""
LINE = {"id": "1", "timestamp": "2026-02-10T18:00:00Z", "type": "llm_request", "model": "m", "ttft_ms": 5}
CHECK = "-- No hour has events.\n-- severity: fail\nSELECT * FROM activity_hourly\n"
ENDED = {"COMPLETED", "FAILED", "CRASHED", "CANCELLED"}
PATIENCE_SECONDS = 150.0


@dataclass
class Prefect:
    """A server of its own, and what asks it."""

    folder: Path
    port: int
    deployments: dict[str, str] = field(default_factory=dict)

    @property
    def environment(self) -> dict[str, str]:
        """What its command, and the worker, must know."""
        return os.environ | {
            "PREFECT_HOME": str(self.folder / "prefect"),
            "PREFECT_API_URL": f"http://127.0.0.1:{self.port}/api",
            "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
            "PREFECT_WORKER_QUERY_SECONDS": "1",
            "DO_NOT_TRACK": "1",
        }

    def run(self, *arguments: str) -> str:
        """Run its command from the checkout; what it prints."""
        command = [sys.executable, "-m", "prefect", "--no-prompt", *arguments]
        done = subprocess.run(
            command, cwd=ROOT, env=self.environment, capture_output=True, text=True, check=False, timeout=120
        )
        assert done.returncode == 0, done.stdout + done.stderr
        return done.stdout

    @contextmanager
    def going(self, *arguments: str, **environment: str) -> Iterator[subprocess.Popen[bytes]]:
        """Keep one of its servers running."""
        command = [sys.executable, "-m", "prefect", *arguments]
        with (self.folder / "log").open("ab") as log:
            started = subprocess.Popen(
                command, cwd=self.folder, env=self.environment | environment, stdout=log, stderr=log
            )
        try:
            yield started
        finally:
            started.terminate()
            try:
                started.wait(30)
            except subprocess.TimeoutExpired:
                started.kill()
                started.wait()

    def ask(self, path: str, body: object = None) -> Any:
        """What the server answers, once it is not too busy to: to a POST if there is a body, else to a GET."""
        method = "GET" if body is None else "POST"

        def answered() -> tuple[bytes] | None:
            with closing(HTTPConnection("127.0.0.1", self.port, timeout=30)) as connection:
                connection.request(method, f"/api/{path}", json.dumps(body), {"content-type": "application/json"})
                answer = connection.getresponse()
                text = answer.read()
            assert answer.status < HTTPStatus.BAD_REQUEST or answer.status == HTTPStatus.SERVICE_UNAVAILABLE, text
            return None if answer.status == HTTPStatus.SERVICE_UNAVAILABLE else (text,)

        (text,) = wait_for(answered)
        return json.loads(text) if text else None

    def start(self, flow: str, **parameters: object) -> str:
        """Start a deployment; returns the run's id."""
        asked = {"parameters": parameters, "state": {"type": "SCHEDULED"}, "idempotency_key": uuid.uuid4().hex}
        return str(self.ask(f"deployments/{self.deployments[flow]}/create_flow_run", asked)["id"])

    def ended(self, run: str) -> dict[str, Any]:
        """A run, once it has ended."""
        found: dict[str, Any] = wait_for(
            lambda: one if (one := self.ask(f"flow_runs/{run}"))["state_type"] in ENDED else None
        )
        return found

    def tasks(self, run: str) -> dict[str, dict[str, Any]]:
        """A run's tasks by name."""
        found = self.ask("task_runs/filter", {"flow_runs": {"id": {"any_": [run]}}})
        return {task["name"]: task for task in found}

    def artifacts(self, run: str) -> dict[str, Any]:
        """What a run shows, by key."""
        found = self.ask("artifacts/filter", {"artifacts": {"flow_run_id": {"any_": [run]}}})
        return {artifact["key"]: artifact["data"] for artifact in found}

    def events(self, name: str, count: int) -> list[dict[str, Any]]:
        """The events of a name, once there are so many: they take a moment to be stored."""
        asked = {"filter": {"event": {"name": [name]}}, "limit": 50}
        found: list[dict[str, Any]] = wait_for(
            lambda: events if len(events := self.ask("events/filter", asked)["events"]) >= count else None
        )
        return found


def wait_for(what: Callable[[], Any]) -> Any:
    """What a function gives, once it gives something."""
    until = time.monotonic() + PATIENCE_SECONDS
    while time.monotonic() < until:
        try:
            found = what()
        except OSError:  # the server is not there yet
            found = None
        if found:
            return found
        time.sleep(0.3)
    raise TimeoutError


def home_in(folder: Path, settings: str) -> Path:
    """A home with one source of a good and a broken line."""
    folder.mkdir()
    (folder / "tidemill.toml").write_text(settings)
    (folder / "app.jsonl").write_text(json.dumps(LINE) + "\nnot JSON\n")
    return folder


def kill(worker: subprocess.Popen[bytes]) -> None:
    """Kill a worker and the run that it works on."""
    children = Path(f"/proc/{worker.pid}/task/{worker.pid}/children").read_text().split()
    assert children
    for process in (worker.pid, *map(int, children)):
        os.kill(process, signal.SIGKILL)
    worker.wait()


@dataclass
class Story:
    """What became of each run."""

    prefect: Prefect
    runs: dict[str, dict[str, Any]]

    def of(self, run: str) -> tuple[str, str]:
        """The state of a run, and its message."""
        found = self.runs[run]
        return found["state_type"], str(found["state"]["message"])

    def artifact(self, run: str, what: str) -> Any:
        """What one of a run's artifacts shows."""
        found = self.prefect.artifacts(self.runs[run]["id"])
        return next(data for key, data in found.items() if key.endswith(what))


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Deploy, run each deployment, kill a worker in the middle of a run, and let the next ones finish."""
    folder = tmp_path_factory.mktemp("flows")
    one, two = home_in(folder / "one", SETTINGS + MORE), home_in(folder / "two", SETTINGS)
    three = home_in(folder / "three", "lock_wait_seconds = 1\n" + SETTINGS.replace("app.", "app*."))
    for number in range(30):
        (three / f"app-{number}.jsonl").write_text(json.dumps(LINE | {"id": f"n{number}"}) + "\n")
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        prefect = Prefect(folder, free.getsockname()[1])
    with prefect.going("server", "start", "--host", "127.0.0.1", "--port", str(prefect.port)):
        wait_for(lambda: prefect.ask("health"))
        prefect.run("work-pool", "create", "tidemill", "--type", "process")
        prefect.run("deploy", "--all")
        prefect.run("automation", "create", "--from-file", "flows/automation.yaml")
        for flow in ("pipeline", "maintain", "backfill"):
            made = prefect.ask(f"deployments/name/{flow}/{flow}")
            prefect.ask(f"deployments/{made['id']}/pause_deployment", {})  # no run but the story's
            prefect.deployments[flow] = made["id"]
        runs = {}
        with prefect.going("worker", "start", "--pool", "tidemill") as worker:
            first = prefect.start("pipeline", home=str(one), tables=TABLES, as_of="latest")
            runs["partly"] = prefect.ended(first)
            with Home.at(three).lock("lake"):
                held = prefect.start("pipeline", home=str(three), tables=["activity_hourly"])
                wait_for(lambda: prefect.tasks(held).get("ingest app", {}).get("state_name") == "AwaitingRetry")
            runs["held"] = prefect.ended(held)
            with Home.at(two).lock("tables"):
                killed = prefect.start("pipeline", home=str(two), tables=TABLES, as_of="latest")
                wait_for(lambda: prefect.tasks(killed).get("ingest app", {}).get("state_type") == "COMPLETED")
                kill(worker)
        (one / "prices.csv").write_text("nothing\n")
        (one / "checks").mkdir()
        with prefect.going("worker", "start", "--pool", "tidemill", TZ="Asia/Tokyo"):
            since = time.monotonic()
            runs["unpriced"] = prefect.ended(
                prefect.start("backfill", home=str(one), first_day="2026-02-10", tables=TABLES)
            )
            (one / "checks" / "silence.sql").write_text(CHECK)
            runs["maintain"] = prefect.ended(prefect.start("maintain", home=str(one)))
            time.sleep(max(0.0, 80 - (time.monotonic() - since)))
            runs["backfill"] = prefect.ended(prefect.start("backfill", home=str(two), tables=TABLES))
            runs["killed"] = prefect.ask(f"flow_runs/{killed}")
            runs["again"] = prefect.ended(prefect.start("pipeline", home=str(two), tables=TABLES))
            yield Story(prefect, runs)


def test_a_run_that_loaded_one_of_two_sources_says_so(story: Story) -> None:
    """It builds and publishes what there is, and is not completed without a word."""
    state, message = story.of("partly")
    assert state == "FAILED"
    assert message.startswith("1 of 2 sources were loaded without a failure; the tables are published as ")
    assert "gone/*.jsonl does not exist" in message
    assert story.runs["partly"]["name"].startswith("pipeline 20")
    assert story.runs["partly"]["name"].endswith(" · 2 sources")


def test_each_source_and_each_stale_table_is_a_task(story: Story) -> None:
    """The publish is one, too."""
    tasks = story.prefect.tasks(story.runs["partly"]["id"])
    assert {"ingest app", *(f"build {name}" for name in TABLES), "publish"} <= tasks.keys()
    assert [tasks[f"ingest {name}"]["state_type"] for name in ("gone", "app")] == ["FAILED", "COMPLETED"]
    assert tasks["ingest gone"]["run_count"] == 1  # trying again finds no file


def test_the_summary_has_the_ledger_and_what_was_built_and_why(story: Story) -> None:
    """And beside it are the reasons of what was refused, and where the tables are."""
    text = story.artifact("partly", "pipeline-summary")
    assert "| app | 2 | 0 | 1 | 0 | 1 | 0 | 0 |" in text
    assert "**Not loaded:**" in text
    assert "| llm_ttft | 3 |" in text
    assert "| new |" in text
    assert "threshold busy is breached" in text
    refused = json.loads(story.artifact("partly", "quarantined"))
    assert [(row["source"], row["reason"], row["records"]) for row in refused] == [("app", "not JSON", 1)]
    assert "/tables/snapshots/" in story.artifact("partly", "tables")


def test_each_published_table_is_an_asset_with_what_it_is_made_of(story: Story) -> None:
    """It says its rows, bytes and freshness, and comes with an event that automations can act on."""
    events = story.prefect.events("prefect.asset.materialization.succeeded", len(TABLES))
    made = {event["payload"]["table"]: event for event in events if event["payload"]["home"].endswith("/one")}
    assert set(TABLES) <= made.keys()
    hourly = made["activity_hourly"]["payload"]
    assert (hourly["rows"], hourly["partitions"]) == (1, 1)
    assert hourly["bytes"] > 0
    assert hourly["built_at"]
    upstream = {
        one["prefect.resource.id"].rpartition("/")[2]
        for one in made["job_totals"]["related"]
        if one["prefect.resource.role"] == "asset"
    }
    assert upstream == catalog.table("job_totals").reads & catalog.tables().keys()
    told = story.prefect.events("tidemill.table.published", len(made))
    assert made.keys() <= {event["payload"]["table"] for event in told}


def test_a_threshold_that_is_exceeded_is_an_event(story: Story) -> None:
    """It says which, and by how much."""
    event, *_ = story.prefect.events("tidemill.threshold.exceeded", 1)
    payload = event["payload"]
    assert (payload["threshold"], payload["table"], payload["value"], payload["limit"]) == (
        "busy",
        "activity_hourly",
        1.0,
        0.0,
    )


def test_a_table_that_cannot_be_built_fails_the_run(story: Story) -> None:
    """The others are built: those of the days that were asked for once more, though they are fresh."""
    state, message = story.of("unpriced")
    assert state == "FAILED"
    assert "table llm_hourly cannot be built" in message
    assert "prices.csv" in message
    text = story.artifact("unpriced", "backfill-summary")
    assert "**Not built:** table llm_hourly cannot be built" in text
    assert "| activity_hourly | 1 | 1 |" in text
    assert story.runs["unpriced"]["name"].endswith(" · 2026-02-10 to 2026-02-10")


def test_what_may_pass_is_tried_again(story: Story) -> None:
    """A home that somebody held is loaded once it is free."""
    assert story.of("held")[0] == "COMPLETED"
    ingest = story.prefect.tasks(story.runs["held"]["id"])["ingest app"]
    assert (ingest["state_type"], ingest["run_count"]) == ("COMPLETED", 2)


def test_a_load_of_many_files_shows_how_far_it_is(story: Story) -> None:
    """It ends with all of them."""
    assert float(story.artifact("held", "loading-app")) == 100.0


def test_maintenance_tells_of_a_check_that_failed(story: Story) -> None:
    """What it did is on its page, the failed check in its state and an event."""
    state, message = story.of("maintain")
    assert state == "FAILED"
    assert "check silence failed: 1 row" in message
    text = story.artifact("maintain", "maintain-summary")
    assert "## Compacted" in text
    assert "| silence |" in text
    event, *_ = story.prefect.events("tidemill.check.failed", 1)
    assert (event["payload"]["check"], event["payload"]["rows"]) == ("silence", 1)


def test_an_automation_acts_on_a_check_that_failed(story: Story) -> None:
    """That of the README pauses the deployment whose run told of it."""
    done = story.prefect.events("prefect.automation.action.executed", 1)
    assert {event["payload"]["action_type"] for event in done} == {"pause-deployment"}
    assert story.runs["maintain"]["deployment_id"] == story.prefect.deployments["maintain"]


def test_a_killed_run_is_marked_as_crashed_by_the_next(story: Story) -> None:
    """Its slot is free again, and nothing of it is lost, in whatever timezone the clock is."""
    state, message = story.of("killed")
    assert state == "CRASHED"
    assert "no heartbeat" in message
    assert story.of("backfill")[0] == "COMPLETED"
    assert story.of("again")[0] == "COMPLETED"
    assert story.runs["again"]["name"].endswith(" · 1 source")
    mill = Tidemill(Path(story.runs["again"]["parameters"]["home"]))
    assert mill.sql("SELECT hour::VARCHAR, events FROM activity_hourly").fetchall() == [("2026-02-10 18:00:00+00", 1)]
    assert mill.sql("SELECT count(*) FROM lake.loads").fetchall() == [(1,)]


def test_package_without_prefect() -> None:
    """The package and the command import no Prefect."""
    modules = "tidemill.cli, tidemill.build, tidemill.ingest, tidemill.readers.client"
    script = f"import sys, {modules}; print('prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
