-- No record is of a moment that is still to come.
-- severity: warn

SELECT
    'jobs' AS record,
    job_id AS id,
    created_at AS timestamp,
    source
FROM jobs
WHERE created_at > current_timestamp

UNION ALL

SELECT
    'events' AS record,
    id,
    timestamp,
    source
FROM events
WHERE timestamp > current_timestamp

UNION ALL

SELECT
    'metrics' AS record,
    id,
    timestamp,
    source
FROM metrics
WHERE timestamp > current_timestamp
