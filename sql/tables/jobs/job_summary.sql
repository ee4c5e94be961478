-- All jobs in one row: what became of them, what they cost, how fast their steps went.
-- grain: one row, also of an empty lake
-- partition: none
-- sort: jobs

SELECT
    count(status) AS jobs,  -- jobs with a record, deleted ones too
    count(*) FILTER (WHERE status = 'pending') AS pending,  -- jobs that are pending now
    count(*) FILTER (WHERE status = 'queued') AS queued,  -- jobs that are queued now
    count(*) FILTER (WHERE status = 'running') AS running,  -- jobs that are running now
    count(*) FILTER (WHERE status = 'paused') AS paused,  -- jobs that are paused now
    count(*) FILTER (WHERE status = 'completed') AS completed,  -- jobs that are completed now
    count(*) FILTER (WHERE status = 'failed') AS failed,  -- jobs that are failed now
    count(*) FILTER (WHERE status = 'cancelled') AS cancelled,  -- jobs that are cancelled now
    count(*) FILTER (
        WHERE status NOT IN ('pending', 'queued', 'running', 'paused', 'completed', 'failed', 'cancelled')
    ) AS other,  -- jobs whose status is any other word
    count(*) FILTER (WHERE status = 'completed') / nullif(count(*) FILTER (WHERE status IN ('completed', 'failed')), 0)
        AS success_rate,  -- completed / (completed + failed)
    exact_sum(CASE WHEN status IS NOT NULL THEN cost_usd END) AS cost_usd,  -- the sum of the jobs' known costs
    count(*) FILTER (WHERE status IS NOT NULL AND cost_usd > 0) AS jobs_with_cost,  -- jobs that cost more than nothing
    exact_sum(CASE WHEN status IS NOT NULL AND cost_usd > 0 THEN cost_usd END)
        / nullif(count(*) FILTER (WHERE status IS NOT NULL AND cost_usd > 0), 0)
        AS avg_cost_usd,  -- the mean cost of those jobs
    whole_sum(completed_steps) AS completed_steps,  -- steps that succeeded, also of jobs that only events name
    exact_sum(completed_step_seconds) / 3600 AS step_hours,  -- how long those steps took
    whole_sum(completed_steps) / nullif(exact_sum(completed_step_seconds) / 3600, 0)
        AS steps_per_hour,  -- completed_steps / step_hours
    whole_sum(timed_steps) AS timed_steps,  -- steps that took time, succeeded or not
    exact_sum(step_seconds) / nullif(whole_sum(timed_steps), 0) AS avg_step_seconds  -- the mean time of those
FROM job_totals
