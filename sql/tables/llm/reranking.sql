-- How much reranking improved what was retrieved, over a window.
-- grain: window
-- partition: window
-- windows: 24h, 7d, 30d
-- sort: window_hours, as_of

SELECT
    CAST($window_hours AS BIGINT) AS window_hours,  -- how long the window is
    CAST($as_of AS TIMESTAMP WITH TIME ZONE) AS as_of,  -- when it ends, inclusive
    count(*) AS reranks,  -- how often results were reranked
    ordered_sum(value, timestamp, id) / count(value) AS avg_improvement  -- the mean of the known improvements
FROM events
WHERE type = 'rerank'
