-- How long the first token of an answer took, over a window.
-- grain: window
-- partition: window
-- windows: 24h, 7d, 30d
-- sort: window_hours, as_of

SELECT
    CAST($window_hours AS BIGINT) AS window_hours,  -- how long the window is
    CAST($as_of AS TIMESTAMP WITH TIME ZONE) AS as_of,  -- when it ends, inclusive
    count(*) AS requests,  -- requests whose time to the first token is known
    percentiles(ttft_ms).p50 AS p50_ttft_ms,  -- the median
    percentiles(ttft_ms).p95 AS p95_ttft_ms,  -- 95 % are at most this long
    percentiles(ttft_ms).p99 AS p99_ttft_ms  -- 99 % are at most this long
FROM events
WHERE type = 'llm_request' AND ttft_ms IS NOT NULL
