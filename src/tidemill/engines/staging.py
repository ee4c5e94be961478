"""One load, read and checked beside the lake: its records as Parquet by verdict and day, its refusals with their text."""

from __future__ import annotations

import csv
import hashlib
import io
import shutil
import uuid
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.engines import contract as contract_sql
from tidemill.engines import raw, settle
from tidemill.engines.quoting import identifier, literal, literals
from tidemill.errors import FormatError, SourceError, UsageError
from tidemill.formats import fields
from tidemill.records import CONTRACTS, EVENT, JOB, METRIC, QUARANTINE
from tidemill.sources.files import MAX_DOCUMENT_BYTES, MAX_RAW_BYTES, Layout, check_whole, one_day, opened, reading, spool

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.formats import Format
    from tidemill.records import Contract
    from tidemill.settings import Source
    from tidemill.sources.files import Portion

LARGE_BYTES: Final = 128 << 20
ROWS_A_PARTITION: Final = 49_152
SHARED_RAW_BYTES: Final = 65_536
"""A longer text that several refused records share stands with the first of them only."""


@dataclass
class Load:
    """One load on its way into the lake."""

    source: Source
    format: Format
    load_id: str
    uri: str
    bytes: int
    content_hash: str
    folder: Path
    portion: Portion | None = None
    parts: Mapping[str, str] = field(default_factory=dict)
    kind: str = "ingest"
    texts: str = ""
    origin: str = ""
    started_at: datetime = field(default_factory=lambda: datetime.now(UTC))
    lenient: bool = False
    readable: str = ""
    spooled: bool = False
    records_read: int = 0
    expanded: int = 0
    ignored: int = 0
    quarantined: int = 0
    rows: int = 0

    def staged(self, contract: Contract, verdict: str) -> list[Path]:
        """The files of one record and verdict."""
        return sorted((self.folder / contract.table / f"verdict={verdict}").rglob("*.parquet"))

    @property
    def heads(self) -> Path:
        """How often the head of a grown file holds the records without an id that its tail repeats; may be missing."""
        return self.folder / "heads.parquet"

    @property
    def bad_lines(self) -> Path:
        """The lines that cannot be read as text; missing unless the file had to be spooled."""
        return self.folder / "bad_lines"

    @property
    def rejected(self) -> Path:
        """Which rows of a CSV file cannot be split into columns; missing until it was read once."""
        return self.folder / "rejected"

    @property
    def fast(self) -> bool:
        """Whether events and metrics are staged as they will lie in the lake, without their lines."""
        return self.format.native and self.layout is Layout.LINES

    @property
    def large(self) -> bool:
        """Whether it is staged and settled day by day; a small one is settled in one go, with others."""
        limit = LARGE_BYTES if self.portion is None or self.portion.compression == "none" else LARGE_BYTES // 8
        return self.bytes >= limit

    @property
    def layout(self) -> Layout:
        """How the raw records stand; texts from the quarantine are lines."""
        return self.portion.layout if self.portion else Layout.LINES


def load_id(source: Source, content_hash: str, form: Format, head_hash: str = "", run: str = "") -> str:
    """The identity of a load: the same content sent twice is the same load, whatever the file is called."""
    mapping = f"{form.name} {source.record or ''}" if form.native else form.text
    return hashlib.sha256("\x1f".join((source.name, content_hash, mapping, head_hash, run)).encode()).hexdigest()[:32]


def of_portion(source: Source, form: Format, portion: Portion, staging: Path) -> Load:
    """The load that a portion of a file is."""
    identity = load_id(source, portion.content_hash, form, portion.head_hash)
    return Load(
        source,
        form,
        identity,
        str(portion.path),
        portion.end - portion.start,
        portion.content_hash,
        staging / uuid.uuid4().hex,
        portion=portion,
        parts=portion.parts,
        readable=str(portion.path),
        spooled=not portion.whole,
    )


def tune(connection: DuckDBPyConnection) -> None:
    """Keep what the writer of partitions holds in memory small: so many rows a partition and thread."""
    connection.execute(f"SET partitioned_write_flush_threshold = {ROWS_A_PARTITION}")


def stage(connection: DuckDBPyConnection, load: Load) -> None:
    """Read and check a load; afterwards its folder holds all that settling needs."""
    if load.portion and load.portion.compression == "zstd":
        check_whole(load.portion)
    while True:
        load.folder.mkdir(parents=True)
        if load.spooled:
            _spool(load)
        try:
            _stage(connection, load)
        except duckdb.Error as error:
            if not _more_careful(load, error):
                raise _unusable(load, error) from error
            shutil.rmtree(load.folder)
        else:
            return


def _more_careful(load: Load, error: duckdb.Error) -> bool:
    """Whether there is a slower way to read a load, which takes more than the one that failed; it is taken next."""
    if not isinstance(error, (duckdb.InvalidInputException, duckdb.NotImplementedException)):
        return False
    if not load.lenient and "Malformed JSON" in str(error):
        load.lenient = True
        return True
    if not load.spooled and load.portion and load.layout in {Layout.LINES, Layout.CSV}:
        load.spooled = True
        return True
    return False


def _unusable(load: Load, error: duckdb.Error) -> UsageError:
    message = str(error).splitlines()[0]
    if not load.format.native:
        return _format_fault(load, message)
    return SourceError(f"{load.uri} cannot be read: {message}")


def _spool(load: Load) -> None:
    if load.portion is None:
        return
    target = load.folder / "lines"
    delimiter = raw.DELIMITER.encode() if load.layout is Layout.LINES else b""
    spool(load.portion, target, load.bad_lines, raw.MAX_LINE_BYTES, delimiter)
    load.readable = str(target)


def numbered(connection: DuckDBPyConnection, load: Load) -> str:
    """The select of (line, raw) over a load's records, for looking some up again."""
    if load.layout is Layout.CSV or load.layout is Layout.PARQUET:
        return _columns(connection, load).numbered
    return _lines(connection, load, numbered=True)


def _lines(connection: DuckDBPyConnection, load: Load, *, numbered: bool) -> str:
    if load.portion is None:
        return raw.texts(connection, load.texts)
    if load.layout is Layout.DOCUMENT:
        return raw.document(connection, _document(load.portion))
    compression = "none" if load.spooled else load.portion.compression
    return raw.lines(
        load.readable, offset=load.portion.first_line, compression=compression, long=load.spooled, numbered=numbered
    )


def _document(portion: Portion) -> str:
    with reading(portion.path), opened(portion.path, portion.compression) as file:
        content = file.read(MAX_DOCUMENT_BYTES + 1)
    if len(content) > MAX_DOCUMENT_BYTES:
        message = f"{portion.path} is a JSON document of more than 64 MiB; write it as JSON lines (.jsonl)"
        raise SourceError(message)
    return content.decode("utf-8-sig", errors="backslashreplace") if content.strip() else "[]"


def _columns(connection: DuckDBPyConnection, load: Load) -> raw.Columns:
    if load.layout is Layout.PARQUET:
        return raw.parquet(connection, load.readable)
    compression = "none" if load.spooled or load.portion is None else load.portion.compression
    names, delimiter = _header(load)
    rejected = str(load.rejected) if load.rejected.exists() else None
    return raw.csv(load.readable, names, delimiter=delimiter, compression=compression, rejected=rejected)


def _header(load: Load) -> tuple[list[str], str]:
    portion = load.portion
    if portion is None:
        return [], ","
    with reading(portion.path), opened(portion.path, portion.compression) as file:
        first = io.StringIO(file.read(1 << 20).decode("utf-8-sig", errors="replace"), newline=None)
    line = first.readline()
    first.seek(0)
    delimiter = max(",;\t|", key=line.count)
    names = next(csv.reader(first, delimiter=delimiter), [])
    fault = _header_fault(names)
    if fault:
        message = f"{load.uri}: the header {fault}; name each column once, in the first line"
        raise SourceError(message)
    return names, delimiter


def _header_fault(names: Sequence[str]) -> str | None:
    """What is wrong with a CSV file's names; upper and lower case are the same to the engine."""
    if not names:
        return "is missing"
    if not all(name.strip() for name in names):
        return "has a column without a name"
    lower = [name.lower() for name in names]
    twice = [name for name in names if lower.count(name.lower()) > 1]
    return f"names {twice[0]} twice" if twice else None


def _stage(connection: DuckDBPyConnection, load: Load) -> None:
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE refusals (line BIGINT, raw VARCHAR, record VARCHAR, field VARCHAR, reason VARCHAR)"
    )
    connection.execute("DROP TABLE IF EXISTS reject_errors; DROP TABLE IF EXISTS reject_scans")
    load.rows = 0
    if load.bad_lines.exists():
        bad = raw.bad_lines(str(load.bad_lines))
        connection.execute(f"INSERT INTO refusals SELECT line, raw, $1, NULL, reason FROM ({bad})", [load.source.record])
    if load.format.native:
        _stage_native(connection, load)
    else:
        _stage_format(connection, load)
    if load.layout is Layout.CSV and _found_rejects(connection, load):
        _stage(connection, load)
    else:
        _write_refusals(connection, load)


def _found_rejects(connection: DuckDBPyConnection, load: Load) -> bool:
    """Whether rows of a CSV file turned out to be none, which count as lines: it is staged again with that known."""
    if load.rejected.exists():
        return False
    copied = connection.execute(f"COPY ({raw.rejected()}) TO {literal(load.rejected)} (FORMAT parquet)").fetchall()
    if not copied[0][0]:
        load.rejected.unlink()
        return False
    for contract in CONTRACTS.values():
        shutil.rmtree(load.folder / contract.table, ignore_errors=True)
    return True


def _stage_native(connection: DuckDBPyConnection, load: Load) -> None:
    source = load.source
    if load.layout in {Layout.CSV, Layout.PARQUET}:
        _stage_columns(connection, load)
    else:
        record = source.record or _first_record(connection, load)
        if record not in CONTRACTS or not _stage_one(connection, load, CONTRACTS[record]):
            _stage_mixed(connection, load)
    refused = connection.execute("SELECT count(*) FROM refusals").fetchall()[0][0]
    load.records_read = load.rows + refused


def _first_record(connection: DuckDBPyConnection, load: Load) -> str | None:
    """What the first line says it is."""
    first = raw.kinds(f"SELECT * FROM ({_lines(connection, load, numbered=False)}) LIMIT 1")
    found = connection.execute(f"SELECT record FROM ({first})").fetchall()
    return found[0][0] if found else None


def _stage_one(connection: DuckDBPyConnection, load: Load, contract: Contract) -> bool:
    """Stage native lines as one record; False, with nothing staged, when some of them say that they are another.

    Of a large file only the columns that its first records have are looked for; it is staged again with all of them
    when a later record turns out to have one more.
    """
    lean = load.fast and contract is not JOB
    present = None
    if load.large:
        sample = raw.keys(_lines(connection, load, numbered=False))
        present = {row[0] for row in connection.execute(sample).fetchall()} | {c.name for c in contract.columns if c.required}
    for columns in (present, None) if present else (None,):
        given = raw.native_objects(
            contract,
            _lines(connection, load, numbered=not lean),
            timestamp=load.source.timestamp,
            present=columns,
            says_record=load.source.record is None,
            lenient=load.lenient or not load.fast,
        )
        load.rows = _copy(connection, load, contract, given)
        missed = [name for name in contract.names if columns is not None and name not in columns]
        kept = [str(path) for verdict in ("accepted", "waiting") for path in load.staged(contract, verdict)]
        if not (missed and kept and connection.execute(raw.overlooked(kept, missed)).fetchall()):
            break
        shutil.rmtree(load.folder / contract.table)
    if load.source.record is None and _says_other(connection, load, contract):
        shutil.rmtree(load.folder / contract.table)
        load.rows = 0
        return False
    return True


def _says_other(connection: DuckDBPyConnection, load: Load, contract: Contract) -> bool:
    files = [str(path) for path in load.staged(contract, "refused")]
    reason = literal(raw.not_of(contract))
    rows = f"SELECT 1 FROM read_parquet({literals(files)}, hive_partitioning=false) WHERE source = {reason} LIMIT 1"
    return bool(files and connection.execute(rows).fetchall())


def _stage_columns(connection: DuckDBPyConnection, load: Load) -> None:
    """Stage the rows of a native CSV or Parquet file: all as one record, or each as what its column `record` says."""
    columns = _columns(connection, load)
    kinds, present = columns.kinds, {load.source.record}
    if load.source.record is None:
        if "record" not in columns.types:
            message = f"{load.uri}: which record is it? Say --record job, event or metric (or `record` of the source)"
            raise SourceError(message)
        present = {row[0] for row in connection.execute(f"SELECT DISTINCT record FROM ({kinds})").fetchall()}
    for contract in (CONTRACTS[record] for record in CONTRACTS if record in present):
        mine = columns if load.source.record else columns.of(contract.record)
        load.rows += _copy(connection, load, contract, raw.native_columns(contract, mine, timestamp=load.source.timestamp))
    _refuse_others(connection, kinds, present)
    _keep_rejects(connection, load, load.source.record)


def _refuse_others(connection: DuckDBPyConnection, kinds: str, present: set[str | None]) -> None:
    """Refuse the records that do not say which one of the three they are, or are no records at all."""
    if present <= CONTRACTS.keys():
        return
    connection.execute(
        f"""INSERT INTO refusals
        SELECT k.line, k.raw, NULL, CASE WHEN b.reason IS NULL THEN 'record' END,
               coalesce(b.reason, CASE WHEN k.record IS NULL THEN 'missing: say job, event or metric, or --record'
                                       ELSE 'not one of job, event, metric' END)
        FROM ({kinds}) k LEFT JOIN ({raw.broken(f"SELECT line, raw FROM ({kinds})")}) b ON b.line = k.line
        WHERE k.record IS NULL OR k.record NOT IN {tuple(CONTRACTS)}"""
    )


def _stage_mixed(connection: DuckDBPyConnection, load: Load) -> None:
    kinds = raw.kinds(_lines(connection, load, numbered=True))
    present = {row[0] for row in connection.execute(f"SELECT DISTINCT record FROM ({kinds})").fetchall()}
    for contract in (CONTRACTS[record] for record in CONTRACTS if record in present):
        these = raw.kinds(_lines(connection, load, numbered=not load.fast or contract is JOB))
        mine = f"SELECT line, raw FROM ({these}) WHERE record = {literal(contract.record)}"
        load.rows += _copy(connection, load, contract, raw.native_objects(contract, mine, timestamp=load.source.timestamp))
    _refuse_others(connection, kinds, present)


def _stage_format(connection: DuckDBPyConnection, load: Load) -> None:
    parts = load.parts
    columns = _columns(connection, load) if load.layout in {Layout.CSV, Layout.PARQUET} else None
    lines = "" if columns else _lines(connection, load, numbered=True)
    for record, select in load.format.selects.items():
        wanted = [name for name in fields(select) if name not in parts] if not columns else []
        base = columns.select if columns else raw.fields(lines, wanted)
        constants = "".join(f", {literal(value)} AS {identifier(name)}" for name, value in parts.items())
        connection.execute(f"CREATE OR REPLACE TEMP VIEW raw AS SELECT *{constants} FROM ({base})")
        types = _bind_mapped(connection, load, record, select)
        given = raw.formatted(CONTRACTS[record], "SELECT * FROM mapped", types, timestamp=load.source.timestamp)
        load.rows += _copy(connection, load, CONTRACTS[record], given)
    if columns:
        _keep_rejects(connection, load, None)
    else:
        connection.execute(f"INSERT INTO refusals SELECT line, raw, NULL, NULL, reason FROM ({raw.broken(lines)})")
    _count_lines(connection, load, columns.select if columns else _good(lines))


def _good(lines: str) -> str:
    return f"SELECT line FROM ({lines}) WHERE line NOT IN (SELECT line FROM refusals)"


def _count_lines(connection: DuckDBPyConnection, load: Load, good: str) -> None:
    """Count what a format read, left out and made more of; `good` is the select of the lines that it was given."""
    files = [str(path) for path in load.folder.rglob("*.parquet")]
    staged = f"SELECT line FROM read_parquet({literals(files)}, union_by_name=true)" if files else "SELECT 0 WHERE false"
    given, lines, strays = connection.execute(
        f"""WITH given AS MATERIALIZED (SELECT line FROM ({good})), staged(line) AS MATERIALIZED ({staged})
        SELECT (SELECT count(*) FROM given), (SELECT count(DISTINCT line) FROM staged),
               (SELECT count(*) FROM staged ANTI JOIN given USING (line))"""
    ).fetchall()[0]
    if strays:
        raise _format_fault(load, f"{strays} of its rows have no `line` of the file; pass `line` on as it is")
    refused = connection.execute("SELECT count(*) FROM refusals").fetchall()[0][0]
    load.records_read = given + refused
    load.expanded = load.rows - lines
    load.ignored = given - lines


def _format_fault(load: Load, what: str) -> FormatError:
    return FormatError(f"format {load.format.name} cannot read {load.uri}: {what}")


def _bind_mapped(connection: DuckDBPyConnection, load: Load, record: str, select: str) -> Mapping[str, str]:
    """Bind `mapped` to a format's select, which may end in semicolons and comments; returns its columns' types."""
    try:
        statements = connection.extract_statements(select)
        if len(statements) != 1 or statements[0].type is not duckdb.StatementType.SELECT:
            raise _format_fault(load, f"one SELECT must follow the line `-- record: {record}`")
        connection.execute(f"CREATE OR REPLACE TEMP VIEW mapped AS {select}")
        rows = connection.execute("DESCRIBE mapped").fetchall()
    except duckdb.Error as error:
        raise _format_fault(load, str(error).splitlines()[0]) from error
    types = {name: kind for name, kind, *_ in rows}
    known = (*CONTRACTS[record].names, "line", "attributes")
    for name in types:
        if name not in known:
            raise _format_fault(load, str(UsageError.unknown(f"column of {record}", name, known)))
    if "line" not in types:
        raise _format_fault(load, f"the select of {record} does not return `line`")
    return types


def _keep_rejects(connection: DuckDBPyConnection, load: Load, record: str | None) -> None:
    if load.layout is Layout.CSV:
        values = "SELECT line, raw, $1, NULL, reason"
        connection.execute(f"INSERT INTO refusals {values} FROM ({raw.rejects()})", [record])


def _copy(connection: DuckDBPyConnection, load: Load, contract: Contract, given: str) -> int:
    """Type, check and write one record kind: folders verdict=accepted, refused and waiting; returns the rows."""
    source = load.source
    select = contract_sql.checked(
        contract, given, source=source.name, load_id=load.load_id, timezone=source.timezone, id_prefix=source.id_prefix
    )
    lean = load.fast and contract is not JOB
    refused = {"name": "refusal.field", "source": "refusal.reason"} | ({"attributes": "raw"} if lean else {})
    columns = ", ".join(
        f"CASE WHEN refusal IS NULL THEN {identifier(name)} ELSE {refused[name]} END AS {identifier(name)}"
        if name in refused
        else identifier(name)
        for name in contract.stored
    )
    target = load.folder / contract.table
    if lean and load.large and load.portion and one_day(load.portion):
        return _copy_one_day(connection, contract, f"SELECT {columns}, day, refusal FROM ({select})", target, load.load_id)
    verdict = "CASE WHEN refusal IS NOT NULL THEN 'refused' WHEN day IS NULL THEN 'waiting' ELSE 'accepted' END"
    line = "" if lean else ", line"
    found = connection.execute(
        f"COPY (SELECT {verdict} AS verdict, day, {columns}{line} FROM ({select})) TO {literal(target)} "
        f"(FORMAT parquet, PARTITION_BY ({'verdict, day' if load.large else 'verdict'}), OVERWRITE_OR_IGNORE)"
    ).fetchall()
    return int(found[0][0])


def _copy_one_day(connection: DuckDBPyConnection, contract: Contract, select: str, target: Path, load_id: str) -> int:
    """Write records that seem to be of one day as one file, a third faster than by day; if they are not, split it.

    A refused record has no load_id in that file.
    """
    target.mkdir()
    flat = target / "flat.parquet"
    columns = ", ".join(
        "CASE WHEN refusal IS NULL THEN load_id END AS load_id" if name == "load_id" else identifier(name)
        for name in contract.stored
    )
    connection.execute("SET preserve_insertion_order = false")
    try:
        connection.execute(f"COPY (SELECT {columns} FROM ({select})) TO {literal(flat)} (FORMAT parquet)")
    finally:
        connection.execute("SET preserve_insertion_order = true")
    day = f"CAST(make_timestamp(epoch_us({contract.day_of})) AS DATE)"
    rows, good, first, last = connection.execute(
        f"SELECT count(*), count(load_id), min({day})::VARCHAR, max({day})::VARCHAR FROM read_parquet({literal(flat)})"
    ).fetchall()[0]
    if rows == good and first == last:
        folder = target / "verdict=accepted" / f"day={first}"
        folder.mkdir(parents=True)
        flat.rename(folder / flat.name)
    else:
        verdict = "CASE WHEN load_id IS NULL THEN 'refused' ELSE 'accepted' END AS verdict"
        connection.execute(
            f"COPY (SELECT {verdict}, CASE WHEN load_id IS NOT NULL THEN {day} END AS day, * REPLACE ({literal(load_id)} AS load_id) "
            f"FROM read_parquet({literal(flat)})) TO {literal(target)} "
            "(FORMAT parquet, PARTITION_BY (verdict, day), OVERWRITE_OR_IGNORE)"
        )
        flat.unlink()
    return int(rows)


def _write_refusals(connection: DuckDBPyConnection, load: Load) -> None:
    """Gather the refused records with line and text into one file with the columns of the quarantine."""
    for contract in CONTRACTS.values():
        files = [str(path) for path in load.staged(contract, "refused")]
        if not files:
            continue
        staged = f"SELECT * FROM read_parquet({literals(files)}, hive_partitioning=false)"
        lean = load.fast and contract is not JOB
        match = f"(SELECT DISTINCT attributes AS raw, name, source FROM ({staged})) s USING (raw)" if lean else f"({staged}) s USING (line)"
        connection.execute(
            f"""INSERT INTO refusals
            SELECT n.line, n.raw, {literal(contract.record)}, s.name, s.source FROM ({numbered(connection, load)}) n JOIN {match}"""
        )
    names = ", ".join(QUARANTINE)
    load.quarantined = int(
        connection.execute(
            f"""COPY (
            SELECT {names} FROM (
                SELECT {literal(load.load_id)} AS load_id, {literal(load.source.name)} AS source, {literal(load.uri)} AS uri, *
                       REPLACE ({kept_text()} AS raw)
                FROM refusals) ORDER BY line)
            TO {literal(load.folder / "refused.parquet")} (FORMAT parquet)"""
        ).fetchall()[0][0]
    )


def kept_text() -> str:
    """How much of a refused text is kept: a MiB, and of a long one that several records share only the first."""
    return (
        f"CASE WHEN strlen(raw) > {SHARED_RAW_BYTES} AND row_number() OVER (PARTITION BY line) > 1 THEN NULL "
        f"WHEN strlen(raw) > {MAX_RAW_BYTES} AND NOT ends_with(raw, ' bytes)') "
        f"THEN left(raw, {MAX_RAW_BYTES}) || '… (' || strlen(raw) || ' bytes)' ELSE raw END"
    )


def relocate(connection: DuckDBPyConnection, load: Load, contract: Contract, ids: Sequence[str]) -> str:
    """The select of (load_id, id, content, line) over the records of some ids, read again for their lines."""
    lines = numbered(connection, load)
    mine = f"SELECT line, raw FROM ({lines}) WHERE CASE WHEN json_valid(raw) THEN json_extract_string(raw, '$.id') END IN (SELECT unnest({literals(ids)}))"
    given = raw.native_objects(contract, mine, timestamp=load.source.timestamp)
    source = load.source
    select = contract_sql.checked(
        contract, given, source=source.name, load_id=load.load_id, timezone=source.timezone, id_prefix=source.id_prefix
    )
    return f"SELECT load_id, day, id, {settle.content(contract)} AS content, line FROM ({select}) WHERE refusal IS NULL"


def stage_head(connection: DuckDBPyConnection, load: Load) -> None:
    """Count the head's records without an id that the tail repeats, so that counting goes on over both."""
    tail = load.portion
    files = [str(path) for contract in (EVENT, METRIC) for path in load.staged(contract, "accepted")]
    if tail is None or tail.start == 0 or not files:
        return
    derived = f"SELECT id FROM read_parquet({literals(files)}, union_by_name=true) WHERE starts_with(id, '#')"
    if not connection.execute(f"{derived} LIMIT 1").fetchall():
        return
    head = replace(load, portion=replace(tail, start=0, end=tail.start, first_line=0), folder=load.folder / "head", spooled=True)
    stage(connection, head)
    files = [str(path) for contract in (EVENT, METRIC) for path in head.staged(contract, "accepted")]
    if files:
        connection.execute(
            f"""COPY (SELECT {literal(load.load_id)} AS load_id, id, count(*) AS copies
            FROM read_parquet({literals(files)}, union_by_name=true) WHERE id IN ({derived}) GROUP BY id)
            TO {literal(load.heads)} (FORMAT parquet)"""
        )
    shutil.rmtree(head.folder)
