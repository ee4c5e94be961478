from __future__ import annotations

import errno
import json
import os
import signal
import subprocess
import sys
from typing import TYPE_CHECKING, Any

import pytest

from tests.faults import state
from tests.faults.kills import TRACER
from tests.faults.sample import spread

if TYPE_CHECKING:
    from pathlib import Path

pytestmark = pytest.mark.usefixtures("traceable")

SCRIPT = """
import os, sys, threading
os.chdir(sys.argv[1])
os.mkdir("one")
def write(name):
    with open(name, "w") as file:
        file.write("text")
for name in ("two", "three"):
    thread = threading.Thread(target=write, args=[name])
    thread.start()
    thread.join()
os.symlink("one", "four")
folder = os.open("one", os.O_RDONLY)
open("two").read()
os.rename("two", "five", dst_dir_fd=folder)
os.mkdir("/tmp/" + os.urandom(8).hex())
"""
CHANGES = [
    ("mkdir", "one"),
    *[("openat", "two"), ("write", "two"), ("openat", "three"), ("write", "three")],
    ("symlink", "four"),
    ("renameat", "one/five"),
]


def trace(folder: Path, at: int = 0, *, errno: int = 0, onwards: bool = False) -> dict[str, Any]:
    """Trace the script's changes of a folder; what the tracer says, with what the script said of errors."""
    asked = {"below": str(folder), "at": at, "errno": errno, "onwards": onwards, "answer": 1}
    run = subprocess.run(
        [*TRACER, json.dumps(asked), sys.executable, "-c", SCRIPT, folder],
        capture_output=True,
        text=True,
        check=True,
    )
    found: dict[str, Any] = json.loads(run.stdout)
    return found | {
        "changes": [(call, os.path.relpath(path, folder)) for call, path in found["changes"]],
        "err": run.stderr,
    }


def test_every_change_of_a_folder_is_counted_over_all_threads(folder: Path) -> None:
    """In the order in which they are made; what is read, and what lies elsewhere, is none."""
    found = trace(folder)
    assert found["changes"] == CHANGES
    assert (found["hit"], found["signal"], found["code"]) == (0, 0, 0)


@pytest.mark.parametrize("number", range(1, len(CHANGES) + 1))
def test_a_kill_comes_before_the_change(folder: Path, number: int) -> None:
    """What was changed before stands, that change and all that follows do not."""
    found = trace(folder, number)
    assert found["changes"] == CHANGES[:number]
    assert (found["hit"], found["signal"]) == (1, signal.SIGKILL)
    names = {"one", "two", "three", "four", "one/five"}
    there = {name for name in names if os.path.lexists(folder / name)}
    made = {1: set(), 2: {"one"}, 3: {"one", "two"}, 4: {"one", "two"}, 5: {"one", "two", "three"}}
    assert there == made.get(number, {"one", "two", "three"} | ({"four"} if number == len(CHANGES) else set()))
    if number > 3:
        assert (folder / "two").read_text() == "text"
    if number == 5:
        assert (folder / "three").read_text() == ""


def test_a_refused_call_is_not_made(folder: Path) -> None:
    """Its caller gets the error that was asked for."""
    found = trace(folder, 6, errno=errno.EACCES)
    assert found["hit"] == 1
    assert "PermissionError: [Errno 13] Permission denied: 'one' -> 'four'" in found["err"]
    assert not os.path.lexists(folder / "four")


def test_a_full_disk_refuses_all_that_grows_from_then_on(folder: Path) -> None:
    """So many calls: neither the file that is open nor another can be written."""
    found = trace(folder, 3, errno=errno.ENOSPC, onwards=True)
    assert found["hit"] > 1
    assert found["err"].count("OSError: [Errno 28] No space left on device") >= 2
    assert not (folder / "three").exists()


def test_states_that_differ_are_told(tmp_path: Path) -> None:
    """A row more, a row less, another value, a table less: none of them is taken for the same."""
    one = {"a": [(1, "x"), (2, "y")], "b": []}
    others = [{**one, "a": rows} for rows in ([(1, "x")], [(1, "x"), (2, "z")], [(1, "x"), (2, "y"), (2, "y")])]
    assert state.differences(one, {**one}) == []
    assert [len(state.differences(one, other)) for other in others] == [1, 1, 1]
    assert len(state.differences(one, {"b": []})) == 1
    assert tmp_path.exists()


def test_a_sample_has_every_kind_of_call() -> None:
    """And of each step as many as it was given, if it has so many."""
    made = {"a": [("write", "")] * 9 + [("link", "")], "b": [("write", "")] * 5 + [("mkdir", "")] * 2}
    found = spread(made, {"a": 4, "b": 3})
    assert {step: len(numbers) for step, numbers in found.items()} == {"a": 4 - 1, "b": 3}
    assert 10 in found["a"]
    assert {made["b"][number - 1][0] for number in found["b"]} == {"write", "mkdir"}
