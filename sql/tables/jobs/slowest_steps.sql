-- The 100 longest steps of jobs in all.
-- grain: rank
-- partition: none
-- sort: rank

WITH ranked_steps AS (
    SELECT
        -- Equally long steps of one instant are of one day, whose rank has them in the order of their ids.
        row_number() OVER (ORDER BY duration_seconds DESC, started_at, rank) AS rank,
        job_id,
        step,
        started_at,
        duration_seconds,
        success
    FROM slowest_steps_daily
)

SELECT
    rank,  -- 1 for the longest; of equally long ones the first by time, then id, comes first
    job_id,  -- the job that the step is of
    step,  -- its name
    started_at,  -- when it began
    duration_seconds,  -- how long it took
    success  -- whether it succeeded, NULL when it does not say
FROM ranked_steps
WHERE rank <= 100
