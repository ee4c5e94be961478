from __future__ import annotations

import json
from typing import TYPE_CHECKING

import pytest

from tests.conftest import Lake, event
from tests.homes import tm
from tidemill import Tidemill

if TYPE_CHECKING:
    from pathlib import Path

LONG = "x" * 200
BAD = (
    {"timestamp": "2026-02-10T10:00:00Z", "type": "question", "duration_ms": "much", "text": LONG},
    {"timestamp": "2026-02-10T10:00:00Z", "type": "question", "duration_ms": -1},
    {"timestamp": "2026-02-10T10:00:00Z", "type": "question", "duration_ms": "more"},
)


@pytest.fixture
def mill(tmp_path: Path) -> Tidemill:
    """A home that refused three records, and accepted one."""
    made = Tidemill(tmp_path / "home")
    file = tmp_path / "a.jsonl"
    good = {"timestamp": "2026-02-10T10:00:00Z", "type": "question"}
    file.write_text("".join(json.dumps(line) + "\n" for line in (*BAD, good)))
    said = tm("ingest", file, "--record", "event", at=made)
    why = "2 duration_ms not a number, 1 duration_ms out of range"
    assert said.err.splitlines()[-1] == f"files: 3 records were quarantined ({why}); see: tidemill quarantine list"
    return made


def test_what_was_refused_is_listed_before_any_build(mill: Tidemill) -> None:
    """In the order of lines, with the beginning of each text."""
    said = tm("quarantine", "list", "--format", "json", at=mill)
    found = json.loads(said.out)
    assert [(row["line"], row["field"], row["reason"]) for row in found] == [
        (1, "duration_ms", "not a number"),
        (2, "duration_ms", "out of range"),
        (3, "duration_ms", "not a number"),
    ]
    assert found[0]["raw"].endswith("…")
    assert len(found[0]["raw"]) == 81


def test_reasons_are_counted(mill: Tidemill) -> None:
    """The most frequent first."""
    said = tm("quarantine", "list", "--count", "--format", "csv", at=mill)
    assert said.out.splitlines() == [
        "source,record,field,reason,records",
        "files,event,duration_ms,not a number,2",
        "files,event,duration_ms,out of range,1",
    ]
    assert mill.quarantine(counted=True)["records"].to_list() == [2, 1]


def test_texts_are_exported_whole(mill: Tidemill, tmp_path: Path) -> None:
    """As JSON lines on standard output, or as what the file's name says."""
    said = tm("quarantine", "export", at=mill)
    assert [json.loads(json.loads(line)["raw"]) for line in said.out.splitlines()] == list(BAD)
    assert tm("quarantine", "export", "--output", tmp_path / "refused.csv", at=mill).code == 0
    assert (tmp_path / "refused.csv").read_text().startswith("load_id,source,uri,line,record,field,reason,raw\n")


def test_a_retry_takes_what_is_good_now_and_leaves_the_rest(mill: Tidemill) -> None:
    """Twice counts once."""
    said = tm("quarantine", "retry", at=mill)
    assert said.code == 0
    assert "nothing was accepted that had been refused" in said.err
    assert mill.quarantine(counted=True)["records"].to_list() == [2, 1]
    assert tm("quarantine", "retry", "--reason", "no such reason", at=mill).code == 0


def test_an_empty_quarantine_is_an_empty_list(tmp_path: Path) -> None:
    """Of a home that there is not, too."""
    said = tm("quarantine", "list", at=Tidemill(tmp_path / "nowhere"))
    assert (said.code, said.err) == (0, "no rows\n")
    assert said.out.split() == ["load_id", "source", "uri", "line", "record", "field", "reason", "raw"]


def test_a_retry_after_a_format_changed_counts_once(home: Lake) -> None:
    """What the mended format maps is accepted and leaves the quarantine; a second retry adds nothing."""
    wrong = "-- record: event\nSELECT line, moment AS timestamp, did AS type FROM raw\n"
    form = home.put("app.sql", wrong)
    lines = [{"epoch": 1770746400 + number, "did": "search"} for number in range(3)]
    path = home.write("a.jsonl", *lines, {"epoch": "soon", "did": "search"})
    assert home.ingest(path, format=str(form)) == {"records_read": 4, "quarantined": 4}
    form.write_text(wrong.replace("moment AS", "to_timestamp(TRY_CAST(epoch AS BIGINT)) AS"))
    assert home.counts(home.mill.retry()) == {"records_read": 4, "accepted": 3, "quarantined": 1}
    assert home.refusals() == [(4, "timestamp", "missing")]
    assert home.counts(home.mill.retry()) == {}
    assert home.column("SELECT count(*) FROM events") == [3]
    assert home.mill.quarantine(counted=True)["records"].to_list() == [1]


def test_a_retry_after_the_contract_changed_counts_once(home: Lake, monkeypatch: pytest.MonkeyPatch) -> None:
    """What an older version refused, and this one takes, is accepted by one retry, and by no other."""
    with monkeypatch.context() as older:
        older.setattr("tidemill.ingest.sql.validation.MAX_TEXT_BYTES", 10)
        path = home.write("a.jsonl", event(text=LONG, name="a"), event(text=LONG, name="b"), event(name="c"))
        assert home.ingest(path, record="event") == {"records_read": 3, "accepted": 1, "quarantined": 2}
    assert [reason for _, _, reason in home.refusals()] == ["too long", "too long"]
    said = tm("quarantine", "retry", "--reason", "too long", at=home.mill)
    assert said.code == 0
    assert home.refusals() == []
    assert home.counts(home.mill.retry()) == {}
    assert home.column("SELECT name FROM events ORDER BY name") == ["a", "b", "c"]
    assert tm("quarantine", "list", "--count", at=home.mill).err == "no rows\n"
