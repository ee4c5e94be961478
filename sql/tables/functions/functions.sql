-- How often each function was called over all days, how that ended, how long it took.
-- grain: function, category
-- partition: none
-- sort: function, category

WITH function_days AS (
    SELECT
        *,
        CASE WHEN slowest_at IS NOT NULL
            THEN struct_pack(at := slowest_at, seconds := slowest_seconds, success := slowest_success) END AS slowest,
        CASE WHEN fastest_at IS NOT NULL
            THEN struct_pack(at := fastest_at, seconds := fastest_seconds, success := fastest_success) END AS fastest,
        struct_pack(length := -slowest_seconds, at := slowest_at) AS longest_first,
        struct_pack(length := fastest_seconds, at := fastest_at) AS shortest_first
    FROM functions_daily
),

function_totals AS (
    SELECT
        function,
        category,
        whole_sum(calls) AS calls,
        whole_sum(successes) AS successes,
        whole_sum(failures) AS failures,
        whole_sum(unknown) AS unknown,
        whole_sum(count_duration_seconds) AS count_duration_seconds,
        exact_sum(total_duration_seconds) AS total_duration_seconds,
        min(min_duration_seconds) AS min_duration_seconds,
        max(max_duration_seconds) AS max_duration_seconds,
        whole_sum(fast) AS fast,
        whole_sum(medium) AS medium,
        whole_sum(slow) AS slow,
        whole_sum(fast_successes) AS fast_successes,
        exact_sum(fast_success_seconds) AS fast_success_seconds,
        exact_sum(overhead_seconds) AS overhead_seconds,
        arg_min(slowest, longest_first) AS slowest,
        arg_min(fastest, shortest_first) AS fastest
    FROM function_days
    GROUP BY ALL
),

function_buckets AS (
    SELECT
        name AS function,
        category,
        bucket,
        whole_sum(events) AS events
    FROM latency_histogram
    WHERE type = 'function_call'
    GROUP BY ALL
),

function_percentiles AS (
    SELECT
        function,
        category,
        histogram_percentile(bucket, events, 0.5) / 1000 AS p50_duration_seconds,
        histogram_percentile(bucket, events, 0.95) / 1000 AS p95_duration_seconds,
        histogram_percentile(bucket, events, 0.99) / 1000 AS p99_duration_seconds
    FROM function_buckets
    GROUP BY ALL
)

SELECT
    function_totals.function,  -- the function, NULL for calls that do not say which
    function_totals.category,  -- the caller's own grouping, NULL for calls without one
    function_totals.calls,  -- events of type function_call
    function_totals.successes,  -- calls that succeeded
    function_totals.failures,  -- calls that failed
    function_totals.unknown,  -- calls that say neither
    function_totals.successes / nullif(function_totals.successes + function_totals.failures, 0)
        AS success_rate,  -- successes / (successes + failures)
    function_totals.count_duration_seconds,  -- how many durations are known
    function_totals.total_duration_seconds,  -- the sum of the known durations
    function_totals.total_duration_seconds / function_totals.count_duration_seconds
        AS avg_duration_seconds,  -- the mean of the known durations
    function_totals.min_duration_seconds,  -- the shortest
    function_totals.max_duration_seconds,  -- the longest
    function_percentiles.p50_duration_seconds,  -- the median, from latency_histogram: at most 1 % off
    function_percentiles.p95_duration_seconds,  -- 95 % are at most this long, likewise
    function_percentiles.p99_duration_seconds,  -- 99 % are at most this long, likewise
    function_totals.fast,  -- calls of at most short_max seconds
    function_totals.medium,  -- calls of more than short_max and at most medium_max seconds
    function_totals.slow,  -- calls of more than medium_max seconds
    function_totals.fast_successes,  -- fast calls that succeeded
    function_totals.fast_success_seconds,  -- how long those took
    function_totals.overhead_seconds,  -- what tracking the calls took, as far as it is known
    function_totals.slowest.at AS slowest_at,  -- when the longest call began; of several the first, then by id
    function_totals.slowest.seconds AS slowest_seconds,  -- how long it took
    function_totals.slowest.success AS slowest_success,  -- whether it succeeded, NULL when it does not say
    function_totals.fastest.at AS fastest_at,  -- when the shortest call began; of several the first, then by id
    function_totals.fastest.seconds AS fastest_seconds,  -- how long it took
    function_totals.fastest.success AS fastest_success  -- whether it succeeded, NULL when it does not say
FROM function_totals
LEFT JOIN function_percentiles
    ON function_totals.function IS NOT DISTINCT FROM function_percentiles.function
    AND function_totals.category IS NOT DISTINCT FROM function_percentiles.category
