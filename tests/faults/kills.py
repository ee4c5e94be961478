"""One kill: a step begins, dies before its n-th change of the file system or at some moment, and is done again."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass, field
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from tests.faults import state
from tests.faults.scenario import AS_OF, FEW, Place, Step, command, environment

if TYPE_CHECKING:
    from tests.faults.state import State

CHECKOUT: Final = str(Path(__file__).parents[2])
TRACER: Final = (
    *(sys.executable, "-I", "-S", "-c"),
    f"import sys; sys.path.insert(0, {CHECKOUT!r}); from tests.faults.tracer import main; main()",
)
"""The tracer, started without anything that is installed."""
BUILT_AFTER: Final = {"first ingest", "ingest", "retry", "compact", "prune"}
"""Steps after which tables are built, to be compared with those of the undisturbed run."""
UNIQUE: Final = re.compile(r"[0-9a-f]{32}|[0-9a-f]{8}-[0-9a-f-]{27}|\d{8}T\d{12}-[0-9a-f]{8}|journal-\d+|-[0-9a-f]{16}")


@dataclass(frozen=True)
class Traced:
    """How a traced command ended: its changes (call and path) in their order, and how many were hit by the fault."""

    changes: list[tuple[str, str]]
    hit: int
    signal: int
    code: int
    err: str


def traced(place: Place, arguments: tuple[str, ...], at: int = 0, *, errno: int = 0, onwards: bool = False) -> Traced:
    """Run the command; the `at`-th change of the home is its last, or fails. `onwards`: and so does all that grows."""
    answer, written = os.pipe()
    asked = {"below": str(place.home), "at": at, "errno": errno, "onwards": onwards, "answer": written}
    with subprocess.Popen(
        [*TRACER, json.dumps(asked), *command(place, arguments)],
        pass_fds=[written],
        env=environment(place),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
    ) as run:
        os.close(written)
        with os.fdopen(answer, "rb") as said:
            text = said.read()
        err = run.communicate()[1].decode()
    if not text:
        raise RuntimeError(f"the tracer failed: {err}")
    found: dict[str, Any] = json.loads(text)
    changes = [(call, path) for call, path in found.pop("changes")]
    return Traced(changes=changes, err=err, **found)


@dataclass
class Case:
    """A step in a place, with what it was before and is after an undisturbed run."""

    place: Place
    step: Step
    seen: Counter[str] = field(default_factory=Counter)

    @cached_property
    def changes(self) -> list[tuple[str, str]]:
        """The changes that the undisturbed step makes."""
        self.place.restore(f"before {self.step.name}")
        run = traced(self.place, self.step.arguments)
        if run.code:
            raise RuntimeError(f"{self.step.name} failed undisturbed: {run.err}")
        return run.changes

    @cached_property
    def before(self) -> State:
        """What is published before it; nothing before a first build."""
        self.place.restore(f"before {self.step.name}")
        return self.published().get("current", {})

    @cached_property
    def after(self) -> tuple[State, State]:
        """What is published and stored after it."""
        self.place.restore(f"after {self.step.name}")
        return self.published().get("current", {}), state.stored(self.place.home)

    @cached_property
    def built(self) -> State:
        """What is published when tables are built after it."""
        self.place.restore(f"after {self.step.name}")
        self.place.do("build", *FEW, "--as-of", AS_OF)
        return self.published()["current"]

    def published(self) -> dict[str, State]:
        """What is published in its place now."""
        return state.published(self.place.home, now=self.step.now)

    def kill_at(self, number: int, *, build: bool = False) -> tuple[str, list[str]]:
        """Kill it before its n-th change; where that was (call and path), and what is wrong then.

        A run may make a few changes less than another, where threads make the same folder: then it is its last.
        """
        _ = self.before, self.after
        self.place.restore(f"before {self.step.name}")
        run = traced(self.place, self.step.arguments, number)
        if run.code == 0 and 0 < len(run.changes) < number:
            return self.kill_at(len(run.changes), build=build)
        if run.signal != signal.SIGKILL:
            return "", [f"was not killed: {len(run.changes)} changes, exit code {run.code}, {run.err}"]
        call, path = run.changes[-1]
        return f"{call} {where(self.place, path)}", self.wrong(build=build)

    def kill_after(self, seconds: float, *, build: bool = False) -> tuple[bool, list[str]]:
        """Kill it after some time; whether it still lived, and what is wrong then."""
        _ = self.before, self.after
        self.place.restore(f"before {self.step.name}")
        quiet: dict[str, Any] = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        run = subprocess.Popen(command(self.place, self.step.arguments), env=environment(self.place), **quiet)
        time.sleep(seconds)
        run.kill()
        return run.wait() == -signal.SIGKILL, self.wrong(build=build)

    def wrong(self, *, build: bool) -> list[str]:
        """What readers see that is not whole; then, when it is done again, what is not as after an undisturbed run."""
        found = self._half_seen()
        try:
            self.place.do(*self.step.arguments)
        except RuntimeError as error:
            return [*found, f"again: {error}"]
        shown, stored = self.after
        home = self.place.home
        for pointer, now in self.published().items():
            found += [f"then {pointer} has other {line}" for line in state.differences(now, shown)]
        found += [f"then the lake has other {line}" for line in state.differences(state.stored(home), stored)]
        found += [f"then there is still {name}" for name in state.leftovers(home)]
        if build and self.step.name in BUILT_AFTER:
            expected = self.built if "built" in self.__dict__ else self._keeping_here()
            self.place.do("build", *FEW, "--as-of", AS_OF)
            now = self.published()["current"]
            found += [f"then a build has other {line}" for line in state.differences(now, expected)]
        return found

    def _keeping_here(self) -> State:
        """What is built after an undisturbed run, while the place stays as it is."""
        self.place.keep("aside")
        expected = self.built
        self.place.restore("aside")
        subprocess.run(["rm", "-rf", self.place.folder / "aside"], check=True)
        return expected

    def _half_seen(self) -> list[str]:
        """What is published now must be all that was before, or all that is after."""
        shown = self.published()
        if not shown:
            self.seen["nothing"] += 1
            return ["nothing is published any more"] if self.before else []
        found = []
        for pointer, now in shown.items():
            kind = "before" if now == self.before else "after" if now == self.after[0] else ""
            if kind:
                self.seen[kind] += 1
            else:
                found += [f"{pointer} shows neither: {line}" for line in state.differences(now, self.before)]
        return found


def where(place: Place, path: str) -> str:
    """A path in a home, without what is another in each run."""
    return UNIQUE.sub("*", path.removeprefix(f"{place.home}/"))
