-- Jobs are spread over the stories of jobs that the events tell; where there are more jobs than such stories, several
-- share a story's place: the first is the one that has its events.
CREATE OR REPLACE TABLE candidates AS
WITH numbered AS (
    SELECT clock, jobs,
        number * plan().jobs_told * plan().length // (plan().slots * plan().jobs) AS nth_told,
        number - (nth_told * plan().slots * plan().jobs + plan().jobs_told * plan().length - 1)
            // (plan().jobs_told * plan().length) AS beside,
        nth_told // plan().jobs_told AS telling,
        jobs[1 + (nth_told + beside) % plan().jobs_told] AS job
    FROM range($first, $last) AS numbers(number), book
),
begun AS (
    SELECT job,
        telling * plan().stories + job.story + (beside << 33) AS tale,
        begins_at(clock, moment_of(tale, telling * plan().slots + job.first_slot)) AS created_at
    FROM numbered
)
SELECT tale, created_at, unnest(range(job.first_sight, job.first_sight + job.sights)) AS sight,
    1e6 * slowness(tale, job.seconds, created_at) AS slowed,
    created_at + (slowed * job.pause)::BIGINT AS started_at,
    started_at + (slowed * job.pace * (job.length + 0.5))::BIGINT AS completed_at
FROM begun;

CREATE OR REPLACE TABLE due AS
WITH seen AS MATERIALIZED (
    SELECT * EXCLUDE (slowed, seen), tale * 8 + seen.stage AS row,
        CASE seen.event
            WHEN 'created' THEN created_at
            WHEN 'queued' THEN created_at + (started_at - created_at) // 4
            WHEN 'started' THEN started_at
            WHEN 'paused' THEN started_at + (completed_at - started_at) // 3
            WHEN 'resumed' THEN started_at + (completed_at - started_at) // 2
            WHEN 'deleted' THEN completed_at + (3.6e9 * roll(tale, 'deleted'))::BIGINT
            ELSE completed_at END AS observed_at
    FROM (SELECT candidates.*, sights[sight] AS seen FROM candidates, book)
    WHERE one_in(tale, seen.chance, seen.share) AND observed_at < plan().until
),
copied AS (
    SELECT *, 0 AS copy FROM seen
    UNION ALL SELECT *, 1 FROM seen WHERE is_repeated(row)
    UNION ALL SELECT *, 2 FROM seen WHERE row % 5003 = 0
)
SELECT *, postponed(observed_at, delay(row) + CASE copy WHEN 1 THEN 3.6e9 * roll(row, 'again') ELSE 0 END) AS arrival
FROM copied
ORDER BY arrival, row, copy;

CREATE OR REPLACE TABLE arrivals AS
WITH known AS (
    SELECT due.*, seen.kind AS kind, seen.steps AS steps, seen.event AS event,
        pick(row, 'status', seen.spellings) AS status,
        draw(tale, 'workflow') % plan().workflows AS workflow,
        owner_of(workflow) AS person,
        seen.event = 'created' OR (seen.event = 'ended' AND NOT one_in(tale, 'told', 0.7)) AS is_whole
    FROM (SELECT due.*, sights[sight] AS seen FROM due, book WHERE arrival >= $begins AND arrival < $ends) AS due
),
lines AS (
    SELECT row, copy, tale, created_at, concat(
        '{"record":"job","job_id":"j-', code(tale, 'job'), '","status":"', status, '"',
        CASE WHEN event NOT IN ('created', 'started', 'ended', 'deleted') OR NOT one_in(row, 'undated', 0.03)
            THEN concat(',"observed_at":"', stamp(observed_at), '"') END,
        CASE WHEN is_whole THEN concat(
            ',"created_at":"', stamp(created_at), '"',
            CASE WHEN one_in(tale, 'scheduled', 0.3)
                THEN concat(',"scheduled_at":"', stamp(created_at + (started_at - created_at) // 2), '"') END,
            ',"name":"', workflow_kind_of(workflow), ' ', tale, '"', project_of(person), ',"user_id":"u-', person,
            '","workflow_id":"w-', workflow, '","workflow_kind":"', workflow_kind_of(workflow),
            '","step_count":', steps,
            CASE WHEN one_in(tale, 'queue', 0.05) THEN ',"queue":"nightly","resources":{"cpu":4}' END) END,
        CASE WHEN event = 'started' OR (event = 'ended' AND is_whole)
            THEN concat(',"started_at":"', stamp(started_at), '"') END,
        CASE event
            WHEN 'ended' THEN concat(
                ',"completed_at":"', stamp(completed_at), '"',
                CASE WHEN one_in(tale, 'priced', 0.65)
                    THEN concat(',"cost_usd":', dollars(long_tailed(tale, 'cost', 0.08, 0.7)))
                    WHEN one_in(tale, 'priced', 0.7) THEN ',"cost_usd":0' END,
                CASE WHEN kind = 'failed' AND one_in(tale, 'explained', 0.95)
                    THEN replace(failure(tale), '"message"', '"error_message"') END)
            WHEN 'deleted' THEN concat(',"deleted_at":"', stamp(observed_at), '"') END,
        '}') AS line
    FROM known
)
SELECT NULL::DATE AS day, CASE WHEN copy = 2 THEN broken_job(row, tale, created_at) ELSE line END AS line
FROM lines;
