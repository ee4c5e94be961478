"""The flows as an operator runs them: a real server, a real worker, the deployments of prefect.yaml.

All tests read one story (story.py).
"""

from __future__ import annotations

import json
import subprocess
import sys
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from tests.flows.servers import Prefect
from tests.flows.story import TABLES, Story, play
from tidemill import Tidemill
from tidemill.catalog import tables as catalog_tables

if TYPE_CHECKING:
    from collections.abc import Iterator


@pytest.fixture(scope="module")
def story(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Story]:
    """Play the story once, and keep its server for the tests' questions."""
    folder = tmp_path_factory.mktemp("flows")
    story = Story(Prefect.within(folder), folder)
    with ExitStack() as running:
        play(story, running)
        yield story


def test_schedule_starts_runs_that_publish(story: Story) -> None:
    """Nobody started this run but the schedule, and its tables can be read."""
    run = story.runs["scheduled"]
    assert run["created_by"]["type"] == "SCHEDULE"
    assert story.of("scheduled")[0] == "COMPLETED"
    assert Tidemill(story.folder / "four").sql("SELECT events FROM activity_hourly").fetchall() == [(1,)]


def test_server_writes_no_traceback(story: Story) -> None:
    """A scheduler that cannot schedule says so nowhere but there."""
    story.prefect.assert_sound()


def test_runs_over_one_home_wait_for_each_other(story: Story) -> None:
    """The second run shows for whom it waits, and both complete."""
    assert story.of("first meanwhile")[0] == story.of("second meanwhile")[0] == "RUNNING"
    assert story.of("first")[0] == story.of("second")[0] == "COMPLETED"
    assert "is held by process" in story.prefect.said(story.begun["second"])
    assert Tidemill(story.folder / "two").sql("SELECT count(*) FROM lake.loads").fetchall() == [(1,)]


def test_runs_over_two_homes_go_on_at_once(story: Story) -> None:
    """A run over another home completes while the first one is held."""
    assert story.of("elsewhere")[0] == "COMPLETED"


def test_run_without_a_turn_says_that_it_did_nothing(story: Story) -> None:
    """Its state names the process that works on the home."""
    state, message = story.of("no turn")
    assert state == "FAILED"
    assert message.startswith("this run did nothing: ")
    assert "/three/.flows/pipeline is held by process" in message
    assert message.endswith("; try again when it has finished")


@pytest.mark.parametrize("run", ["after the worker", "after the failure"])
def test_run_after_a_kill_is_not_blocked(story: Story, run: str) -> None:
    """The next run completes, with the server alive and after a power failure."""
    assert story.of(run)[0] == "COMPLETED"


@pytest.mark.parametrize("run", ["partly", "nowhere", "no turn", "unpriced", "maintain"])
def test_log_of_a_failed_run_has_no_traceback(story: Story, run: str) -> None:
    """It ends in the state and its message."""
    said = story.prefect.said(story.begun[run])
    assert "Traceback" not in said
    assert said.splitlines()[-1].startswith("Finished in state Failed(")


def test_log_says_which_parameter_is_wrong(story: Story) -> None:
    """It names the parameter, without a traceback."""
    said = story.prefect.said(story.begun["no day"])
    assert "Traceback" not in said
    assert "first_day: Input should be a valid date" in said


def test_home_that_does_not_exist_fails_the_run_in_one_line(story: Story) -> None:
    """The state has the command's own message."""
    state, message = story.of("nowhere")
    assert state == "FAILED"
    assert message.startswith(f"{story.folder}/no home is no folder; ")


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
    assert upstream == catalog_tables.table("job_totals").reads & catalog_tables.tables().keys()
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


def test_deploying_again_starts_a_stopped_schedule(story: Story) -> None:
    """The README's command undoes what the automation did."""
    assert story.paused == {"before": True, "after": False}


@pytest.mark.parametrize("run", ["with its worker", "in the failure"])
def test_killed_run_is_marked_as_crashed(story: Story, run: str) -> None:
    """Any later run marks it once its heartbeats stopped for long enough."""
    state, message = story.of(run)
    assert state == "CRASHED"
    assert "heartbeats stopped" in message


def test_kills_lose_nothing(story: Story) -> None:
    """Every record counts once, in whatever timezone the clock is."""
    assert story.of("last")[0] == "COMPLETED"
    assert story.runs["after the failure"]["name"].endswith(" · 1 source")
    mill = Tidemill(Path(story.runs["last"]["parameters"]["home"]))
    assert mill.sql("SELECT hour::VARCHAR, events FROM activity_hourly").fetchall() == [("2026-02-10 18:00:00+00", 1)]
    assert mill.sql("SELECT count(*) FROM lake.loads").fetchall() == [(1,)]


def test_package_without_prefect() -> None:
    """The package and the command import no Prefect."""
    modules = "tidemill.cli.main, tidemill.api, tidemill.server.run"
    script = f"import sys, {modules}; print('prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
