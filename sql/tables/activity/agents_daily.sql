-- How often each agent ran on each day, how that ended, how long it took.
-- grain: day, agent_id
-- partition: day
-- sort: day, agent_id

SELECT
    local_day(timestamp) AS day,  -- the local date
    agent_id,  -- the agent, NULL for runs that do not say which
    count(*) AS uses,  -- events of type agent_execution
    count(*) FILTER (WHERE success) AS successes,  -- runs that succeeded
    count(*) FILTER (WHERE NOT success) AS failures,  -- runs that failed
    count(*) FILTER (WHERE success IS NULL) AS unknown,  -- runs that say neither
    count(*) FILTER (WHERE success) / nullif(count(success), 0) AS success_rate,  -- successes / (successes + failures)
    count(duration_ms) AS count_duration_ms,  -- how many durations are known
    exact_sum(duration_ms) AS total_duration_ms,  -- the sum of the known durations
    exact_sum(duration_ms) / count(duration_ms) AS avg_duration_ms,  -- the mean of the known durations
    min(duration_ms) AS min_duration_ms,  -- the shortest
    max(duration_ms) AS max_duration_ms,  -- the longest
    percentiles(duration_ms).p50 AS p50_duration_ms,  -- the median
    percentiles(duration_ms).p95 AS p95_duration_ms,  -- 95 % are at most this long
    percentiles(duration_ms).p99 AS p99_duration_ms  -- 99 % are at most this long
FROM events
WHERE type = 'agent_execution'
GROUP BY ALL
