-- What each user did: the sessions that belong to the user, and the events without a session that name the user.
-- grain: user_id
-- partition: none
-- sort: user_id

WITH user_activity AS (
    SELECT
        user_id,
        session_id,
        started_at AS first_at,
        ended_at AS last_at,
        events,
        errors,
        total_duration_ms,
        total_tokens,
        cost_usd
    FROM sessions
    WHERE user_id IS NOT NULL
    UNION ALL
    SELECT
        user_id,
        session_id,
        first_at,
        last_at,
        events,
        errors,
        total_duration_ms,
        total_tokens,
        cost_usd
    FROM session_activity_daily
    WHERE session_id IS NULL AND user_id IS NOT NULL
)

SELECT
    user_id,  -- the user
    count(session_id) AS sessions,  -- sessions that belong to the user
    whole_sum(events) AS events,  -- events of every type: of these sessions, and without a session
    whole_sum(errors) AS errors,  -- events of type error_occurred
    exact_sum(total_duration_ms) AS total_duration_ms,  -- the sum of the known durations
    whole_sum(total_tokens) AS total_tokens,  -- tokens in all
    exact_sum(cost_usd) AS cost_usd,  -- the sum of the known costs
    min(first_at) AS first_at,  -- the first of these events
    max(last_at) AS last_at  -- the last of these events
FROM user_activity
GROUP BY ALL
