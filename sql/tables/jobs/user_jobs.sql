-- Each user's workflows, and what became of the user's own jobs.
-- grain: user_id
-- partition: none
-- sort: user_id

WITH workflow_owners AS (
    SELECT
        user_id,
        count(*) AS workflows,
        count(*) FILTER (WHERE workflow_status = 'active') AS active_workflows,
        count(*) FILTER (WHERE workflow_status = 'terminated') AS terminated_workflows,
        count(*) FILTER (WHERE workflow_status = 'deleted') AS deleted_workflows
    FROM workflows
    WHERE user_id IS NOT NULL
    GROUP BY ALL
),

job_owners AS (
    SELECT
        user_id,
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
    WHERE user_id IS NOT NULL
    GROUP BY ALL
)

SELECT
    user_id,  -- the user
    coalesce(workflow_owners.workflows, 0) AS workflows,  -- workflows that are the user's, deleted ones too
    coalesce(workflow_owners.active_workflows, 0) AS active_workflows,  -- of those, the active ones
    coalesce(workflow_owners.terminated_workflows, 0) AS terminated_workflows,  -- of those, the terminated ones
    coalesce(workflow_owners.deleted_workflows, 0) AS deleted_workflows,  -- of those, the deleted ones
    coalesce(job_owners.jobs, 0) AS jobs,  -- the user's jobs with a record, of whosever workflow, deleted ones too
    coalesce(job_owners.completed + job_owners.failed, 0) AS executed_jobs,  -- jobs that completed or failed
    coalesce(job_owners.completed, 0) AS completed,  -- jobs that completed
    coalesce(job_owners.failed, 0) AS failed,  -- jobs that failed
    job_owners.completed / nullif(job_owners.completed + job_owners.failed, 0)
        AS success_rate,  -- completed / (completed + failed)
    coalesce(job_owners.logs, 0) AS logs,  -- lines that the user's jobs logged, also those that only events name
    job_owners.execution_seconds,  -- the sum of the known durations of the executed jobs
    job_owners.execution_whole_seconds,  -- the same of durations that are cut to whole seconds
    coalesce(job_owners.count_duration_seconds, 0) AS count_duration_seconds,  -- how many durations are known
    job_owners.execution_seconds / job_owners.count_duration_seconds
        AS avg_duration_seconds,  -- the mean of the known durations
    job_owners.min_duration_seconds,  -- the shortest
    job_owners.max_duration_seconds  -- the longest
FROM workflow_owners
FULL JOIN job_owners USING (user_id)
