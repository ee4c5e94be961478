"""DuckDB: a connection on which a table's select runs, and the macros that such a select may call."""

from __future__ import annotations

import zoneinfo
from typing import TYPE_CHECKING, Final

import duckdb

from tidemill.config import memory as config_memory
from tidemill.engine.quoting import literal
from tidemill.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Mapping
    from pathlib import Path

UTC_NAMES: Final = frozenset({"UTC", "Etc/UTC", "Etc/UCT", "UCT", "Etc/Universal", "Universal", "Etc/Zulu", "Zulu"})
"""The zone whose hours and days are plain arithmetic, five times as fast as the calendar of ICU."""

_SESSION: Final = "SET TimeZone = 'UTC'; SET enable_progress_bar = false;"

_UTC_CLOCK: Final = """
CREATE OR REPLACE TEMP MACRO local_hour(t) AS make_timestamptz(epoch_us(t) - epoch_us(t) % 3600000000);
CREATE OR REPLACE TEMP MACRO local_day(t) AS DATE '1970-01-01' + CAST(epoch_us(t) // 86400000000 AS INTEGER);
"""

_ZONE_CLOCK: Final = """
CREATE OR REPLACE TEMP MACRO local_hour(t) AS
    make_timestamptz(epoch_us(t) - (epoch_us(timezone({zone}, t)) % 3600000000 + 3600000000) % 3600000000);
CREATE OR REPLACE TEMP MACRO local_day(t) AS CAST(timezone({zone}, t) AS DATE);
"""

_CALENDAR: Final = """
CREATE OR REPLACE TEMP MACRO local_week(t) AS local_day(t) - CAST(isodow(local_day(t)) - 1 AS INTEGER);
CREATE OR REPLACE TEMP MACRO local_month(t) AS local_day(t) - CAST(day(local_day(t)) - 1 AS INTEGER);
CREATE OR REPLACE TEMP MACRO elapsed_seconds(began, ended) AS
    CASE WHEN ended >= began THEN (epoch_us(ended) - epoch_us(began)) / 1000000 END;
CREATE OR REPLACE TEMP MACRO later_by(t, ms) AS CASE
    WHEN epoch_us(t) + ms * 1000 < epoch_us(TIMESTAMPTZ '10000-01-01 00:00:00+00')
    THEN make_timestamptz(epoch_us(t) + CAST(round(ms * 1000) AS BIGINT))
END;
"""

_SUMS: Final = """
CREATE OR REPLACE TEMP MACRO whole_sum(x) AS CAST(coalesce(sum(x), 0) AS BIGINT);
CREATE OR REPLACE TEMP MACRO exact_sum(x) AS CAST(sum(CAST(x AS DECIMAL(38, 12))) AS DOUBLE);
CREATE OR REPLACE TEMP MACRO percentiles(x) AS struct_pack(
    p50 := quantile_cont(x, [0.5, 0.95, 0.99])[1],
    p95 := quantile_cont(x, [0.5, 0.95, 0.99])[2],
    p99 := quantile_cont(x, [0.5, 0.95, 0.99])[3]
);
"""

_HISTOGRAM: Final = """
CREATE OR REPLACE TEMP MACRO latency_bucket(ms) AS
    CASE WHEN ms > 0 THEN CAST(ceil(ln(ms) / ln(1.01 / 0.99)) AS BIGINT) END;
CREATE OR REPLACE TEMP MACRO latency_estimate(bucket) AS
    CASE WHEN bucket IS NULL THEN 0 ELSE 2 * pow(1.01 / 0.99, bucket) / (1.01 / 0.99 + 1) END;
CREATE OR REPLACE TEMP MACRO histogram_counts(bucket, events) AS list_sort(list(
    struct_pack(ms := latency_estimate(bucket), events := CAST(events AS BIGINT))
));
CREATE OR REPLACE TEMP MACRO counted_value(counts, rank) AS list_reduce(counts, lambda reached, following: CASE
    WHEN reached.events > rank THEN reached
    ELSE struct_pack(ms := following.ms, events := reached.events + following.events)
END).ms;
CREATE OR REPLACE TEMP MACRO counted_percentile(counts, place) AS
    counted_value(counts, floor(place))
    + (counted_value(counts, ceil(place)) - counted_value(counts, floor(place))) * (place - floor(place));
CREATE OR REPLACE TEMP MACRO histogram_percentile(bucket, events, q) AS
    counted_percentile(histogram_counts(bucket, events), (sum(events) - 1) * CAST(q AS DOUBLE));
"""
"""Percentiles of latency_histogram's rows, whole or added up: the linear interpolation between the two nearest ranks'
estimates. Each is within 1 % of its value, so what lies between them is, too (DDSketch, doi:10.14778/3352063.3352135).
"""

_ORDER: Final = """
CREATE OR REPLACE TEMP MACRO earliest(x, t) AS arg_min(x, struct_pack(t := t, x := x));
CREATE OR REPLACE TEMP MACRO latest(x, t, id := NULL) AS arg_max(x, struct_pack(t := t, id := id, x := x));
CREATE OR REPLACE TEMP MACRO ordered_list(x, t, id) AS list(x ORDER BY t, id, x);
CREATE OR REPLACE TEMP MACRO ordered_first(x, t, id) AS ordered_list(x, t, id)[1];
CREATE OR REPLACE TEMP MACRO ordered_last(x, t, id) AS ordered_list(x, t, id)[-1];
CREATE OR REPLACE TEMP MACRO ordered_sum(x, t, id) AS list_sum(ordered_list(x, t, id));
CREATE OR REPLACE TEMP MACRO counter_increase(samples, previous) AS list_sum(list_transform(
    list_zip(list_prepend(previous, samples[:-2]), samples),
    lambda step: CASE
        WHEN step[2] >= step[1] THEN step[2] - step[1]
        WHEN step[2] < step[1] THEN step[2]
    END
));
"""

_MEANINGS: Final = """
CREATE OR REPLACE TEMP MACRO counts_once(type, job_id) AS
    type <> 'document_updated' AND (type <> 'step' OR job_id IS NOT NULL);
CREATE OR REPLACE TEMP MACRO matches_glob(x, pattern) AS x GLOB pattern;
CREATE OR REPLACE TEMP MACRO literal_characters(pattern) AS
    length(regexp_replace(pattern, '\\[[^\\]]+\\]|[*?]', '', 'g'));
CREATE OR REPLACE TEMP MACRO tokens_cost(input_tokens, output_tokens, input_per_1m_usd, output_per_1m_usd) AS CASE
    WHEN coalesce(input_tokens, output_tokens) IS NOT NULL THEN (
        CASE WHEN input_tokens > 0 THEN input_tokens * input_per_1m_usd ELSE 0 END
        + CASE WHEN output_tokens > 0 THEN output_tokens * output_per_1m_usd ELSE 0 END
    ) / 1000000
END;
CREATE OR REPLACE TEMP MACRO price_applies(model, provider, price_model, price_provider) AS
    matches_glob(model, price_model) AND coalesce(nullif(price_provider, ''), provider) IS NOT DISTINCT FROM provider;
CREATE OR REPLACE TEMP MACRO superseding(best_first) AS list_transform(best_first, lambda tariff, nth: struct_insert(
    tariff,
    superseded_at := list_min(list_transform(best_first[:nth - 1], lambda better_tariff: better_tariff.valid_from))
));
CREATE OR REPLACE TEMP MACRO price_periods(model, provider, valid_from, input_per_1m_usd, output_per_1m_usd) AS
    superseding(list(
        struct_pack(
            valid_from := valid_from,
            input_per_1m_usd := input_per_1m_usd,
            output_per_1m_usd := output_per_1m_usd
        )
        ORDER BY
            literal_characters(model) DESC,
            valid_from DESC,
            nullif(provider, '') NULLS LAST,
            model,
            input_per_1m_usd,
            output_per_1m_usd
    ));
CREATE OR REPLACE TEMP MACRO price_holds(price, t) AS
    t >= price.valid_from AND (price.superseded_at IS NULL OR t < price.superseded_at);
CREATE OR REPLACE TEMP MACRO estimated_cost(cost_usd, input_tokens, output_tokens, price) AS CASE
    WHEN cost_usd IS NOT NULL THEN cost_usd
    WHEN price IS NOT NULL THEN
        tokens_cost(input_tokens, output_tokens, price.input_per_1m_usd, price.output_per_1m_usd)
END;
"""
"""`price_periods` aggregates the prices that apply to a model: each with the moment from which a better one holds, so
that at any moment at most one does. Better is: more literal characters, then newer, then the provider's own.
"""

_TOPICS: Final = r"""
CREATE OR REPLACE TEMP MACRO without_apostrophes(text) AS
    regexp_replace(text, '[''`\x{b4}\x{2b9}\x{2bb}\x{2bc}\x{2018}\x{2019}\x{201b}\x{2032}\x{ff07}]', '', 'g');
CREATE OR REPLACE TEMP MACRO words(text) AS trim(regexp_replace(text, '[^\pL\pN]+', ' ', 'g'));
CREATE OR REPLACE TEMP MACRO stripped(text) AS
    regexp_replace(text, '^[\s\x{b}\x{1c}-\x{1f}\x{85}\pZ]+|[\s\x{b}\x{1c}-\x{1f}\x{85}\pZ]+$', '', 'g');
CREATE OR REPLACE TEMP MACRO canonical(text) AS coalesce(
    nullif(words(without_apostrophes(strip_accents(replace(lower(text), chr(962), chr(963))))), ''),
    stripped(text)
);
"""
"""`canonical(text)` is what the spellings of one question have in common: two questions are of one topic where it is
equal. Lower case (a final sigma is a sigma), without accents (every combining mark of the decomposed text), without
apostrophes (straight, curly, reversed, modifier letters, full width, and the backtick, acute accent and prime that are
typed for them); every run of what is neither a letter (Unicode L) nor a digit (N) one blank; trimmed. Where nothing is
left of it, the raw text without the white space around it.
"""


def macros(timezone: str = "UTC") -> str:
    """The text of all macros for a reporting timezone; part of the fingerprint of every table.

    Raises:
        UsageError: there is no such timezone.
    """
    if timezone in UTC_NAMES:
        clock = _UTC_CLOCK
    else:
        _check_timezone(timezone)
        clock = _ZONE_CLOCK.format(zone=literal(timezone))
    return clock + _CALENDAR + _SUMS + _HISTOGRAM + _ORDER + _MEANINGS + _TOPICS


def kept_macros() -> str:
    """The macros that a database keeps for its readers: what makes percentiles of latency_histogram's rows."""
    return _HISTOGRAM.replace(" TEMP MACRO ", " MACRO ")


def connect(
    *,
    timezone: str | None = "UTC",
    memory_limit: int | None = None,
    threads: int | None = None,
    temp_directory: Path | None = None,
    database: str = ":memory:",
) -> duckdb.DuckDBPyConnection:
    """Open a database in which tables' selects run; `timezone` is that of the reports, the session's is always UTC.

    Without a timezone there are no macros; without a memory limit, in bytes, it is the default one.

    Raises:
        UsageError: there is no such timezone.
    """
    definitions = macros(timezone) if timezone else ""
    config: dict[str, str | bool | int | float | list[str]] = {
        "autoinstall_known_extensions": False,
        "autoload_known_extensions": False,
        "python_enable_replacements": False,  # a name in SQL is no variable of this program
        "memory_limit": f"{memory_limit or config_memory.of_engine(None)}B",
    }
    if threads is not None:
        config["threads"] = threads
    if temp_directory is not None:
        config["temp_directory"] = str(temp_directory)
    connection = duckdb.connect(database, config=config)
    connection.execute(_SESSION + definitions)
    return connection


def beside(connection: duckdb.DuckDBPyConnection, timezone: str | None = None) -> duckdb.DuckDBPyConnection:
    """Another connection to the same database, for another thread, with nothing bound; `timezone` as of `connect`."""
    other = connection.cursor()
    other.execute(_SESSION + (macros(timezone) if timezone else ""))
    return other


def threads(connection: duckdb.DuckDBPyConnection) -> int:
    """How many threads a database works with."""
    return int(connection.execute("SELECT current_setting('threads')").fetchall()[0][0])


def memory(connection: duckdb.DuckDBPyConnection) -> int:
    """How many bytes a database may use."""
    found = connection.execute("SELECT parse_formatted_bytes(current_setting('memory_limit'))").fetchall()
    return int(found[0][0])


def run(
    connection: duckdb.DuckDBPyConnection,
    select: str,
    parameters: Mapping[str, object] | None = None,
) -> duckdb.DuckDBPyRelation:
    """A table's select as a relation; of the parameters those that it names are passed.

    Raises:
        duckdb.Error: the select is not one, or needs a parameter or a relation that is not there.
    """
    return connection.sql(select, params=named(connection, select, parameters or {}))


def named(connection: duckdb.DuckDBPyConnection, query: str, parameters: Mapping[str, object]) -> dict[str, object]:
    """Of some parameters those that a query names: DuckDB takes no others.

    Raises:
        duckdb.Error: the query is not one statement.
    """
    if "$" not in query:  # parsing costs as much as a small query
        return {}
    (statement,) = connection.extract_statements(query)
    return {name: value for name, value in parameters.items() if name in statement.named_parameters}


def _check_timezone(name: str) -> None:
    try:
        zoneinfo.ZoneInfo(name)
    except (ValueError, OSError, zoneinfo.ZoneInfoNotFoundError):
        raise UsageError.unknown("timezone", name, zoneinfo.available_timezones()) from None
