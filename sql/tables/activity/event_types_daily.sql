-- What happened on each day, by type: how often, how it ended, how long it took. Leaves nothing out.
-- grain: day, type
-- partition: day
-- sort: day, type

SELECT
    local_day(timestamp) AS day,  -- the local date
    type,  -- the type of the events
    count(*) AS events,  -- events of this type
    count(*) FILTER (WHERE success) AS successes,  -- events that succeeded
    count(*) FILTER (WHERE NOT success) AS failures,  -- events that failed
    count(*) FILTER (WHERE success IS NULL) AS unknown,  -- events that say neither
    count(duration_ms) AS count_duration_ms,  -- how many durations are known
    exact_sum(duration_ms) AS total_duration_ms,  -- the sum of the known durations
    exact_sum(duration_ms) / count(duration_ms) AS avg_duration_ms,  -- the mean of the known durations
    min(duration_ms) AS min_duration_ms,  -- the shortest
    max(duration_ms) AS max_duration_ms,  -- the longest
    percentiles(duration_ms).p50 AS p50_duration_ms,  -- the median
    percentiles(duration_ms).p95 AS p95_duration_ms,  -- 95 % are at most this long
    percentiles(duration_ms).p99 AS p99_duration_ms,  -- 99 % are at most this long
    whole_sum(total_tokens) AS total_tokens,  -- tokens in all
    exact_sum(cost_usd) AS cost_usd  -- the sum of the known costs
FROM events
GROUP BY ALL
