-- Slurm's accounting of jobs that ended on the HPC machine Eagle: CSV, a row a job.
--
-- The tasks of an array share Slurm's job_id, and this set left out their index: 452 of its 1,000 jobs are one array.
-- So Slurm's id is the workflow, and a job is told from the others by when it ran; of those that began and ended in the
-- same seconds, the second gets a number, as two equal lines stay two events. Jobs in this accounting have ended, so
-- those times don't change.
--
-- record: job
SELECT
    line,
    concat_ws(
        '/',
        job_id,
        replace(start_time, ' ', 'T'),
        replace(end_time, ' ', 'T'),
        nullif(row_number() OVER (PARTITION BY job_id, start_time, end_time ORDER BY line), 1)
    ) AS job_id,
    CASE
        WHEN state LIKE 'CANCELLED%' THEN 'cancelled'       -- CANCELLED by 12345
        WHEN state IN (
            'FAILED', 'TIMEOUT', 'NODE_FAIL', 'OUT_OF_MEMORY', 'BOOT_FAIL', 'DEADLINE', 'PREEMPTED'
        ) THEN 'failed'
        WHEN state = 'COMPLETING' THEN 'running'
        WHEN state = 'SUSPENDED' THEN 'paused'
        WHEN state = 'REQUEUED' THEN 'pending'
        ELSE state
    END AS status,
    submit_time AS created_at,
    start_time AS started_at,
    end_time AS completed_at,
    name,
    account AS project,
    "user" AS user_id,
    job_id AS workflow_id,
    'slurm' AS workflow_kind,
    CASE
        WHEN state IN (
            'FAILED', 'TIMEOUT', 'NODE_FAIL', 'OUT_OF_MEMORY', 'BOOT_FAIL', 'DEADLINE', 'PREEMPTED'
        ) THEN state                                        -- a failed job's reason: TIMEOUT is one that hit its limit
    END AS error_type,
    json_object(
        'partition', "partition",
        'qos', qos,
        'wallclock_req', wallclock_req,
        'nodes_req', nodes_req,
        'processors_req', processors_req,
        'gpus_req', gpus_req,
        'mem_req', mem_req,
        'work_dir', work_dir,
        'submit_line', submit_line
    ) AS attributes
FROM raw
