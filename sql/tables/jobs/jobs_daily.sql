-- The jobs created on each day, by workflow and user: what became of them, how long they took, what they cost.
-- grain: day, workflow_id, user_id
-- partition: day
-- sort: day, workflow_id, user_id

WITH timed_jobs AS (
    SELECT
        local_day(created_at) AS day,
        workflow_id,
        user_id,
        status,
        cost_usd,
        CASE WHEN status IN ('completed', 'failed') THEN elapsed_seconds(started_at, completed_at) END
            AS duration_seconds,
        elapsed_seconds(coalesce(scheduled_at, created_at), started_at) AS queue_seconds
    FROM jobs
)

SELECT
    day,  -- the local date on which the jobs were created
    workflow_id,  -- the definition that they are runs of
    user_id,  -- whose they are
    count(*) AS jobs,  -- jobs of every status
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
    count(duration_seconds) AS count_duration_seconds,  -- how many durations are known
    exact_sum(duration_seconds) AS total_duration_seconds,  -- the sum of the known durations
    exact_sum(duration_seconds) / count(duration_seconds) AS avg_duration_seconds,  -- the mean of the known durations
    min(duration_seconds) AS min_duration_seconds,  -- the shortest
    max(duration_seconds) AS max_duration_seconds,  -- the longest
    percentiles(duration_seconds).p50 AS p50_duration_seconds,  -- the median
    percentiles(duration_seconds).p95 AS p95_duration_seconds,  -- 95 % are at most this long
    percentiles(duration_seconds).p99 AS p99_duration_seconds,  -- 99 % are at most this long
    count(queue_seconds) AS count_queue_seconds,  -- how many waiting times are known
    exact_sum(queue_seconds) AS total_queue_seconds,  -- the sum of the known waiting times
    exact_sum(queue_seconds) / count(queue_seconds) AS avg_queue_seconds,  -- the mean of the known waiting times
    min(queue_seconds) AS min_queue_seconds,  -- the shortest
    max(queue_seconds) AS max_queue_seconds,  -- the longest
    percentiles(queue_seconds).p50 AS p50_queue_seconds,  -- the median
    percentiles(queue_seconds).p95 AS p95_queue_seconds,  -- 95 % are at most this long
    percentiles(queue_seconds).p99 AS p99_queue_seconds,  -- 99 % are at most this long
    exact_sum(cost_usd) AS cost_usd  -- the sum of the jobs' own figures
FROM timed_jobs
GROUP BY ALL
