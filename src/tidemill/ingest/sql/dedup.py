"""Deciding what of a staged load is new: duplicates, conflicts, copies of records without an id, unknown jobs.

Works on temporary tables of one connection, a day at a time; everything that was staged but not chosen
is counted or named in the tables `dropped` (verdict duplicate or conflict) and `unsettled`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.engine.quoting import identifier, literal, literals
from tidemill.engine.relations import nothing
from tidemill.ingest.sql.validation import derived_id
from tidemill.ingest.staging.write import PARQUET
from tidemill.lake import relations
from tidemill.lake.retention import REASON
from tidemill.records import JOB

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from datetime import datetime
    from pathlib import Path

    from duckdb import DuckDBPyConnection

    from tidemill.lake.schema import DataFile
    from tidemill.records import Contract


def content(contract: Contract) -> str:
    """A digest of a record's mapped columns, attributes included; its id, which it is compared under, is not."""
    members = ", ".join(
        f"{literal(name)}: {identifier(name)}" for name in (*contract.names, "attributes") if name != "id"
    )
    return f"md5(to_json({{{members}}}))"


def take_turns(connection: DuckDBPyConnection, load_ids: Sequence[str]) -> None:
    """Fill `turns` with the loads that are settled, in their order; rows of others are passed over."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE turns AS SELECT unnest($1) AS load_id, unnest(range(len($1))) AS turn",
        [list(load_ids)],
    )


def candidates(contract: Contract, paths: Sequence[str], day: str | None = None) -> str:
    """The select over staged files: their columns, their day, which row of which file each is, and the load's turn."""
    constant = f", {literal(day)}::DATE AS day" if day else ""
    return (
        f"SELECT * FROM ({nothing(contract.stored)}) UNION ALL BY NAME SELECT *, file_row_number AS row{constant} "
        f"FROM read_parquet({literals(paths)}, union_by_name=true, filename=true, file_row_number=true, "
        "hive_partitioning=false) JOIN turns USING (load_id)"
    )


def stored(contract: Contract, files: Sequence[DataFile], source: str) -> str:
    """The select over the lake's records of one source in some files, with their day; none when there are no files."""
    day = f"CAST(make_timestamp(epoch_us({contract.day_of})) AS DATE) AS day"
    return f"SELECT *, {day} FROM ({relations.stored(contract.stored, files)}) WHERE source = {literal(source)}"


def repeated(connection: DuckDBPyConnection, staged: str, known: str) -> int:
    """Fill `repeated` with the (day, id) that stand twice, staged or stored; returns how many."""
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE repeated AS
        SELECT day, id FROM (
            SELECT day, id FROM ({staged})
            UNION ALL
            SELECT DISTINCT k.day, k.id FROM ({known}) k SEMI JOIN ({staged}) s ON s.day = k.day AND s.id = k.id)
        GROUP BY ALL HAVING count(*) > 1"""
    )
    return count(connection, "repeated")


def examine(connection: DuckDBPyConnection, contract: Contract, source: str, staged: str, heads: Sequence[str]) -> None:
    """Fill `doubtful` with the staged rows of repeated ids, each with its content and its final id.

    `heads` are files of (load_id, id, copies): how often a record without an id stands in the head before a tail.
    """
    derived = f"starts_with(id, '#') AND id = {derived_id(contract, source)}"
    before = nothing({"load_id": "VARCHAR", "id": "VARCHAR", "copies": "BIGINT"})
    if heads:
        before = f"SELECT load_id, id, copies FROM read_parquet({literals(heads)})"
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE doubtful AS
        SELECT filename, row, load_id, turn, line, day, content, id AS first_id,
               CASE WHEN derived AND copy > 0 THEN '#' || md5(id || ':' || copy) ELSE id END AS id
        FROM (
            SELECT r.*, row_number() OVER (PARTITION BY r.load_id, r.day, r.id ORDER BY r.line, r.filename, r.row) - 1
                        + coalesce(h.copies, 0) AS copy
            FROM (SELECT filename, row, load_id, turn, {_line(connection, staged)} AS line, day, id,
                         {content(contract)} AS content, {derived} AS derived
                  FROM ({staged}) SEMI JOIN (SELECT day, id FROM repeated {_of_heads(heads, staged)}) USING (day, id)) r
            LEFT JOIN ({before}) h ON h.load_id = r.load_id AND h.id = r.id)"""
    )


def _of_heads(heads: Sequence[str], staged: str) -> str:
    if not heads:
        return ""
    return f"UNION SELECT day, id FROM ({staged}) WHERE id IN (SELECT id FROM read_parquet({literals(heads)}))"


def _line(connection: DuckDBPyConnection, staged: str) -> str:
    names = {row[0] for row in connection.execute(f"DESCRIBE {staged}").fetchall()}
    return "line" if "line" in names else "NULL::BIGINT"


def quarrels(connection: DuckDBPyConnection, known: str, contract: Contract) -> list[tuple[str, list[str]]]:
    """The (load_id, ids) whose rows have no line and differ in content: their lines decide who came first."""
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE standing AS
        SELECT day, id, {content(contract)} AS content FROM ({known}) SEMI JOIN doubtful USING (day, id)"""
    )
    return connection.execute(
        """SELECT load_id, list(DISTINCT first_id) FROM doubtful SEMI JOIN (
            SELECT day, id FROM (SELECT day, id, content FROM doubtful UNION ALL SELECT day, id, content FROM standing)
            GROUP BY ALL HAVING count(DISTINCT content) > 1) USING (day, id)
        WHERE line IS NULL GROUP BY load_id"""
    ).fetchall()


def place(connection: DuckDBPyConnection, located: str) -> None:
    """Give the quarrelling rows their lines, from a select of (load_id, day, id, content, line)."""
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE doubtful AS
        WITH row AS (
            SELECT *, row_number() OVER (PARTITION BY load_id, day, first_id, content ORDER BY filename, row) AS nth
            FROM doubtful),
        found AS (
            SELECT *, row_number() OVER (PARTITION BY load_id, day, id, content ORDER BY line) AS nth FROM ({located}))
        SELECT r.* EXCLUDE nth REPLACE (coalesce(r.line, f.line) AS line)
        FROM row r LEFT JOIN found f ON f.load_id = r.load_id AND f.day = r.day AND f.id = r.first_id
         AND f.content = r.content AND f.nth = r.nth"""
    )


def judge(connection: DuckDBPyConnection) -> None:
    """Fill `judged`: each doubtful row is accepted, a duplicate, or a conflict with the one that came first."""
    connection.execute(
        """CREATE OR REPLACE TEMP TABLE judged AS
        SELECT filename, row, load_id, line, id, content,
               CASE WHEN standing IS NULL AND place = 1 THEN 'accepted'
                    WHEN content = coalesce(standing, first_content) THEN 'duplicate'
                    ELSE 'conflict' END AS verdict
        FROM (
            SELECT d.*, s.content AS standing,
                   row_number() OVER in_order AS place,
                   first_value(d.content) OVER in_order AS first_content
            FROM doubtful d
            LEFT JOIN (SELECT day, id, any_value(content) AS content FROM standing GROUP BY ALL) s
              ON s.day = d.day AND s.id = d.id
            WINDOW in_order AS (PARTITION BY d.day, d.id ORDER BY d.turn, d.line, d.filename, d.row))"""
    )


def chosen(names: Iterable[str], staged: str) -> str:
    """The select of some columns of the staged rows that are accepted, with their day and their final ids."""
    columns = ", ".join("coalesce(j.id, s.id) AS id" if n == "id" else f"s.{identifier(n)}" for n in names)
    return (
        f"SELECT {columns}, s.day FROM ({staged}) s LEFT JOIN judged j ON j.filename = s.filename AND j.row = s.row "
        "WHERE coalesce(j.verdict, 'accepted') = 'accepted'"
    )


def births(connection: DuckDBPyConnection, staged: str, paths: Sequence[str]) -> list[str]:
    """Fill `births` with the created_at of the staged jobs that some files of the lake know; returns its UTC days."""
    known = nothing({"job_id": "VARCHAR", "created_at": "TIMESTAMP WITH TIME ZONE"})
    if paths:
        known = f"SELECT job_id, created_at FROM read_parquet({literals(paths)}, hive_partitioning=false)"
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE births AS
        SELECT job_id, any_value(created_at) AS created_at FROM ({known})
        WHERE job_id IN (SELECT job_id FROM ({staged})) GROUP BY job_id"""
    )
    return days(connection, "SELECT CAST(make_timestamp(epoch_us(created_at)) AS DATE) AS day FROM births")


def before(contract: Contract, opening: datetime) -> str:
    """The condition that a record is of before an instant."""
    return f"{contract.day_of} < TIMESTAMPTZ {literal(opening.isoformat())}"


def settle_jobs(connection: DuckDBPyConnection, staged: str, known: str, sealed: str) -> None:
    """Fill `settled` with every staged observation, completed and judged.

    `births` are those of the staged jobs, `known` is a select of the observations of this source that may be equal:
    of the days of these births. A job's first created_at stands; an observation of a job that has none waits. One that
    meets the condition `sealed` is of a job of a sealed day, and says nothing to others: it is not in the lake.
    """
    instants = "created_at, started_at, completed_at, deleted_at"
    observed = f"coalesce(observed_at, greatest({instants})) AS observed_at"
    names = ", ".join(identifier(name) for name in JOB.stored)
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE settled AS
        WITH observation AS (SELECT * FROM ({staged})),
        birthday AS (
            SELECT job_id, coalesce(any_value(stored), arg_min(created_at, (turn, line, row))) AS born
            FROM (SELECT job_id, created_at, turn, line, row, NULL::TIMESTAMPTZ AS stored FROM observation
                  WHERE created_at IS NOT NULL AND NOT {sealed}
                  UNION ALL
                  SELECT job_id, NULL, NULL, NULL, NULL, created_at FROM births)
            GROUP BY job_id),
        whole AS (
            SELECT o.* REPLACE (coalesce(o.created_at, b.born) AS created_at), b.born
            FROM observation o LEFT JOIN birthday b ON b.job_id = o.job_id),
        complete AS (SELECT * REPLACE ({observed}), FROM whole),
        digested AS (SELECT *, {content(JOB)} AS content FROM complete),
        judged AS (
            SELECT *, CASE WHEN {sealed} THEN {literal(REASON)}
                           WHEN born IS NULL THEN 'unknown job'
                           WHEN created_at <> born THEN 'created_at changed'
                           WHEN content IN (SELECT {content(JOB)} FROM ({known}) SEMI JOIN births USING (job_id))
                           THEN 'duplicate'
                           ELSE 'accepted' END AS verdict
            FROM digested)
        SELECT {names}, line, CAST(make_timestamp(epoch_us(created_at)) AS DATE) AS day,
               CASE WHEN verdict = 'accepted'
                     AND row_number() OVER (PARTITION BY content, verdict ORDER BY turn, line, row) > 1
                    THEN 'duplicate' ELSE verdict END AS verdict
        FROM judged"""
    )


def count(connection: DuckDBPyConnection, table: str) -> int:
    """How many rows a table has."""
    found = connection.execute(f"SELECT count(*) FROM {identifier(table)}").fetchall()
    return int(found[0][0])


def days(connection: DuckDBPyConnection, staged: str) -> list[str]:
    """The UTC days of staged rows."""
    return [row[0] for row in connection.execute(f"SELECT DISTINCT day::VARCHAR FROM ({staged}) ORDER BY 1").fetchall()]


def forget(connection: DuckDBPyConnection) -> None:
    """Start a group with nothing judged yet."""
    connection.execute(
        "CREATE OR REPLACE TEMP TABLE judged (filename VARCHAR, row BIGINT, id VARCHAR, verdict VARCHAR)"
    )


def write_days(connection: DuckDBPyConnection, select: str, folder: Path) -> dict[str, str]:
    """Write the rows of a select as Parquet by their day; returns each file's day."""
    folder.mkdir(parents=True)
    connection.execute(f"COPY ({select}) TO {literal(folder)} ({PARQUET}, PARTITION_BY (day), OVERWRITE_OR_IGNORE)")
    return {str(path): path.parent.name.removeprefix("day=") for path in sorted(folder.rglob("*.parquet"))}


def load_bounds(connection: DuckDBPyConnection, paths: Sequence[str]) -> list[tuple[str, int, str, str]]:
    """Of each file that has rows: its path, rows, first and last load_id."""
    if not paths:
        return []
    return connection.execute(
        "SELECT filename, count(*), min(load_id), max(load_id) "
        f"FROM read_parquet({literals(paths)}, filename=true) GROUP BY ALL ORDER BY ALL"
    ).fetchall()
