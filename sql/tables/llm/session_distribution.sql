-- How many sessions had one, some or many questions, over a window; always three rows.
-- grain: window, bucket
-- partition: window
-- windows: 24h, 7d, 30d
-- sort: window_hours, as_of, list_position(['single', 'normal', 'power'], bucket)

WITH buckets AS (
    SELECT bucket
    FROM (VALUES ('single'), ('normal'), ('power')) AS named(bucket)
),

sessions AS (
    SELECT
        session_id,
        CASE
            WHEN count(*) = 1 THEN 'single'
            WHEN count(*) < 6 THEN 'normal'
            ELSE 'power'
        END AS bucket
    FROM events
    WHERE type = 'question' AND session_id IS NOT NULL
    GROUP BY session_id
),

bucket_sessions AS (
    SELECT
        buckets.bucket,
        count(sessions.session_id) AS sessions
    FROM buckets
    LEFT JOIN sessions ON buckets.bucket = sessions.bucket
    GROUP BY ALL
)

SELECT
    CAST($window_hours AS BIGINT) AS window_hours,  -- how long the window is
    CAST($as_of AS TIMESTAMP WITH TIME ZONE) AS as_of,  -- when it ends, inclusive
    bucket,  -- single: one question; normal: 2 to 5; power: 6 and more
    sessions,  -- sessions with so many questions in the window
    sessions / nullif(sum(sessions) OVER (), 0) AS session_share  -- of all sessions with a question in the window
FROM bucket_sessions
