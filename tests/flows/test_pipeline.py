"""The pipeline as a Prefect flow, on Prefect's own embedded server."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tidemill import catalog

ROOT = Path(__file__).parents[2]

TABLES = ["activity_hourly", "job_totals", "llm_ttft", "llm_hourly"]

SCRIPT = """
import json, pathlib, sys
from prefect.client.orchestration import get_client
from flows.pipeline import pipeline

tables = json.loads(sys.argv[3])
first = pipeline(home=sys.argv[1], tables=tables, as_of="latest")
second = pipeline(home=sys.argv[1], tables=tables)
third = pipeline(home=sys.argv[2], tables=tables, return_state=True)
pathlib.Path(sys.argv[1], "prices.csv").write_text("nothing\\n")
fourth = pipeline(home=sys.argv[1], tables=tables, as_of="latest", return_state=True)
with get_client(sync_client=True) as client:
    names = [run.name for run in client.read_task_runs(limit=200)]
    artifacts = [artifact.data for artifact in client.read_artifacts()]
print(json.dumps([first, second, third.type.value, third.message, names, artifacts, fourth.type.value, fourth.message]))
"""


@pytest.fixture(scope="module")
def outcome(tmp_path_factory: pytest.TempPathFactory) -> list[object]:
    """Four runs of the flow: over new records, over the same again, without a source, and with prices that are none."""
    folder = tmp_path_factory.mktemp("flow")
    good, bad = folder / "good", folder / "bad"
    for home in (good, bad):
        home.mkdir()
        (home / "tidemill.toml").write_text('[sources.app]\npath = "app.jsonl"\nrecord = "event"\n')
    line = {"id": "1", "timestamp": "2026-02-10T18:00:00Z", "type": "llm_request", "model": "m", "ttft_ms": 5}
    (good / "app.jsonl").write_text(json.dumps(line) + "\nnot JSON\n")
    environment = os.environ | {
        "PREFECT_HOME": str(folder / "prefect"),
        "PREFECT_SERVER_ANALYTICS_ENABLED": "false",
        "PREFECT_SERVER_EPHEMERAL_STARTUP_TIMEOUT_SECONDS": "120",
        "PREFECT_LOGGING_LEVEL": "CRITICAL",
        "DO_NOT_TRACK": "1",
        "PYTHONPATH": os.pathsep.join([str(ROOT), os.environ.get("PYTHONPATH", "")]),
    }
    command = [sys.executable, "-c", SCRIPT, str(good), str(bad), json.dumps(TABLES)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False, timeout=400)
    assert done.returncode == 0, done.stderr
    found: list[object] = json.loads(done.stdout.splitlines()[-1])
    return found


def test_first_run(outcome: list[object]) -> None:
    """A run loads what is new, quarantines what is broken, and builds every table."""
    first = outcome[0]
    assert isinstance(first, dict)
    assert (first["accepted"], first["quarantined"]) == (1, 1)
    assert first["partitions"] >= len(TABLES)


def test_second_run(outcome: list[object]) -> None:
    """A second run accepts nothing; only windows, which end at the run's moment, are built again."""
    windows = sum(len(catalog.table(name).windows) for name in TABLES)
    assert outcome[1] == {"accepted": 0, "duplicates": 0, "quarantined": 0, "partitions": windows}


def test_failing_source(outcome: list[object]) -> None:
    """A run whose source cannot be read builds all the same, fails, and says which file is missing."""
    assert outcome[2] == "FAILED"
    assert "app.jsonl does not exist" in str(outcome[3])


def test_failing_table(outcome: list[object]) -> None:
    """A run with a table that cannot be built publishes the others, says so, and fails with what is wrong."""
    assert outcome[6] == "FAILED"
    assert "cannot be built" in str(outcome[7])
    assert "prices.csv" in str(outcome[7])
    texts = outcome[5]
    assert isinstance(texts, list)
    (text,) = [text for text in texts if "**Not built:** table llm_hourly cannot be built" in text]
    assert "| llm_ttft | 3 |" in text
    assert "Published as" in text


def test_tasks(outcome: list[object]) -> None:
    """Each source and each table is a task of its own, and the publish is one."""
    names = outcome[4]
    assert isinstance(names, list)
    assert {"ingest app", "build activity_hourly", "build job_totals", "publish"} <= set(names)


def test_summary(outcome: list[object]) -> None:
    """The run's artifact has the ledger and what was built."""
    texts = outcome[5]
    assert isinstance(texts, list)
    assert any("| app | 2 | 0 | 1 | 0 | 1 | 0 |" in text and "| llm_ttft | 3 |" in text for text in texts)


def test_package_without_prefect() -> None:
    """The package and the command import no Prefect."""
    modules = "tidemill.cli, tidemill.build, tidemill.ingest, tidemill.readers.client"
    script = f"import sys, {modules}; print('prefect' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"
