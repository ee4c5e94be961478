-- The statuses of jobs_daily add up to its jobs.
-- severity: fail

SELECT
    day,
    workflow_id,
    user_id,
    jobs,
    pending,
    queued,
    running,
    paused,
    completed,
    failed,
    cancelled,
    other
FROM jobs_daily
WHERE jobs IS DISTINCT FROM pending + queued + running + paused + completed + failed + cancelled + other
