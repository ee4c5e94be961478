"""The checks that there are: the rules of every table, those of sql/checks, and the user's own in HOME/checks.

A check is one select of offending rows. Its file begins with a description and `-- severity: fail` or `warn`.
"""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Final

from tidemill.build.checks.rules import RULES
from tidemill.build.errors import CheckError
from tidemill.build.outcome import Severity
from tidemill.catalog import tables as catalog_tables
from tidemill.config.resources import sql_folder
from tidemill.errors import UsageError
from tidemill.lake import schema as lake_schema

if TYPE_CHECKING:
    from collections.abc import Iterable, Mapping
    from pathlib import Path

    from tidemill.home.home import Home

LAKE: Final = "lake"
"""The schema of the ledger and of every stored row, as `tidemill query` has it."""
_SEVERITY = re.compile(r"^--\s*severity:\s*(.*?)\s*$", re.MULTILINE)


@dataclass(frozen=True)
class Check:
    """One check: a select over some relations, empty of a rule for every table; `file` is what an error names.

    Of what a user's check names, `reads` has the relations that there are; the engine says what is wrong with others.
    """

    name: str
    description: str
    severity: Severity
    select: str = ""
    reads: frozenset[str] = frozenset()
    file: str = ""


def shipped() -> dict[str, Check]:
    """The rules, and the checks of sql/checks."""
    found = {rule.name: Check(rule.name, rule.description, Severity.FAIL) for rule in RULES}
    for path in sorted((sql_folder() / "checks").glob("*.sql")):
        found[path.stem] = _read(path, f"sql/checks/{path.name}")
    return found


def checks(home: Home) -> Mapping[str, Check]:
    """Every check by name: those that are shipped, then the user's.

    Raises:
        CheckError: a file is no check, or has the name of another.
    """
    found = shipped()
    there = {*catalog_tables.tables(), *catalog_tables.RECORD_RELATIONS, LAKE}
    for path in sorted(home.checks.glob("*.sql")):
        if path.stem in found:
            raise CheckError(f"{path}: there is a check {path.stem} already; give the file another name")
        check = _read(path, str(path))
        found[path.stem] = replace(check, reads=check.reads & there)
    return found


def readable() -> frozenset[str]:
    """Everything that a check may read, as SQL names it: tables, records, and the lake."""
    shown = lake_schema.TABLES.keys() - {"released"}
    return frozenset(
        {*catalog_tables.tables(), *catalog_tables.RECORD_RELATIONS, *(f"{LAKE}.{name}" for name in shown)}
    )


def definitions(home: Home) -> str:
    """The digest of every check that is a file: another one has not been asked of what is published."""
    found = {name: [check.severity.value, check.select] for name, check in checks(home).items() if check.select}
    return hashlib.sha256(json.dumps(found, sort_keys=True).encode()).hexdigest()


def known(home: Home, names: Iterable[str]) -> list[str]:
    """Those names, each once; UsageError names the nearest check to one that is none."""
    found = checks(home)
    for name in names:
        if name not in found:
            raise UsageError.unknown("check", name, found)
    return list(dict.fromkeys(names))


def _read(path: Path, file: str) -> Check:
    try:
        text = path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise CheckError(f"{path} cannot be read: {error}") from error
    severity = _SEVERITY.search(text)
    if not text.startswith("-- ") or text.startswith("-- severity:"):
        raise CheckError(f"{path}: its first line is no description; begin with: -- What must hold.")
    if severity is None or severity[1] not in set(Severity):
        raise CheckError(f"{path}: its header lacks a line `-- severity: fail` or `-- severity: warn`")
    return Check(
        name=path.stem,
        description=text.splitlines()[0].removeprefix("--").strip(),
        severity=Severity(severity[1]),
        select=text,
        reads=frozenset(catalog_tables.relations_of(text)),
        file=file,
    )
