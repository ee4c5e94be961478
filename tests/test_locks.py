"""Who has to wait for another process is told for whom, and since when."""

from __future__ import annotations

import fcntl
import os
import re
import signal
import subprocess
import sys
import threading
import time
from contextlib import contextmanager
from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING, Final

import pytest

from tests.homes import event, home, process, tm, until_at_lock, write_settings
from tidemill.errors import LockTimeoutError
from tidemill.home import lock as home_lock

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tidemill import Tidemill

HOLDER: Final = """
import sys
from tidemill.home.home import Home
with Home.at(sys.argv[1]).lock(sys.argv[2], wait=60):
    print("held", flush=True)
    sys.stdin.read()
"""
"""A process that holds the lake or the tables until its standard input ends."""


def started(mill: Tidemill, what: str) -> subprocess.Popen[str]:
    """A process that is to hold the lake or the tables."""
    command = [sys.executable, "-c", HOLDER, str(mill.home.path), what]
    return subprocess.Popen(command, text=True, stdin=subprocess.PIPE, stdout=subprocess.PIPE)


def holds(one: subprocess.Popen[str]) -> None:
    """Wait until a process holds what it was started for."""
    assert one.stdout
    assert one.stdout.readline() == "held\n"


def ended(one: subprocess.Popen[str]) -> None:
    """Let a process go on to its end."""
    one.communicate()
    assert one.returncode == 0


@contextmanager
def holder(mill: Tidemill, what: str) -> Iterator[int]:
    """A process that holds the lake or the tables meanwhile; its id."""
    one = started(mill, what)
    holds(one)
    yield one.pid
    ended(one)


@contextmanager
def silent_holder(mill: Tidemill, what: str) -> Iterator[None]:
    """Somebody who holds it and has not said so."""
    with (mill.home.path / what / ".lock").open("a+") as file:
        fcntl.flock(file.fileno(), fcntl.LOCK_EX)
        yield


@pytest.fixture
def mill(tmp_path: Path) -> Tidemill:
    """A home with a record, whose commands give up quickly."""
    made = home(tmp_path, event("a", "2026-02-10T10:00:00Z"))
    write_settings(made, "lock_wait_seconds = 0.2\n")
    return made


@pytest.mark.parametrize(
    ("what", "command"),
    [("lake", ["quarantine", "list"]), ("lake", ["compact"]), ("tables", ["build"])],
    ids=["list", "compact", "build"],
)
def test_who_cannot_go_on_says_who_holds_it_and_since_when(mill: Tidemill, what: str, command: list[str]) -> None:
    """In one line, with the process and the moment, after as long as the settings say, with exit code 1."""
    before = datetime.now(UTC).replace(microsecond=0)
    with holder(mill, what) as pid:
        after = datetime.now(UTC)
        said = tm(*command, at=mill)
    assert said.code == 1
    found = re.fullmatch(
        rf"{re.escape(str(mill.home.path / what))} is held by process {pid} since (\S+Z); "
        "try again when it has finished",
        said.fault,
    )
    assert found
    assert before <= datetime.fromisoformat(found[1]) <= after
    assert tm(*command, at=mill).code == 0


def test_the_environment_may_say_how_long_is_waited(mill: Tidemill) -> None:
    """As of every setting; who is let in within that time goes on as if nothing had been."""
    write_settings(mill, "")
    with holder(mill, "lake") as pid:
        started_at = time.monotonic()
        said = tm("quarantine", "list", at=mill, environment={"TIDEMILL_LOCK_WAIT_SECONDS": "0.5"})
        waited = time.monotonic() - started_at
    assert said.fault.split(" since ")[0] == f"{mill.home.lake} is held by process {pid}"
    assert waited >= 0.5
    one = started(mill, "lake")
    holds(one)
    threading.Timer(0.3, one.communicate).start()
    assert tm("quarantine", "list", at=mill, environment={"TIDEMILL_LOCK_WAIT_SECONDS": "60"}).code == 0
    one.wait()


def test_the_holder_that_is_named_is_the_newest(mill: Tidemill) -> None:
    """Where the lock went on to another process while somebody waited."""
    first = started(mill, "lake")
    holds(first)
    environment = os.environ | {"TIDEMILL_LOCK_WAIT_SECONDS": "3"}
    waiting = process("--home", mill.home.path, "quarantine", "list", stdout=subprocess.PIPE, env=environment)
    until_at_lock(mill, "lake", waiting)
    waiting.send_signal(signal.SIGSTOP)
    ended(first)
    with holder(mill, "lake") as second:
        waiting.send_signal(signal.SIGCONT)
        _, err = waiting.communicate()
    assert waiting.returncode == 1
    gave_up = err.decode().splitlines()[-1]
    assert gave_up.startswith(f"tidemill: {mill.home.lake} is held by process {second} since ")


def test_a_holder_that_was_killed_is_not_waited_for(mill: Tidemill) -> None:
    """Its lock is free, and what it left behind is taken for nobody's word."""
    one = started(mill, "lake")
    holds(one)
    one.send_signal(signal.SIGKILL)
    one.communicate()
    text = (mill.home.lake / ".lock").read_text()
    assert f"process {one.pid} since" in text, "so it is what a killed one leaves"
    assert tm("quarantine", "list", at=mill).code == 0
    (mill.home.lake / ".lock").write_text(text)
    with silent_holder(mill, "lake"):
        said = tm("quarantine", "list", at=mill)
    assert said.fault == (
        f"{mill.home.lake} is held by another process than the last that said so ({text.strip()}), "
        "which does not run here; try again when it has finished"
    )


def test_a_holder_that_said_nothing_yet_is_given_a_moment(mill: Tidemill) -> None:
    """Then it is another process, whoever that is; one that says its name in time is named."""
    with silent_holder(mill, "lake"):
        said = tm("quarantine", "list", at=mill)
        assert said.fault == f"{mill.home.lake} is held by another process; try again when it has finished"
        word = f"process {os.getppid()} since 2026-02-10T10:00:00Z\n"
        threading.Timer(0.5, lambda: (mill.home.lake / ".lock").write_text(word)).start()
        said = tm("quarantine", "list", at=mill)
    assert said.fault.startswith(f"{mill.home.lake} is held by {word.strip()}; ")


def test_who_lets_go_leaves_no_name(mill: Tidemill) -> None:
    """Neither does one that fails."""
    with mill.home.lock("lake"):
        assert f"process {os.getpid()} since" in (mill.home.lake / ".lock").read_text()
    assert (mill.home.lake / ".lock").read_text() == ""
    with pytest.raises(ZeroDivisionError), mill.home.lock("lake"):
        raise ZeroDivisionError
    assert (mill.home.lake / ".lock").read_text() == ""


def test_since_is_when_it_got_the_lock(mill: Tidemill) -> None:
    """Not when it began to wait for it."""
    first = started(mill, "lake")
    holds(first)
    second = started(mill, "lake")
    until_at_lock(mill, "lake", second)
    time.sleep(1.1)
    let_go = datetime.now(UTC).replace(microsecond=0)
    ended(first)
    holds(second)
    since = (mill.home.lake / ".lock").read_text().split()[-1]
    ended(second)
    assert let_go <= datetime.fromisoformat(since) <= let_go + timedelta(seconds=60)


@pytest.mark.parametrize("notice", [0.05, 2.0])
def test_who_waits_says_so(
    mill: Tidemill, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture, notice: float
) -> None:
    """Once, before it gives up: for whom, since when, and how long at most; not where it waits for a moment."""
    monkeypatch.setattr(home_lock, "NOTICE_SECONDS", notice)
    with holder(mill, "lake") as holding, pytest.raises(LockTimeoutError), mill.home.lock("lake"):
        pass
    held = rf"{re.escape(str(mill.home.lake))} is held by process {holding} since \S+Z"
    assert [re.sub(held, "HELD", said) for said in caplog.messages] == ["waiting up to 0.2 s: HELD"] * (notice < 1)


def test_who_waits_at_a_terminal_reads_it(mill: Tidemill) -> None:
    """The command says it on stderr, without being asked to log anything."""
    environment = os.environ | {"TIDEMILL_LOCK_WAIT_SECONDS": "3"}
    with holder(mill, "tables") as holding:
        waiting = process("--home", mill.home.path, "build", stdout=subprocess.PIPE, env=environment)
        _, err = waiting.communicate()
    assert waiting.returncode == 1
    notice, gave_up = err.decode().splitlines()
    assert notice.startswith(f"waiting up to 3 s: {mill.home.tables} is held by process {holding} since ")
    assert "try again when it has finished" in gave_up
