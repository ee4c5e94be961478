-- Snapshots of a repository's CI on GitHub Actions: a JSON document each, with runs, their jobs and the jobs' steps.
--
-- A run's attempt is a job: run_started_at is the attempt's, and a job's created_at never changes.
-- Snapshots overlap, so an event holds only what can't change any more: a job of the run is a step once it has a
-- conclusion, and its own steps come with it. Nothing in an event says which snapshot it is from, nor anything of the
-- run that a later attempt changes (wait_from_run_start_seconds), so the next snapshot's copy is a duplicate.
-- `category` tells the run's jobs (job) from the jobs' steps (step): a second of a step is a second of its job, too.
--
-- record: job
WITH runs AS (
    SELECT
        line,
        repo,
        generated_at,
        unnest(from_json(runs, '[{
            "id": "VARCHAR", "run_attempt": "VARCHAR", "name": "VARCHAR", "head_branch": "VARCHAR",
            "conclusion": "VARCHAR", "run_started_at": "VARCHAR", "updated_at": "VARCHAR", "wall_seconds": "JSON",
            "jobs": [{"name": "VARCHAR", "conclusion": "VARCHAR", "started_at": "VARCHAR"}]
        }]')) AS run
    FROM raw
)
SELECT
    line,
    concat_ws('/', run.id, run.run_attempt) AS job_id,
    CASE
        WHEN run.conclusion IN ('failure', 'timed_out', 'startup_failure') THEN 'failed'
        ELSE coalesce(run.conclusion, 'running')            -- action_required, say, stays as it is
    END AS status,
    run.run_started_at AS created_at,
    list_min(                                               -- jobs that an earlier attempt ran are listed again
        list_transform(
            list_filter(run.jobs, lambda job: job.conclusion <> 'skipped' AND job.started_at >= run.run_started_at),
            lambda job: job.started_at
        )
    ) AS started_at,
    CASE WHEN run.conclusion <> 'action_required' THEN run.updated_at END AS completed_at,
    generated_at AS observed_at,
    run.name AS name,
    repo AS project,
    concat_ws('/', repo, run.name) AS workflow_id,
    'github_actions' AS workflow_kind,
    len(run.jobs) AS step_count,
    CASE WHEN run.conclusion IN ('failure', 'timed_out', 'startup_failure') THEN run.conclusion END AS error_type,
    nullif(
        array_to_string(
            list_transform(
                list_filter(run.jobs, lambda job: job.conclusion IN ('failure', 'timed_out')),
                lambda job: job.name
            ),
            ', '
        ),
        ''
    ) AS error_message,                                     -- the jobs that failed
    json_object('run_id', run.id, 'head_branch', run.head_branch, 'wall_seconds', run.wall_seconds) AS attributes
FROM runs

-- record: event
WITH runs AS (
    SELECT
        line,
        repo,
        unnest(from_json(runs, '[{
            "id": "VARCHAR", "run_attempt": "VARCHAR", "name": "VARCHAR",
            "jobs": [{
                "id": "VARCHAR", "name": "VARCHAR", "conclusion": "VARCHAR", "started_at": "VARCHAR",
                "exec_seconds": "VARCHAR", "steps": [{"name": "VARCHAR", "seconds": "VARCHAR"}]
            }]
        }]')) AS run
    FROM raw
),

ended_jobs AS (
    SELECT
        line,
        repo,
        run.id AS run_id,
        run.run_attempt AS run_attempt,
        run.name AS workflow,
        listed.job AS job
    FROM runs, unnest(run.jobs) AS listed(job)
    WHERE listed.job.conclusion IS NOT NULL
),

job_steps AS (
    SELECT
        line,
        repo,
        run_id,
        run_attempt,
        workflow,
        'job' AS category,
        job.id AS id,
        job.name AS name,
        job.started_at AS began_at,
        0 AS seconds_before,
        job.conclusion AS status,
        CASE WHEN job.conclusion <> 'skipped' THEN job.exec_seconds END AS seconds,     -- what was skipped took no time
        NULL AS attributes
    FROM ended_jobs

    UNION ALL

    SELECT
        line,
        repo,
        run_id,
        run_attempt,
        workflow,
        'step' AS category,
        concat_ws('/', job.id, listed.place) AS id,
        listed.step.name AS name,
        job.started_at AS began_at,
        -- A step says how long it took, not when. A job's steps run one after another, so it began after those before
        -- it; the seconds between two steps are missing (12 at most over a whole job, 3 in half of them).
        coalesce(
            list_sum(
                -- Not `step`: where a column has that name, `step.seconds` is the column's.
                list_transform(job.steps[: listed.place - 1], lambda earlier: TRY_CAST(earlier.seconds AS DOUBLE))
            ),
            0
        ) AS seconds_before,
        NULL AS status,                                     -- a step has no conclusion of its own
        listed.step.seconds AS seconds,
        json_object('job', job.name, 'place', listed.place) AS attributes
    FROM ended_jobs, unnest(job.steps) WITH ORDINALITY AS listed(step, place)
)

SELECT
    line,
    concat('job/', id) AS id,
    coalesce(
        CAST(TRY_CAST(began_at AS TIMESTAMPTZ) + to_seconds(seconds_before) AS VARCHAR),
        began_at
    ) AS timestamp,
    'step' AS type,
    name,
    repo AS project,
    concat_ws('/', run_id, run_attempt) AS job_id,
    concat_ws('/', repo, workflow) AS workflow_id,
    status,
    CASE
        WHEN status = 'success' THEN TRUE
        WHEN status IN ('failure', 'timed_out') THEN FALSE
    END AS success,                                         -- skipped and cancelled are neither
    category,
    coalesce(CAST(TRY_CAST(seconds AS DOUBLE) * 1000 AS VARCHAR), seconds) AS duration_ms,
    attributes
FROM job_steps
