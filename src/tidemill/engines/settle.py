"""Deciding what of a staged load is new: duplicates, conflicts, copies of records without an id, unknown jobs.

Works on temporary tables of one connection, a day at a time; everything that was staged but not chosen
is counted or named in the tables `dropped` (verdict duplicate or conflict) and `unsettled`.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from tidemill.engines.contract import derived_id
from tidemill.engines.quoting import identifier, literal, literals
from tidemill.records import JOB

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from duckdb import DuckDBPyConnection

    from tidemill.records import Contract


def content(contract: Contract) -> str:
    """A digest of a record's mapped columns, attributes included; its id, which it is compared under, is not."""
    members = ", ".join(f"{literal(name)}: {identifier(name)}" for name in (*contract.names, "attributes") if name != "id")
    return f"md5(to_json({{{members}}}))"


def candidates(paths: Sequence[str], order: Mapping[str, int]) -> str:
    """The select over staged files: their columns, which row of which file each is, and the load's turn."""
    turns = ", ".join(f"{literal(load_id)}: {turn}" for load_id, turn in order.items())
    return (
        f"SELECT *, file_row_number AS row, MAP {{{turns}}}[load_id] AS turn, "
        f"FROM read_parquet({literals(paths)}, union_by_name=true, filename=true, file_row_number=true, "
        "hive_partitioning=false)"
    )


def stored(contract: Contract, paths: Sequence[str], source: str) -> str:
    """The select over the lake's records of one source in some files; none when there are no files."""
    columns = ", ".join(identifier(name) for name in contract.stored)
    if not paths:
        nothing = ", ".join(f"NULL::{kind} AS {identifier(name)}" for name, kind in contract.stored.items())
        return f"SELECT {nothing} WHERE false"
    return f"SELECT {columns} FROM read_parquet({literals(paths)}, hive_partitioning=false) WHERE source = {literal(source)}"


def repeated(connection: DuckDBPyConnection, staged: str, known: str) -> int:
    """Fill `repeated` with the ids that stand twice in a day, staged or stored; returns how many."""
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE repeated AS
        SELECT id FROM (
            SELECT id FROM ({staged})
            UNION ALL
            SELECT DISTINCT id FROM ({known}) WHERE id IN (SELECT id FROM ({staged})))
        GROUP BY id HAVING count(*) > 1"""
    )
    return _count(connection, "repeated")


def examine(connection: DuckDBPyConnection, contract: Contract, source: str, staged: str, heads: str) -> None:
    """Fill `doubtful` with the staged rows of repeated ids, each with its content and its final id.

    `heads` is a select of (load_id, id, copies): how often a record without an id stands in the head before a tail.
    """
    derived = f"starts_with(id, '#') AND id = {derived_id(contract, source)}"
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE doubtful AS
        SELECT filename, row, load_id, turn, line, content, id AS first_id,
               CASE WHEN derived AND copy > 0 THEN '#' || md5(id || ':' || copy) ELSE id END AS id
        FROM (
            SELECT r.*, row_number() OVER (PARTITION BY r.load_id, r.id ORDER BY r.line, r.filename, r.row) - 1
                        + coalesce(h.copies, 0) AS copy
            FROM (SELECT filename, row, load_id, turn, {_line(connection, staged)} AS line, id,
                         {content(contract)} AS content, {derived} AS derived
                  FROM ({staged}) WHERE id IN (SELECT id FROM repeated)) r
            LEFT JOIN ({heads}) h ON h.load_id = r.load_id AND h.id = r.id)"""
    )


def _line(connection: DuckDBPyConnection, staged: str) -> str:
    names = {row[0] for row in connection.execute(f"DESCRIBE {staged}").fetchall()}
    return "line" if "line" in names else "NULL::BIGINT"


def quarrels(connection: DuckDBPyConnection, known: str, contract: Contract) -> list[tuple[str, list[str]]]:
    """The (load_id, ids) whose rows have no line and differ in content: their lines decide who came first."""
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE standing AS
        SELECT id, {content(contract)} AS content FROM ({known}) WHERE id IN (SELECT id FROM doubtful)"""
    )
    return connection.execute(
        """SELECT load_id, list(DISTINCT first_id) FROM doubtful
        WHERE line IS NULL AND id IN (
            SELECT id FROM (SELECT id, content FROM doubtful UNION ALL SELECT id, content FROM standing)
            GROUP BY id HAVING count(DISTINCT content) > 1)
        GROUP BY load_id"""
    ).fetchall()


def place(connection: DuckDBPyConnection, located: str) -> None:
    """Give the quarrelling rows their lines, from a select of (load_id, id, content, line)."""
    connection.execute(
        f"""CREATE OR REPLACE TEMP TABLE doubtful AS
        SELECT d.* REPLACE (coalesce(d.line, l.line) AS line)
        FROM (SELECT *, row_number() OVER (PARTITION BY load_id, first_id, content ORDER BY filename, row) AS nth FROM doubtful) d
        LEFT JOIN (SELECT *, row_number() OVER (PARTITION BY load_id, id, content ORDER BY line) AS nth FROM ({located})) l
          ON l.load_id = d.load_id AND l.id = d.first_id AND l.content = d.content AND l.nth = d.nth"""
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
            LEFT JOIN (SELECT id, any_value(content) AS content FROM standing GROUP BY id) s ON s.id = d.id
            WINDOW in_order AS (PARTITION BY d.id ORDER BY d.turn, d.line, d.filename, d.row))"""
    )


def chosen(contract: Contract, staged: str) -> str:
    """The select of the staged rows that are accepted, with their final ids."""
    columns = ", ".join("coalesce(j.id, s.id) AS id" if n == "id" else f"s.{identifier(n)}" for n in contract.stored)
    return (
        f"SELECT {columns} FROM ({staged}) s LEFT JOIN judged j ON j.filename = s.filename AND j.row = s.row "
        "WHERE coalesce(j.verdict, 'accepted') = 'accepted'"
    )


def settle_jobs(connection: DuckDBPyConnection, staged: str, birthdays: str, known: str) -> None:
    """Fill `settled` with every staged observation, completed and judged.

    `birthdays` is a select of (job_id, created_at) over the whole lake, `known` one of the observations of this
    source that may be equal. A job's first created_at stands; an observation of a job that has none waits.
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
                  WHERE created_at IS NOT NULL
                  UNION ALL
                  SELECT job_id, NULL, NULL, NULL, NULL, created_at FROM ({birthdays})
                  WHERE job_id IN (SELECT job_id FROM observation))
            GROUP BY job_id),
        whole AS (
            SELECT o.* REPLACE (coalesce(o.created_at, b.born) AS created_at), b.born
            FROM observation o LEFT JOIN birthday b ON b.job_id = o.job_id),
        complete AS (SELECT * REPLACE ({observed}), FROM whole),
        digested AS (SELECT *, {content(JOB)} AS content FROM complete),
        judged AS (
            SELECT *, CASE WHEN born IS NULL THEN 'unknown job'
                           WHEN created_at <> born THEN 'created_at changed'
                           WHEN content IN (SELECT {content(JOB)} FROM ({known})) THEN 'duplicate'
                           ELSE 'accepted' END AS verdict
            FROM digested)
        SELECT {names}, line, CAST(make_timestamp(epoch_us(created_at)) AS DATE) AS day,
               CASE WHEN verdict = 'accepted'
                     AND row_number() OVER (PARTITION BY content, verdict ORDER BY turn, line, row) > 1
                    THEN 'duplicate' ELSE verdict END AS verdict
        FROM judged"""
    )


def _count(connection: DuckDBPyConnection, table: str) -> int:
    found = connection.execute(f"SELECT count(*) FROM {identifier(table)}").fetchall()
    return int(found[0][0])
