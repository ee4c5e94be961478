-- What each session, user, tool, agent or project did in a window.
-- grain: window, name
-- partition: window
-- windows: 24h
-- sort: events DESC, name

WITH named_events AS (
    SELECT
        CASE $grouping
            WHEN 'by_session' THEN events.session_id
            WHEN 'by_user' THEN CASE WHEN events.session_id IS NULL THEN events.user_id ELSE sessions.user_id END
            WHEN 'by_project' THEN CASE WHEN events.session_id IS NULL THEN events.project ELSE sessions.project END
            WHEN 'by_tool' THEN events.tool_name
            WHEN 'by_agent' THEN events.agent_id
        END AS name,
        events.timestamp,
        events.type,
        events.success,
        CASE WHEN counts_once(events.type, events.job_id) THEN events.duration_ms END AS duration_ms,
        CASE WHEN counts_once(events.type, events.job_id) THEN events.total_tokens END AS total_tokens,
        CASE WHEN counts_once(events.type, events.job_id) THEN events.cost_usd END AS cost_usd
    FROM events
    LEFT JOIN sessions ON $grouping IN ('by_user', 'by_project') AND events.session_id = sessions.session_id
)

SELECT
    name,  -- the session, user, tool, agent or project; what belongs to none has no row
    count(*) AS events,  -- events of every type; of a session's user and project all of the session
    count(*) FILTER (WHERE type = 'error_occurred') AS errors,  -- events of type error_occurred
    count(*) FILTER (WHERE success) AS successes,  -- events that succeeded
    count(*) FILTER (WHERE NOT success) AS failures,  -- events that failed
    exact_sum(duration_ms) AS total_duration_ms,  -- the sum of the known durations
    exact_sum(duration_ms) / count(duration_ms) AS avg_duration_ms,  -- the mean of the known durations
    whole_sum(total_tokens) AS total_tokens,  -- tokens in all
    exact_sum(cost_usd) AS cost_usd,  -- the sum of the known costs
    min(timestamp) AS first_at,  -- the first event
    max(timestamp) AS last_at  -- the last
FROM named_events
WHERE name IS NOT NULL
GROUP BY ALL
