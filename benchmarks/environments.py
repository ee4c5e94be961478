"""Where contenders run: the project's own environment, and those that `make bench` made for the peers."""

from __future__ import annotations

import importlib.util
import json
import os
import subprocess
import sys
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Sequence

ROOT: Final = Path(__file__).parents[1]
CONTENDERS: Final = Path(__file__).with_name("contenders")
HOME: Final = ROOT / "build" / "bench-home"
QUIET: Final = {
    "PYTHONPATH": "",
    "HOME": str(HOME),
    "DO_NOT_TRACK": "1",
    "DBT_SEND_ANONYMOUS_USAGE_STATS": "false",
    "SQLMESH__DISABLE_ANONYMIZED_ANALYTICS": "true",
    "RUNTIME__DLTHUB_TELEMETRY": "false",
}
"""Peers see nothing of the project, leave nothing in the home of whoever runs them, and report to nobody."""
_VERSIONS: Final = """
import importlib.metadata, json, sys
print(json.dumps({name: importlib.metadata.version(name) for name in sys.argv[1:]}))
"""


@dataclass(frozen=True)
class Environment:
    """An environment of Python: its interpreter, or why there is none."""

    name: str
    python: Path
    missing: str = ""

    def program(self, name: str) -> str:
        """A command that is installed there."""
        return str(self.python.with_name(name))

    def script(self, name: str, *arguments: object) -> list[str]:
        """A contender's script with its arguments."""
        return [str(self.python), str(CONTENDERS / f"{name}.py"), *map(str, arguments)]

    def versions(self, *names: str) -> str:
        """The versions of some packages, as a reader is told them."""
        return "" if self.missing else ", ".join(f"{name} {value}" for name, value in _versions(self, names).items())


def own() -> Environment:
    """The project's own environment, in which the harness runs."""
    return Environment("tidemill", Path(sys.executable))


@cache
def peers(name: str = "peers") -> Environment:
    """An environment that `make bench` made from benchmarks/<name>.lock, as far as it could."""
    folder = ROOT / "build" / f"bench-{name}"
    python = folder / "bin" / "python"
    if (folder / ".installed").exists():
        HOME.mkdir(parents=True, exist_ok=True)
        return Environment(name, python)
    log = ROOT / "build" / f"bench-{name}.log"
    said = log.read_text(encoding="utf-8", errors="replace").split("\n") if log.exists() else []
    why = next((line.strip() for line in said if "error" in line.lower()), "make bench installs it")
    return Environment(name, python, f"its environment is not installed: {why}")


def of_packages(*names: str) -> Environment:
    """Where a peer's packages are: the project's own environment, if it has them all, or else that of the peers."""
    return own() if all(importlib.util.find_spec(name) for name in names) else peers()


def tidemill(home: Path, *words: str) -> list[str]:
    """Our command over a home."""
    return [sys.executable, "-m", "tidemill", "--home", str(home), *words]


@cache
def _versions(environment: Environment, names: Sequence[str]) -> dict[str, str]:
    command = [str(environment.python), "-c", _VERSIONS, *names]
    done = subprocess.run(command, capture_output=True, check=True, env={**os.environ, **_own_path(environment)})
    found: dict[str, str] = json.loads(done.stdout)
    return found


def _own_path(environment: Environment) -> dict[str, str]:
    return {} if environment.name == "tidemill" else QUIET
