-- What each user's requests used and cost, over a window.
-- grain: window, user_id
-- partition: window
-- windows: 24h, 7d, 30d
-- sort: window_hours, as_of, user_id

WITH user_events AS (
    SELECT
        id,
        timestamp,
        user_id,
        type = 'llm_request' AS is_request,
        CASE WHEN type = 'llm_request' THEN user_name END AS user_name,
        CASE WHEN type = 'llm_request' THEN total_tokens END AS total_tokens,
        CASE WHEN type = 'llm_request' THEN cost_usd END AS cost_usd
    FROM events
    WHERE user_id IS NOT NULL
)

SELECT
    CAST($window_hours AS BIGINT) AS window_hours,  -- how long the window is
    CAST($as_of AS TIMESTAMP WITH TIME ZONE) AS as_of,  -- when it ends, inclusive
    user_id,  -- the user; one without a request in the window has no row
    latest(user_name, timestamp, id) AS user_name,  -- the newest name that a request in the window carries
    count(*) FILTER (WHERE is_request) AS requests,  -- model calls and assistant answers
    whole_sum(total_tokens) AS total_tokens,  -- their tokens
    exact_sum(cost_usd) AS cost_usd,  -- the sum of their known costs
    max(timestamp) AS last_active  -- the user's newest event of any type in the window
FROM user_events
GROUP BY ALL
HAVING count(*) FILTER (WHERE is_request) > 0
