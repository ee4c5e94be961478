-- What the events of each job say on each day: steps, errors, logs, validations, cost.
-- grain: day, job_id
-- partition: day
-- sort: day, job_id

SELECT
    local_day(timestamp) AS day,  -- the local date
    job_id,  -- the job that the events name
    earliest(workflow_id, timestamp) AS workflow_id,  -- the first that they name; of equally early ones the smallest
    earliest(user_id, timestamp) AS user_id,  -- likewise
    count(*) FILTER (WHERE type = 'step') AS steps,  -- attempts of steps that ended
    count(*) FILTER (WHERE type = 'step' AND success) AS completed_steps,  -- of those, the ones that succeeded
    count(*) FILTER (WHERE type = 'step' AND duration_ms > 0) AS timed_steps,  -- of those, the ones that took time
    exact_sum(CASE WHEN type = 'step' THEN duration_ms END) / 1000 AS step_seconds,  -- how long the steps took
    exact_sum(CASE WHEN type = 'step' AND success THEN duration_ms END) / 1000
        AS completed_step_seconds,  -- how long the steps took that succeeded
    exact_sum(cost_usd) AS events_cost_usd,  -- the sum of the known costs of all its events
    count(*) FILTER (WHERE type = 'error_occurred') AS errors,  -- events of type error_occurred
    count(DISTINCT id) FILTER (WHERE type = 'log') AS logs,  -- distinct lines that it logged
    count(*) FILTER (WHERE type = 'validation') AS validations,  -- rules that were checked
    count(*) FILTER (WHERE type = 'validation' AND success AND status IS DISTINCT FROM 'skipped')
        AS validations_passed  -- of those, the ones that passed
FROM events
WHERE job_id IS NOT NULL
GROUP BY ALL
