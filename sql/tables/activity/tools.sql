-- How often each tool was used over all days, how that ended, how long it took.
-- grain: tool_name
-- partition: none
-- sort: tool_name

WITH tool_uses AS (
    SELECT
        tool_name,
        whole_sum(uses) AS uses,
        whole_sum(successes) AS successes,
        whole_sum(failures) AS failures,
        whole_sum(unknown) AS unknown,
        whole_sum(count_duration_ms) AS count_duration_ms,
        exact_sum(total_duration_ms) AS total_duration_ms,
        min(min_duration_ms) AS min_duration_ms,
        max(max_duration_ms) AS max_duration_ms
    FROM tools_daily
    GROUP BY ALL
),

tool_buckets AS (
    SELECT
        name AS tool_name,
        bucket,
        whole_sum(events) AS events
    FROM latency_histogram
    WHERE type = 'tool_use'
    GROUP BY ALL
),

tool_percentiles AS (
    SELECT
        tool_name,
        histogram_percentile(bucket, events, 0.5) AS p50_duration_ms,
        histogram_percentile(bucket, events, 0.95) AS p95_duration_ms,
        histogram_percentile(bucket, events, 0.99) AS p99_duration_ms
    FROM tool_buckets
    GROUP BY ALL
)

SELECT
    tool_uses.tool_name,  -- the tool, NULL for uses that do not say which
    tool_uses.uses,  -- events of type tool_use
    tool_uses.successes,  -- uses that succeeded
    tool_uses.failures,  -- uses that failed
    tool_uses.unknown,  -- uses that say neither
    tool_uses.successes / nullif(tool_uses.successes + tool_uses.failures, 0)
        AS success_rate,  -- successes / (successes + failures)
    tool_uses.count_duration_ms,  -- how many durations are known
    tool_uses.total_duration_ms,  -- the sum of the known durations
    tool_uses.total_duration_ms / tool_uses.count_duration_ms AS avg_duration_ms,  -- the mean of the known durations
    tool_uses.min_duration_ms,  -- the shortest
    tool_uses.max_duration_ms,  -- the longest
    tool_percentiles.p50_duration_ms,  -- the median, from latency_histogram: at most 1 % off
    tool_percentiles.p95_duration_ms,  -- 95 % are at most this long, likewise
    tool_percentiles.p99_duration_ms  -- 99 % are at most this long, likewise
FROM tool_uses
LEFT JOIN tool_percentiles ON tool_uses.tool_name IS NOT DISTINCT FROM tool_percentiles.tool_name
