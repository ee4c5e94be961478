"""The README's commands and Python are run as they stand."""

from __future__ import annotations

import os
import re
import subprocess
import sys
from pathlib import Path

import pytest

from tests.readers.servers import serving
from tidemill import Tidemill

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text(encoding="utf-8")


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, re.MULTILINE | re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder in which every shell block of the README has been run, one after the other."""
    path = tmp_path_factory.mktemp("readme")
    binaries = str(Path(sys.executable).parent)
    environment = os.environ | {"PATH": f"{binaries}{os.pathsep}{os.environ['PATH']}"}
    script = "set -euo pipefail\n" + "\n".join(_blocks("sh"))
    done = subprocess.run(
        ["bash", "-c", script], cwd=path, env=environment, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stderr
    (path / "stdout").write_text(done.stdout, encoding="utf-8")
    return path


def test_shell(folder: Path) -> None:
    """The README's shell commands run in their order, and load what they say."""
    printed = (folder / "stdout").read_text(encoding="utf-8")
    assert "not JSON" in printed
    assert str(folder / "data" / "tables" / "snapshots") in printed
    assert "calls" in printed


def test_python(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The README's Python runs over what its commands made."""
    monkeypatch.chdir(folder)
    values: dict[str, object] = {}
    for block in _blocks("python"):
        exec(compile(block, "README.md", "exec"), values)  # noqa: S102 - the README is ours
    mill = values["mill"]
    assert isinstance(mill, Tidemill)
    query = "SELECT tool_name, user_id, duration_ms FROM lake.events WHERE tool_name = 'search' AND user_id = 'ann'"
    found = mill.sql(query)
    assert found.fetchall() == [("search", "ann", 1500.0)]


def test_serve(folder: Path) -> None:
    """Every address that the README asks the server for answers, over what its commands made."""
    addresses = re.findall(r"^curl '(http://127\.0\.0\.1:8000)(\S+)'", README, re.MULTILINE)
    assert len(addresses) > 4
    with serving(Tidemill(folder / "data")) as server:
        for _, path in addresses:
            assert server.get(path).status_code == 200, path


def test_first_screen() -> None:
    """The first screen says what this is, for whom, and the two commands."""
    first = "\n".join(README.splitlines()[:20])
    for words in ("It is for teams", "make demo", "make test"):
        assert words in first


@pytest.mark.parametrize("target", re.findall(r"^    make (\w+)", README, re.MULTILINE))
def test_make(target: str) -> None:
    """The README's two commands are targets that make can name the steps of."""
    subprocess.run(["make", "--dry-run", target], cwd=ROOT, check=True, capture_output=True)


@pytest.mark.parametrize("path", sorted(set(re.findall(r"\]\((?!http|#)([^)]+)\)", README))))
def test_links(path: str) -> None:
    """Every file that the README links to is there."""
    assert (ROOT / path).exists()
