-- The 100 longest steps of jobs on each day.
-- grain: day, rank
-- partition: day
-- sort: day, rank

WITH timed_steps AS (
    SELECT
        local_day(timestamp) AS day,
        job_id,
        name AS step,
        timestamp AS started_at,
        duration_ms / 1000 AS duration_seconds,
        success,
        row_number() OVER (
            PARTITION BY local_day(timestamp)
            ORDER BY duration_ms / 1000 DESC, timestamp, id, source
        ) AS rank
    FROM events
    WHERE type = 'step' AND job_id IS NOT NULL AND duration_ms > 0
)

SELECT
    day,  -- the local date
    rank,  -- 1 for the longest; of equally long ones the first by time, then id, comes first
    job_id,  -- the job that the step is of
    step,  -- its name
    started_at,  -- when it began
    duration_seconds,  -- how long it took
    success  -- whether it succeeded, NULL when it does not say
FROM timed_steps
WHERE rank <= 100
