-- How many requests were answered from a cache, over a window.
-- grain: window
-- partition: window
-- windows: 24h, 7d, 30d
-- sort: window_hours, as_of

SELECT
    CAST($window_hours AS BIGINT) AS window_hours,  -- how long the window is
    CAST($as_of AS TIMESTAMP WITH TIME ZONE) AS as_of,  -- when it ends, inclusive
    count(*) AS requests,  -- model calls and assistant answers
    count(*) FILTER (WHERE cached) AS hits,  -- of those, the ones answered from a cache
    count(*) FILTER (WHERE NOT cached) AS misses,  -- of those, the ones that were not
    count(*) FILTER (WHERE cached IS NULL) AS unknown,  -- of those, the ones that do not say
    count(*) FILTER (WHERE cached) / nullif(count(cached), 0) AS hit_rate  -- hits / (hits + misses)
FROM events
WHERE type = 'llm_request'
