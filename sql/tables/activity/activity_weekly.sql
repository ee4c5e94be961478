-- How much happened in each week, how it ended, how long it took, what it cost.
-- grain: week_start
-- partition: week
-- sort: week_start

WITH counted_events AS (
    SELECT
        local_week(timestamp) AS week_start,
        type,
        session_id,
        user_id,
        success,
        CASE WHEN counts_once(type, job_id) THEN duration_ms END AS duration_ms,
        CASE WHEN counts_once(type, job_id) THEN input_tokens END AS input_tokens,
        CASE WHEN counts_once(type, job_id) THEN output_tokens END AS output_tokens,
        CASE WHEN counts_once(type, job_id) THEN total_tokens END AS total_tokens,
        CASE WHEN counts_once(type, job_id) THEN cost_usd END AS cost_usd
    FROM events
)

SELECT
    week_start,  -- the local date of the Monday that the week begins with
    count(*) AS events,  -- events of every type
    count(*) FILTER (WHERE type = 'error_occurred') AS errors,  -- events of type error_occurred
    count(DISTINCT session_id) AS sessions,  -- distinct sessions that events carry
    count(DISTINCT user_id) AS users,  -- distinct users that events carry
    count(*) FILTER (WHERE success) AS successes,  -- events that succeeded
    count(*) FILTER (WHERE NOT success) AS failures,  -- events that failed
    count(*) FILTER (WHERE success IS NULL) AS unknown,  -- events that say neither
    count(*) FILTER (WHERE success) / nullif(count(success), 0) AS success_rate,  -- successes / (successes + failures)
    count(duration_ms) AS count_duration_ms,  -- how many durations are known
    exact_sum(duration_ms) AS total_duration_ms,  -- the sum of the known durations
    exact_sum(duration_ms) / count(duration_ms) AS avg_duration_ms,  -- the mean of the known durations
    min(duration_ms) AS min_duration_ms,  -- the shortest
    max(duration_ms) AS max_duration_ms,  -- the longest
    percentiles(duration_ms).p50 AS p50_duration_ms,  -- the median
    percentiles(duration_ms).p95 AS p95_duration_ms,  -- 95 % are at most this long
    percentiles(duration_ms).p99 AS p99_duration_ms,  -- 99 % are at most this long
    whole_sum(input_tokens) AS input_tokens,  -- tokens that models read
    whole_sum(output_tokens) AS output_tokens,  -- tokens that models wrote
    whole_sum(total_tokens) AS total_tokens,  -- tokens in all
    whole_sum(total_tokens) / nullif(count(DISTINCT session_id), 0) AS tokens_per_session,  -- total_tokens / sessions
    exact_sum(cost_usd) AS cost_usd  -- the sum of the known costs
FROM counted_events
GROUP BY ALL
