-- How long each step of answering took and how many tokens it used, over a window.
-- grain: window, step
-- partition: window
-- windows: 24h, 7d, 30d
-- sort: window_hours, as_of, list_position(['connection', 'cache_lookup', 'query_rewrite', 'vectorization', 'retrieval', 'reranking', 'synthesis', 'persistence', 'cache_update', 'trending'], step), step

SELECT
    CAST($window_hours AS BIGINT) AS window_hours,  -- how long the window is
    CAST($as_of AS TIMESTAMP WITH TIME ZONE) AS as_of,  -- when it ends, inclusive
    name AS step,  -- the step; those of the vocabulary first, as they follow each other, then the rest by name
    count(*) AS steps,  -- how often it was taken, as a part of a request: steps of jobs are not counted
    exact_sum(duration_ms) / count(duration_ms) AS avg_duration_ms,  -- the mean of the known durations
    percentiles(duration_ms).p95 AS p95_duration_ms,  -- 95 % are at most this long
    exact_sum(input_tokens) / count(input_tokens) AS avg_input_tokens,  -- the mean of the known tokens that it read
    exact_sum(output_tokens) / count(output_tokens) AS avg_output_tokens  -- the mean of the known tokens that it wrote
FROM events
WHERE type = 'step' AND job_id IS NULL
GROUP BY ALL
