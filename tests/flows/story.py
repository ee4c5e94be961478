"""The story that all tests of the flows read: what an operator does, and what befalls the machine."""

from __future__ import annotations

import json
import re
from dataclasses import dataclass, field
from datetime import timedelta
from typing import TYPE_CHECKING, Any

from tests.flows import servers
from tests.flows.servers import Prefect, kill, wait_for
from tidemill.home.home import Home

if TYPE_CHECKING:
    import subprocess
    from contextlib import ExitStack
    from pathlib import Path

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
HOURLY = 'cron: "0 * * * *"\n        timezone: UTC'
SOON = "interval: 10"


@dataclass
class Story:
    """What became of each run."""

    prefect: Prefect
    folder: Path
    runs: dict[str, dict[str, Any]] = field(default_factory=dict)
    begun: dict[str, str] = field(default_factory=dict)
    paused: dict[str, bool] = field(default_factory=dict)

    def of(self, run: str) -> tuple[str, str]:
        """Return the state of a run, and its message."""
        found = self.runs[run]
        return found["state_type"], str(found["state"]["message"])

    def artifact(self, run: str, what: str) -> Any:
        """Return the data of one of a run's artifacts."""
        found = self.prefect.artifacts(self.runs[run]["id"])
        return next(data for key, data in found.items() if key.endswith(what))

    def begin(self, name: str, flow: str, home: str, **parameters: object) -> str:
        """Start a run over one of the homes."""
        asked = {"tables": TABLES} if flow != "maintain" else {}
        self.begun[name] = self.prefect.start(flow, home=str(self.folder / home), **asked | parameters)
        return self.begun[name]

    def end(self, *names: str) -> None:
        """Wait until runs have ended."""
        self.runs |= {name: self.prefect.ended(self.begun[name]) for name in names}

    def see(self, *names: str) -> None:
        """Look at runs as they are now."""
        self.runs |= {name: self.prefect.ask(f"flow_runs/{self.begun[name]}") for name in names}

    def loaded(self, name: str) -> None:
        """Wait until a run has loaded its source."""
        run = self.begun[name]
        wait_for(lambda: self.prefect.tasks(run).get("ingest app", {}).get("state_type") == "COMPLETED")


def home_in(folder: Path, settings: str) -> Path:
    """Make a home with one source of a good and a broken line."""
    folder.mkdir()
    (folder / "tidemill.toml").write_text(settings)
    (folder / "app.jsonl").write_text(json.dumps(LINE) + "\nnot JSON\n")
    return folder


def homes_in(folder: Path) -> None:
    """Make the homes of the story."""
    for name, settings in {"one": SETTINGS + MORE, "two": SETTINGS, "four": SETTINGS, "five": SETTINGS}.items():
        home_in(folder / name, settings)
    three = home_in(folder / "three", "lock_wait_seconds = 1\n" + SETTINGS.replace("app.", "app*."))
    for number in range(30):
        (three / f"app-{number}.jsonl").write_text(json.dumps(LINE | {"id": f"n{number}"}) + "\n")


def due_soon(folder: Path) -> str:
    """Write prefect.yaml with a schedule that is due soon, over a home of the test's own, and nothing else changed."""
    text = (servers.ROOT / "prefect.yaml").read_text(encoding="utf-8")
    assert text.count(HOURLY) == 1
    path = folder / "prefect.yaml"
    path.write_text(text.replace(HOURLY, SOON).replace("home: data", f"home: {folder / 'four'}"))
    return str(path)


def silence() -> timedelta:
    """Return how long a run of the deployments may be silent before it counts as killed."""
    text = (servers.ROOT / "prefect.yaml").read_text(encoding="utf-8")
    found = re.search(r'PREFECT_FLOWS_HEARTBEAT_FREQUENCY: "(\d+)"', text)
    assert found
    return timedelta(seconds=2.5 * int(found[1]))


class Machine:
    """The server and the worker of a story, as the README starts them."""

    def __init__(self, story: Story, running: ExitStack) -> None:
        self.story = story
        self.prefect = story.prefect
        self.running = running
        config, self.server_command, self.ready, self.pool, self.deploy, self.worker_command = servers.readme(
            "On a schedule"
        )
        self.prefect.run(*config)
        self.server: subprocess.Popen[bytes]
        self.worker: subprocess.Popen[bytes]

    def start_server(self) -> None:
        """Start the server, and wait for it as the README does."""
        self.server = self.running.enter_context(self.prefect.going(*self.server_command))
        self.prefect.run(*self.ready)

    def start_worker(self, **environment: str) -> None:
        """Start the worker."""
        self.worker = self.running.enter_context(self.prefect.going(*self.worker_command, **environment))


def play(story: Story, running: ExitStack) -> None:
    """Play the story to its end."""
    homes_in(story.folder)
    machine = Machine(story, running)
    machine.start_server()
    machine.prefect.run(*machine.pool)
    prefect_file = due_soon(story.folder)
    machine.prefect.run(*machine.deploy, "--prefect-file", prefect_file)
    machine.prefect.run("automation", "create", "--from-file", "flows/automation.yaml")
    machine.start_worker()
    _scheduled(story)
    _at_once(story)
    _worker_killed(story, machine)
    _power_failure(story, machine)
    _failing(story)
    _resumed(story, prefect_file)
    wait_for(lambda: story.prefect.is_silent(story.begun["in the failure"], silence()))
    story.begin("last", "backfill", "two")
    story.end("last")
    story.see("with its worker", "in the failure")


def _scheduled(story: Story) -> None:
    """Wait for a run that the schedule started, and stop the schedules: all other runs are the story's."""

    def completed() -> dict[str, Any] | None:
        story.prefect.assert_sound()
        return story.prefect.by_schedule("COMPLETED")

    story.runs["scheduled"] = wait_for(completed)
    story.prefect.pause()


def _at_once(story: Story) -> None:
    """Start two runs over one home while the first cannot go on, and one over another home."""
    with Home.at(story.folder / "two").lock("tables"):
        story.begin("first", "pipeline", "two", as_of="latest")
        story.loaded("first")
        second = story.begin("second", "pipeline", "two")
        story.begin("elsewhere", "pipeline", "five")
        story.end("elsewhere")
        wait_for(lambda: "waiting up to" in story.prefect.said(second))
        story.see("first", "second")
        story.runs |= {"first meanwhile": story.runs["first"], "second meanwhile": story.runs["second"]}
    story.end("first", "second")


def _worker_killed(story: Story, machine: Machine) -> None:
    """Kill a run together with its worker; the server lives."""
    with Home.at(story.folder / "two").lock("tables"):
        story.begin("with its worker", "pipeline", "two")
        story.loaded("with its worker")
        kill(machine.worker)
    machine.start_worker()
    story.begin("after the worker", "pipeline", "two")
    story.end("after the worker")


def _power_failure(story: Story, machine: Machine) -> None:
    """Kill a run, its worker and the server, and start the two again over the same database."""
    with Home.at(story.folder / "two").lock("tables"):
        story.begin("in the failure", "pipeline", "two")
        story.loaded("in the failure")
        wait_for(lambda: story.prefect.heartbeats(story.begun["in the failure"]))
        kill(machine.worker, machine.server)
    machine.start_server()
    machine.start_worker(TZ="Asia/Tokyo")
    story.begin("after the failure", "pipeline", "two")
    story.end("after the failure")


def _failing(story: Story) -> None:
    """Run what fails, and what is tried again."""
    one = story.folder / "one"
    story.begin("partly", "pipeline", "one", as_of="latest")
    story.begin("nowhere", "pipeline", "no home")
    story.begin("no day", "backfill", "two", first_day="tomorrow")
    with Home.at(story.folder / "three").lock("lake"):
        held = story.begin("held", "pipeline", "three", tables=["activity_hourly"])
        wait_for(lambda: story.prefect.tasks(held).get("ingest app", {}).get("state_name") == "AwaitingRetry")
    story.end("partly", "nowhere", "no day", "held")
    (one / "prices.csv").write_text("nothing\n")
    (one / "checks").mkdir()
    story.begin("unpriced", "backfill", "one", first_day="2026-02-10")
    with Home.at(story.folder / "three").lock(".flows/pipeline"):
        story.begin("no turn", "pipeline", "three")
        story.end("unpriced", "no turn")
    (one / "checks" / "silence.sql").write_text(CHECK)
    story.begin("maintain", "maintain", "one")
    story.end("maintain")


def _resumed(story: Story, prefect_file: str) -> None:
    """Start the schedule again that the automation stopped, as the README does."""
    prefect = story.prefect
    maintain = f"deployments/{prefect.deployments['maintain']}"
    wait_for(lambda: prefect.events("prefect.automation.action.executed", 1))
    story.paused["before"] = prefect.ask(maintain)["paused"]
    prefect.run("--no-prompt", "deploy", "--name", "maintain", "--prefect-file", prefect_file)
    story.paused["after"] = prefect.ask(maintain)["paused"]
