-- How often each function was called on each day, how that ended, how long it took.
-- grain: day, function, category
-- partition: day
-- sort: day, function, category

WITH function_calls AS (
    SELECT
        local_day(timestamp) AS day,
        name AS function,
        category,
        success,
        duration_ms,
        duration_ms / 1000 AS duration_seconds,
        overhead_ms,
        CASE WHEN duration_ms IS NOT NULL
            THEN struct_pack(at := timestamp, seconds := duration_ms / 1000, success := success) END AS timed_call,
        struct_pack(length := duration_ms, at := timestamp, id := id, source := source) AS shortest_first,
        struct_pack(length := -duration_ms, at := timestamp, id := id, source := source) AS longest_first
    FROM events
    WHERE type = 'function_call'
)

SELECT
    day,  -- the local date
    function,  -- the function, NULL for calls that do not say which
    category,  -- the caller's own grouping, NULL for calls without one
    count(*) AS calls,  -- events of type function_call
    count(*) FILTER (WHERE success) AS successes,  -- calls that succeeded
    count(*) FILTER (WHERE NOT success) AS failures,  -- calls that failed
    count(*) FILTER (WHERE success IS NULL) AS unknown,  -- calls that say neither
    count(*) FILTER (WHERE success) / nullif(count(success), 0) AS success_rate,  -- successes / (successes + failures)
    count(duration_seconds) AS count_duration_seconds,  -- how many durations are known
    exact_sum(duration_ms) / 1000 AS total_duration_seconds,  -- the sum of the known durations
    exact_sum(duration_ms) / 1000 / count(duration_ms) AS avg_duration_seconds,  -- the mean of the known durations
    min(duration_seconds) AS min_duration_seconds,  -- the shortest
    max(duration_seconds) AS max_duration_seconds,  -- the longest
    percentiles(duration_seconds).p50 AS p50_duration_seconds,  -- the median
    percentiles(duration_seconds).p95 AS p95_duration_seconds,  -- 95 % are at most this long
    percentiles(duration_seconds).p99 AS p99_duration_seconds,  -- 99 % are at most this long
    count(*) FILTER (WHERE duration_seconds <= $short_max) AS fast,  -- calls of at most short_max seconds
    count(*) FILTER (WHERE duration_seconds > $short_max AND duration_seconds <= $medium_max)
        AS medium,  -- calls of more than short_max and at most medium_max seconds
    count(*) FILTER (WHERE duration_seconds > $medium_max) AS slow,  -- calls of more than medium_max seconds
    count(*) FILTER (WHERE success AND duration_seconds <= $short_max) AS fast_successes,  -- fast calls that succeeded
    exact_sum(CASE WHEN success AND duration_seconds <= $short_max THEN duration_ms END) / 1000
        AS fast_success_seconds,  -- how long those took
    exact_sum(overhead_ms) / 1000 AS overhead_seconds,  -- what tracking the calls took, as far as it is known
    arg_min(timed_call, longest_first).at
        AS slowest_at,  -- when the longest call began; the first of equals, then by id
    arg_min(timed_call, longest_first).seconds AS slowest_seconds,  -- how long it took
    arg_min(timed_call, longest_first).success AS slowest_success,  -- whether it succeeded, NULL when it does not say
    arg_min(timed_call, shortest_first).at
        AS fastest_at,  -- when the shortest call began; the first of equals, then by id
    arg_min(timed_call, shortest_first).seconds AS fastest_seconds,  -- how long it took
    arg_min(timed_call, shortest_first).success AS fastest_success  -- whether it succeeded, NULL when it does not say
FROM function_calls
GROUP BY ALL
