-- Each session from its first event to its last: whose it is, how long it went on, what it cost.
-- grain: session_id
-- partition: none
-- sort: session_id

SELECT
    session_id,  -- the session
    earliest(user_id, first_at) AS user_id,  -- the first that its events name; of equally early ones the smallest
    earliest(project, first_at) AS project,  -- likewise
    min(first_at) AS started_at,  -- its first event
    max(last_at) AS ended_at,  -- its last event
    elapsed_seconds(min(first_at), max(last_at)) AS duration_seconds,  -- ended_at - started_at
    whole_sum(events) AS events,  -- events of every type
    whole_sum(errors) AS errors,  -- events of type error_occurred
    whole_sum(questions) AS questions,  -- events of type question
    exact_sum(total_duration_ms) AS total_duration_ms,  -- the sum of the known durations
    whole_sum(total_tokens) AS total_tokens,  -- tokens in all
    exact_sum(cost_usd) AS cost_usd  -- the sum of the known costs
FROM session_activity_daily
WHERE session_id IS NOT NULL
GROUP BY ALL
