-- Each job with what its events add up to over all days; a job that only events name has a row too.
-- grain: job_id
-- partition: none
-- sort: job_id

WITH job_activity AS (
    SELECT
        job_id,
        earliest(workflow_id, day) AS workflow_id,
        earliest(user_id, day) AS user_id,
        whole_sum(steps) AS steps,
        whole_sum(completed_steps) AS completed_steps,
        whole_sum(timed_steps) AS timed_steps,
        exact_sum(step_seconds) AS step_seconds,
        exact_sum(completed_step_seconds) AS completed_step_seconds,
        exact_sum(events_cost_usd) AS events_cost_usd,
        whole_sum(errors) AS errors,
        whole_sum(logs) AS logs,
        whole_sum(validations) AS validations,
        whole_sum(validations_passed) AS validations_passed
    FROM job_activity_daily
    GROUP BY ALL
)

SELECT
    job_id,  -- the job
    job_states.name,  -- its name
    job_states.project,  -- its project
    CASE WHEN job_states.job_id IS NULL THEN job_activity.user_id ELSE job_states.user_id END
        AS user_id,  -- whose it is; without a record, the first user that its events name
    CASE WHEN job_states.job_id IS NULL THEN job_activity.workflow_id ELSE job_states.workflow_id END
        AS workflow_id,  -- the definition that it is a run of; without a record, the first that its events name
    job_states.workflow_kind,  -- what kind of definition that is
    job_states.status,  -- as in job_states; NULL for a job that only events name
    job_states.created_at,  -- when it was created
    job_states.scheduled_at,  -- when it was to start
    job_states.started_at,  -- when it started
    job_states.completed_at,  -- when it ended
    job_states.deleted_at,  -- when it was deleted
    job_states.step_count,  -- the steps that it declares, NULL when it declares none
    job_states.error_type,  -- why it failed, in a word
    job_states.error_message,  -- why it failed
    job_states.duration_seconds,  -- completed_at - started_at of a completed or failed job
    job_states.queue_seconds,  -- started_at - scheduled_at, or created_at where nothing was scheduled
    coalesce(job_activity.steps, 0) AS steps,  -- attempts of steps that ended
    coalesce(job_activity.completed_steps, 0) AS completed_steps,  -- of those, the ones that succeeded
    coalesce(job_activity.timed_steps, 0) AS timed_steps,  -- of those, the ones that took time
    job_activity.step_seconds,  -- how long the steps took
    job_activity.completed_step_seconds,  -- how long the steps took that succeeded
    job_activity.events_cost_usd,  -- the sum of the known costs of its events
    coalesce(job_activity.errors, 0) AS errors,  -- events of type error_occurred
    coalesce(job_activity.logs, 0) AS logs,  -- distinct lines that it logged
    coalesce(job_activity.validations, 0) AS validations,  -- rules that were checked
    coalesce(job_activity.validations_passed, 0) AS validations_passed,  -- of those, the ones that passed
    coalesce(nullif(job_states.cost_usd, 0), job_activity.events_cost_usd)
        AS cost_usd  -- the job's own figure unless it is NULL or 0, else events_cost_usd
FROM job_states
FULL JOIN job_activity USING (job_id)
