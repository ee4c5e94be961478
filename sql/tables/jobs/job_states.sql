-- Each job as it is now: what its newest observations say of it.
-- grain: job_id
-- partition: day of created_at
-- sort: created_at, job_id

SELECT
    job_id,  -- the job
    name,  -- its name
    project,  -- its project
    user_id,  -- whose it is
    workflow_id,  -- the definition that it is a run of
    workflow_kind,  -- what kind of definition that is
    status,  -- pending, queued, running, paused, completed, failed, cancelled, or the source's own word
    created_at,  -- when it was created; never changes
    scheduled_at,  -- when it was to start
    started_at,  -- when it started
    completed_at,  -- when it ended
    deleted_at,  -- when it was deleted
    step_count,  -- the steps that it declares, NULL when it declares none
    cost_usd,  -- its own figure, NULL when it has none
    error_type,  -- why it failed, in a word
    error_message,  -- why it failed
    CASE WHEN status IN ('completed', 'failed') THEN elapsed_seconds(started_at, completed_at) END
        AS duration_seconds,  -- completed_at - started_at of a completed or failed job
    elapsed_seconds(coalesce(scheduled_at, created_at), started_at)
        AS queue_seconds  -- started_at - scheduled_at, or created_at where nothing was scheduled
FROM jobs
