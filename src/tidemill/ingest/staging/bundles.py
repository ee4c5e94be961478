"""Many small files of JSON lines read as one: a bundle carries their loads, told apart by where lines stand."""

from __future__ import annotations

import codecs
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final

from tidemill.ingest.load import of_portion
from tidemill.lake import relations
from tidemill.sources.discovery import is_plain
from tidemill.sources.files import Layout, Portion, Seen, reading

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from duckdb import DuckDBPyConnection

    from tidemill.ingest.load import Load

MOST_BYTES: Final = 1 << 20
"""A larger file is read by itself."""
MOST_BUNDLED: Final = 64 << 20
MOST_LOADS: Final = 2_000


def fits(load: Load) -> bool:
    """Whether a load can be carried by a bundle: a small plain file of native JSON lines, read from its beginning."""
    portion = load.portion
    return (
        load.format.native
        and load.layout is Layout.LINES
        and portion is not None
        and portion.compression == "none"
        and portion.whole
        and load.bytes <= MOST_BYTES
        and is_plain(portion.path)
    )


@contextmanager
def bundle(loads: Sequence[Load], staging: Path) -> Iterator[Load | None]:
    """The load that carries some loads, to be staged within; None where their lines cannot be told apart."""
    with TemporaryDirectory(dir=staging) as folder:
        path = Path(folder, "lines.jsonl")
        members = _write(loads, path)
        carrier = _over(path, members, staging) if members else None
        for load in loads:
            load.carrier = carrier
        yield carrier


def _write(loads: Sequence[Load], path: Path) -> list[tuple[Load, int]]:
    """Write the lines of some loads into one file; each load with the line after which it begins."""
    found, lines = [], 0
    with path.open("wb") as together:
        for load in loads:
            content = _content(load)
            if b"\r" in content:  # the engine may take it for the end of a line
                return []
            together.write(content)
            found.append((load, lines))
            lines += content.count(b"\n")
    return found


def _over(path: Path, members: Sequence[tuple[Load, int]], staging: Path) -> Load:
    size = path.stat().st_size
    whole = Portion(path, Layout.LINES, "none", 0, size, 0, "", "", {}, Seen(size, 0, 0, size, "", ""))
    first = members[0][0]
    return of_portion(first.source, first.format, whole, staging, members)


def remember(connection: DuckDBPyConnection, carrier: Load) -> None:
    """Fill `members` with the loads that a bundle carries, and after which line each of them begins."""
    columns = zip(*((load.load_id, load.uri, start) for load, start in carrier.members), strict=True)
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE members AS SELECT unnest($1) AS load_id, unnest($2) AS uri, unnest($3) AS start",
        [list(values) for values in columns],
    )


def told_apart(rows: str, line: str = "s.line - m.start", **others: str) -> str:
    """The select of a bundle's rows, each with the load that it is of, and the line that it has there."""
    replaced = {"load_id": "m.load_id", "line": line} | others
    columns = ", ".join(f"{value} AS {name}" for name, value in replaced.items())
    return f"SELECT s.* REPLACE ({columns}) FROM ({rows}) s ASOF JOIN members m ON s.line > m.start"


def count(connection: DuckDBPyConnection, carrier: Load) -> None:
    """Tell each load of a staged bundle how many records it has, and how many of them were refused."""
    kept = [str(path) for path in carrier.folder.glob("*/verdict=[aw]*/**/*.parquet")]
    counted = {}
    for name, paths in (("kept", kept), ("refused", [str(carrier.refused)])):
        counted[name] = relations.rows_by_load(connection, paths) if paths else {}
    for load, _ in carrier.members:
        load.quarantined = counted["refused"].get(load.load_id, 0)
        load.rows = load.records_read = counted["kept"].get(load.load_id, 0) + load.quarantined


def _content(load: Load) -> bytes:
    """A file's bytes, which end in a newline."""
    path = Path(load.uri)
    with reading(path):
        content = path.read_bytes()[: load.bytes].removeprefix(codecs.BOM_UTF8)
    return content if content.endswith(b"\n") else content + b"\n"
