"""Every other reader fuzzed with hypothesis: documents, Parquet, compressed files, and formats of SQL."""

from __future__ import annotations

import gzip
import io
import json
import tempfile
from pathlib import Path
from random import Random
from typing import TYPE_CHECKING, Any, Final

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.fuzz import judge, lines
from tidemill.config.resources import sql_folder
from tidemill.records import EVENT

if TYPE_CHECKING:
    from collections.abc import Callable

    from tests.conftest import Lake

few = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.too_slow],
    derandomize=True,
    phases=[Phase.generate],
)
"""The same examples each time, as a sample of the ordinary tests; none is made smaller, which takes minutes."""
OWN: Final = """-- A format that takes anything as it comes.
-- record: event
SELECT line, timestamp, coalesce(type, 'none') AS type, name, extra AS attributes FROM raw
WHERE id IS DISTINCT FROM 'e2'
UNION ALL SELECT line, timestamp, 'twice', id, NULL FROM raw WHERE id = 'e1'
-- record: metric
SELECT line, timestamp, type AS name, duration_ms AS value FROM raw WHERE duration_ms IS NOT NULL
"""

TEXTS = st.one_of(st.text(max_size=20), st.sampled_from(["", "2026-02-10", "1e3", "true", "NaN", "{}", "[1]", "event"]))
NUMBERS = st.one_of(st.integers(-(2**70), 2**70), st.floats(), st.sampled_from([0, -0.0, 12.5, 1e12, 1e15, 1e-7]))
VALUES = st.recursive(
    st.one_of(st.none(), st.booleans(), NUMBERS, TEXTS),
    lambda inner: st.one_of(st.lists(inner, max_size=3), st.dictionaries(TEXTS, inner, max_size=3)),
    max_leaves=6,
)
MOMENTS = st.one_of(
    st.datetimes().map(lambda moment: moment.isoformat()),
    st.sampled_from(["2026-02-10T12:00:00Z", "2026-02-10 12:00:00.1234567+05:30", "2026-02-10"]),
)
FIELDS = st.sampled_from([*EVENT.names, "attributes", "record", "extra", "Line", "é"])
OBJECTS = st.builds(
    lambda moment, kind, others: {"timestamp": moment, "type": kind} | others,
    MOMENTS,
    st.sampled_from(["question", "error_occurred", "x"]),
    st.dictionaries(FIELDS, VALUES, max_size=4),
)
COLUMNS: Final[dict[str, st.SearchStrategy[Any]]] = {
    "timestamp": MOMENTS,
    "type": st.sampled_from(["question", "x"]),
    "name": TEXTS,
    "duration_ms": st.floats(width=32),
    "input_tokens": st.integers(-5, 2**40),
    "success": st.booleans(),
    "id": st.sampled_from(["a", "b"]),
    "labels": st.lists(st.text(max_size=3), max_size=2),
    "line": st.integers(0, 9),
    "value": st.floats(),
}


def in_a_home(check: Callable[[Lake], None]) -> None:
    """Run a check in a home of its own: hypothesis has many examples to a test."""
    with tempfile.TemporaryDirectory() as folder:
        check(judge.home_in(Path(folder)))


@few
@given(st.lists(OBJECTS, min_size=1, max_size=30))
def test_json_lines_read_as_python_does(objects: list[dict[str, Any]]) -> None:
    """Whatever stands in which field, each line's fate and every stored value is what plain Python says."""
    made = [json.dumps(one, ensure_ascii=number % 2 == 0).encode() for number, one in enumerate(objects)]
    in_a_home(lambda lake: _judged(lake, made))


def _judged(lake: Lake, made: list[bytes]) -> None:
    assert judge.judge_lines(lake, {"a.jsonl": made}).lines == len(made)


@few
@given(st.lists(st.one_of(OBJECTS, VALUES), max_size=20), st.sampled_from(["", ".gz", ".zst"]), st.integers(0, 2))
def test_documents_are_read_by_their_elements(elements: list[Any], suffix: str, indent: int) -> None:
    """Each element of an array is a record, or refused with its text."""

    def check(lake: Lake) -> None:
        content = json.dumps(elements, indent=indent or None).encode()
        tally = judge.judge_any(lake, {f"a.json{suffix}": content})
        assert (tally.faults, tally.lines) == ([], len(elements))

    in_a_home(check)


@st.composite
def parquet(draw: st.DrawFn) -> bytes:
    """A Parquet file of some columns, nullable, in some version, encoding and compression."""
    names = draw(st.lists(st.sampled_from(sorted(COLUMNS)), min_size=1, unique=True))
    rows = draw(st.integers(0, 12))
    table = pa.table(
        {name: draw(st.lists(st.one_of(st.none(), COLUMNS[name]), min_size=rows, max_size=rows)) for name in names}
    )
    target = io.BytesIO()
    pq.write_table(
        table,
        target,
        compression=draw(st.sampled_from(["none", "snappy", "gzip", "zstd"])),
        use_dictionary=draw(st.booleans()),
        data_page_version=draw(st.sampled_from(["1.0", "2.0"])),
        version=draw(st.sampled_from(["1.0", "2.4", "2.6"])),
        row_group_size=draw(st.sampled_from([1, 3, 100])),
    )
    return target.getvalue()


@few
@given(parquet())
def test_parquet_is_read_whole(content: bytes) -> None:
    """Every row is a record, whatever columns and types there are."""

    def check(lake: Lake) -> None:
        tally = judge.judge_any(lake, {"a.parquet": content})
        assert (tally.faults, tally.lines) == ([], pq.read_metadata(io.BytesIO(content)).num_rows)

    in_a_home(check)


@st.composite
def damaged(draw: st.DrawFn, contents: st.SearchStrategy[bytes]) -> bytes:
    """A file's bytes, some of them changed, left out or repeated."""
    content = bytearray(draw(contents))
    random = draw(st.randoms(use_true_random=False))
    for _ in range(draw(st.integers(1, 6))):
        place = random.randrange(len(content) or 1)
        match random.randrange(3):
            case 0 if content:
                content[place] ^= 1 << random.randrange(8)
            case 1:
                del content[place : place + random.choice((1, 8, 1 << 20))]
            case _:
                content[place:place] = content[place : place + 8]
    return bytes(content)


def _packed(suffix: str) -> st.SearchStrategy[bytes]:
    return st.integers(0, 99).map(lambda seed: _compressed(suffix, Random(seed)))


def _compressed(suffix: str, random: Random) -> bytes:
    made = [lines.mutated(random, random.choice(lines.SEEDS), lines.SEEDS) for _ in range(40)]
    content = b"\n".join(made)
    return gzip.compress(content) if suffix == ".gz" else pa.compress(content, codec="zstd", asbytes=True)


@pytest.mark.parametrize("name", ["a.parquet", "a.jsonl.gz", "a.json.gz", "a.csv.gz", "a.jsonl.zst", "a.csv.zst"])
def test_a_damaged_file_is_refused_whole_or_read(name: str) -> None:
    """One line says that it cannot be read, and nothing of it is loaded; or what it holds is accounted for."""
    whole = parquet() if name == "a.parquet" else _packed(name[-4:].lstrip("lnv"))

    @settings(few, max_examples=8)
    @given(damaged(whole))
    def check(content: bytes) -> None:
        in_a_home(lambda lake: _refused_or_read(lake, name, content))

    check()


def _refused_or_read(lake: Lake, name: str, content: bytes) -> None:
    path = lake.put(name.removesuffix(".gz"), content)
    path = path.rename(path.with_name(name))
    (report,) = lake.mill.ingest(path, record="event")
    lake.assert_adds_up()
    if report.failures:
        (failure,) = report.failures
        assert report.loads == []
        assert str(path) in str(failure)
        assert "\n" not in str(failure)
    assert list(lake.mill.home.staging.iterdir()) == []


SHIPPED: Final = sorted((sql_folder() / "records").glob("*.sql"))


@pytest.mark.parametrize("form", ["own", *(path.stem for path in SHIPPED)])
@pytest.mark.parametrize("name", ["a.jsonl", "a.jsonl.zst", "a.json", "a.csv"])
def test_a_format_accounts_for_every_raw_record(tmp_path: Path, form: str, name: str) -> None:
    """Whatever its select makes of mutated records, and however many, each is accepted, refused, known or ignored."""
    random = Random(f"{form} {name}")
    seeds, tokens = (lines.CSV_SEEDS, lines.CSV_TOKENS) if name == "a.csv" else (lines.SEEDS, lines.TOKENS)
    made = [lines.mutated(random, random.choice(seeds).replace(b"\n", b" "), seeds, tokens) for _ in range(600)]
    lake = judge.home_in(tmp_path)
    if form == "own":
        form = str(lake.put("own.sql", OWN))
    content = lines.CSV_HEADER + b"\n".join(made) if name == "a.csv" else b"\n".join(made)
    if name == "a.json":
        content = b"[" + b",".join(line for line in made if _is_json(line)) + b"]"
    tally = judge.ingest(lake, {name: content}, format=form)
    assert tally.faults == []
    assert tally.lines > 100


def _is_json(line: bytes) -> bool:
    try:
        json.dumps(
            json.loads(line, object_pairs_hook=list), ensure_ascii=False
        ).encode()  # half a surrogate pair is none
    except (ValueError, RecursionError):
        return False
    return True
