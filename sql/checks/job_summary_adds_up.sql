-- The statuses of job_summary add up to its jobs, and these are the jobs of job_states.
-- severity: fail

WITH states AS (
    SELECT count(*) AS jobs
    FROM job_states
)

SELECT
    states.jobs AS jobs_in_job_states,
    summary
FROM job_summary AS summary
CROSS JOIN states
WHERE
    summary.jobs IS DISTINCT FROM states.jobs
    OR summary.jobs IS DISTINCT FROM
    summary.pending + summary.queued + summary.running + summary.paused
    + summary.completed + summary.failed + summary.cancelled + summary.other
