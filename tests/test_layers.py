"""Imports between packages, read from the source: for types and inside functions, too."""

from __future__ import annotations

import ast
import shutil
from graphlib import TopologicalSorter
from pathlib import Path
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from collections.abc import Iterator

SOURCE: Final = Path(__file__).parents[1] / "src" / "tidemill"
LAYERS: Final = (
    ("cli",),
    ("api", "server"),
    ("maintenance", "reports", "alerts"),
    ("ingest", "build", "readers"),
    ("snapshots", "query"),
    ("catalog",),
    ("lake", "sources"),
    ("engine",),
    ("home",),
    ("config",),
    ("records", "errors"),
)
RANK: Final = {name: -level for level, names in enumerate(LAYERS) for name in names}
BESIDE: Final = frozenset({"simulation", "track"})


def imports(path: Path) -> Iterator[str]:
    """Return the modules that a file imports, wherever it does."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def wrong_imports(source: Path) -> list[str]:
    """Return the imports that do not go down."""
    wrong = []
    for path in sorted(source.rglob("*.py")):
        own = path.relative_to(source).parts[0].removesuffix(".py")
        for name in imports(path):
            top, _, rest = name.partition(".")
            other = rest.partition(".")[0]
            if top != "tidemill" or other == own:
                continue
            upward = own in RANK and other in RANK and RANK[other] >= RANK[own]
            beside = other in BESIDE and own != "cli"
            if upward or beside or own == "track":
                wrong.append(f"{path.relative_to(source)} imports {name}")
    return wrong


def files_imported(source: Path) -> dict[str, set[str]]:
    """Return for each module of the package the others that it imports."""
    modules = {}
    for path in source.rglob("*.py"):
        parts = ("tidemill", *path.relative_to(source).with_suffix("").parts)
        modules[".".join(parts).removesuffix(".__init__")] = path
    imported = {}
    for module, path in modules.items():
        names = {name if name in modules else name.rpartition(".")[0] for name in imports(path)}
        # The package itself holds the version and a lazy name only.
        imported[module] = (names & modules.keys()) - {module, "tidemill"}
    return imported


def test_imports_go_down() -> None:
    """No package imports one above it or beside it, not even for a type."""
    assert wrong_imports(SOURCE) == []


def test_modules_import_each_other_in_no_circle() -> None:
    """Sorting the modules by their imports fails at a circle."""
    assert list(TopologicalSorter(files_imported(SOURCE)).static_order())


def test_every_package_has_its_layer() -> None:
    """A new package must be put into the list above."""
    packages = {path.parent.name for path in SOURCE.glob("*/__init__.py")}
    assert packages <= RANK.keys() | BESIDE


def test_planted_upward_imports_are_found(tmp_path: Path) -> None:
    """The rules fail where they should: for a type, inside a function, and to the side."""
    source = tmp_path / "tidemill"
    shutil.copytree(SOURCE, source)
    planted = {
        "home/planted.py": "def f() -> None:\n    from tidemill.build import run\n",
        "catalog/planted.py": "if TYPE_CHECKING:\n    from tidemill.api import Tidemill\n",
        "lake/planted.py": "from tidemill.sources import files\n",
        "ingest/planted.py": "import tidemill.simulation.simulate\n",
    }
    for name, text in planted.items():
        (source / name).write_text(text)
    assert wrong_imports(source) == [
        "catalog/planted.py imports tidemill.api.Tidemill",
        "home/planted.py imports tidemill.build.run",
        "ingest/planted.py imports tidemill.simulation.simulate",
        "lake/planted.py imports tidemill.sources.files",
    ]
