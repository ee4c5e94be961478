-- What each session did on each day, kept apart by the user and the project that its events carry.
-- grain: day, session_id, user_id, project
-- partition: day
-- sort: day, session_id, user_id, project

WITH owned_events AS (
    SELECT
        local_day(timestamp) AS day,
        session_id,
        user_id,
        project,
        timestamp,
        type,
        success,
        CASE WHEN counts_once(type, job_id) THEN duration_ms END AS duration_ms,
        CASE WHEN counts_once(type, job_id) THEN total_tokens END AS total_tokens,
        CASE WHEN counts_once(type, job_id) THEN cost_usd END AS cost_usd
    FROM events
    WHERE session_id IS NOT NULL OR user_id IS NOT NULL OR project IS NOT NULL
)

SELECT
    day,  -- the local date
    session_id,  -- the session, NULL for events without one
    user_id,  -- the user as the events carry it
    project,  -- the project as the events carry it
    min(timestamp) AS first_at,  -- the first of these events
    max(timestamp) AS last_at,  -- the last of these events
    count(*) AS events,  -- events of every type
    count(*) FILTER (WHERE type = 'error_occurred') AS errors,  -- events of type error_occurred
    count(*) FILTER (WHERE NOT success) AS failures,  -- events that failed
    count(*) FILTER (WHERE type = 'question') AS questions,  -- events of type question
    exact_sum(duration_ms) AS total_duration_ms,  -- the sum of the known durations
    whole_sum(total_tokens) AS total_tokens,  -- tokens in all
    exact_sum(cost_usd) AS cost_usd  -- the sum of the known costs
FROM owned_events
GROUP BY ALL
