-- Everything that happened in a window in one row: how much, how it ended, how long it took, and what it was.
-- grain: one row
-- partition: window
-- windows: 24h
-- sort: events

WITH counted_events AS (
    SELECT
        type,
        session_id,
        user_id,
        success,
        CASE WHEN type = 'tool_use' THEN coalesce(tool_name, 'unknown') END AS tool,
        CASE WHEN type = 'agent_execution' THEN coalesce(agent_id, 'unknown') END AS agent,
        CASE WHEN type = 'error_occurred' THEN coalesce(error_type, category, 'unknown') END AS error,
        CASE WHEN counts_once(type, job_id) THEN duration_ms END AS duration_ms,
        CASE WHEN counts_once(type, job_id) THEN total_tokens END AS total_tokens
    FROM events
)

SELECT
    count(*) AS events,  -- events of every type
    count(*) FILTER (WHERE type = 'error_occurred') AS errors,  -- events of type error_occurred
    count(DISTINCT session_id) AS sessions,  -- distinct sessions that events carry
    count(DISTINCT user_id) AS users,  -- distinct users that events carry
    count(*) FILTER (WHERE success) AS successes,  -- events that succeeded
    count(*) FILTER (WHERE NOT success) AS failures,  -- events that failed
    exact_sum(duration_ms) AS total_duration_ms,  -- the sum of the known durations
    exact_sum(duration_ms) / count(duration_ms) AS avg_duration_ms,  -- the mean of the known durations
    min(duration_ms) AS min_duration_ms,  -- the shortest
    max(duration_ms) AS max_duration_ms,  -- the longest
    percentiles(duration_ms).p50 AS p50_duration_ms,  -- the median
    percentiles(duration_ms).p95 AS p95_duration_ms,  -- 95 % are at most this long
    percentiles(duration_ms).p99 AS p99_duration_ms,  -- 99 % are at most this long
    whole_sum(total_tokens) AS total_tokens,  -- tokens in all
    whole_sum(total_tokens) / nullif(count(DISTINCT session_id), 0) AS tokens_per_session,  -- total_tokens / sessions
    histogram(type) AS types,  -- how many events of each type
    histogram(tool) AS tools,  -- how often each tool was used
    histogram(agent) AS agents,  -- how often each agent ran
    histogram(error) AS error_types  -- how many errors of each type; of its category, where an error has none
FROM counted_events
