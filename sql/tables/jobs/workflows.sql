-- Each workflow as its newest update left it, with what became of all its jobs; one without jobs has a row too.
-- grain: workflow_id
-- partition: none
-- sort: workflow_id

WITH updated_workflows AS (
    SELECT
        workflow_id,
        latest(user_id, updated_at) AS user_id,
        latest(kind, updated_at) AS kind,
        latest(status, updated_at) AS status
    FROM workflows_daily
    GROUP BY ALL
),

run_workflows AS (
    SELECT
        workflow_id,
        -- A job that only events name says when it was created to nobody: it counts as older than any other.
        coalesce(
            latest(CASE WHEN created_at IS NOT NULL THEN user_id END, created_at, job_id),
            latest(user_id, job_id)
        ) AS user_id,
        latest(workflow_kind, created_at, job_id) AS kind,
        count(status) AS jobs,
        count(*) FILTER (WHERE status = 'completed') AS completed,
        count(*) FILTER (WHERE status = 'failed') AS failed,
        whole_sum(logs) AS logs,
        exact_sum(duration_seconds) AS execution_seconds,
        exact_sum(floor(duration_seconds)) AS execution_whole_seconds,
        count(duration_seconds) AS count_duration_seconds,
        min(duration_seconds) AS min_duration_seconds,
        max(duration_seconds) AS max_duration_seconds
    FROM job_totals
    WHERE workflow_id IS NOT NULL
    GROUP BY ALL
)

SELECT
    workflow_id,  -- the workflow
    coalesce(updated_workflows.user_id, run_workflows.user_id)
        AS user_id,  -- whose it is: by its newest update that says so, else by its newest job that does
    coalesce(updated_workflows.kind, run_workflows.kind) AS workflow_kind,  -- what kind of workflow it is, likewise
    coalesce(updated_workflows.status, 'active') AS workflow_status,  -- active, terminated or deleted, by its updates
    coalesce(run_workflows.jobs, 0) AS jobs,  -- all its jobs with a record, whosever and deleted ones too
    coalesce(run_workflows.completed + run_workflows.failed, 0) AS executed_jobs,  -- jobs that completed or failed
    coalesce(run_workflows.completed, 0) AS completed,  -- jobs that completed
    coalesce(run_workflows.failed, 0) AS failed,  -- jobs that failed
    run_workflows.completed / nullif(run_workflows.completed + run_workflows.failed, 0)
        AS success_rate,  -- completed / (completed + failed)
    coalesce(run_workflows.logs, 0) AS logs,  -- lines that its jobs logged, also those that only events name
    run_workflows.execution_seconds,  -- the sum of the known durations of its executed jobs
    run_workflows.execution_whole_seconds,  -- the same of durations that are cut to whole seconds
    coalesce(run_workflows.count_duration_seconds, 0) AS count_duration_seconds,  -- how many durations are known
    run_workflows.execution_seconds / run_workflows.count_duration_seconds
        AS avg_duration_seconds,  -- the mean of the known durations
    run_workflows.min_duration_seconds,  -- the shortest
    run_workflows.max_duration_seconds  -- the longest
FROM updated_workflows
FULL JOIN run_workflows USING (workflow_id)
