-- How often each agent ran over all days, how that ended, how long it took.
-- grain: agent_id
-- partition: none
-- sort: agent_id

WITH agent_uses AS (
    SELECT
        agent_id,
        whole_sum(uses) AS uses,
        whole_sum(successes) AS successes,
        whole_sum(failures) AS failures,
        whole_sum(unknown) AS unknown,
        whole_sum(count_duration_ms) AS count_duration_ms,
        exact_sum(total_duration_ms) AS total_duration_ms,
        min(min_duration_ms) AS min_duration_ms,
        max(max_duration_ms) AS max_duration_ms
    FROM agents_daily
    GROUP BY ALL
),

agent_buckets AS (
    SELECT
        name AS agent_id,
        bucket,
        whole_sum(events) AS events
    FROM latency_histogram
    WHERE type = 'agent_execution'
    GROUP BY ALL
),

agent_percentiles AS (
    SELECT
        agent_id,
        histogram_percentile(bucket, events, 0.5) AS p50_duration_ms,
        histogram_percentile(bucket, events, 0.95) AS p95_duration_ms,
        histogram_percentile(bucket, events, 0.99) AS p99_duration_ms
    FROM agent_buckets
    GROUP BY ALL
)

SELECT
    agent_uses.agent_id,  -- the agent, NULL for runs that do not say which
    agent_uses.uses,  -- events of type agent_execution
    agent_uses.successes,  -- runs that succeeded
    agent_uses.failures,  -- runs that failed
    agent_uses.unknown,  -- runs that say neither
    agent_uses.successes / nullif(agent_uses.successes + agent_uses.failures, 0)
        AS success_rate,  -- successes / (successes + failures)
    agent_uses.count_duration_ms,  -- how many durations are known
    agent_uses.total_duration_ms,  -- the sum of the known durations
    agent_uses.total_duration_ms / agent_uses.count_duration_ms AS avg_duration_ms,  -- the mean of the known durations
    agent_uses.min_duration_ms,  -- the shortest
    agent_uses.max_duration_ms,  -- the longest
    agent_percentiles.p50_duration_ms,  -- the median, from latency_histogram: at most 1 % off
    agent_percentiles.p95_duration_ms,  -- 95 % are at most this long, likewise
    agent_percentiles.p99_duration_ms  -- 99 % are at most this long, likewise
FROM agent_uses
LEFT JOIN agent_percentiles ON agent_uses.agent_id IS NOT DISTINCT FROM agent_percentiles.agent_id
