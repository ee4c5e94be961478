-- What the updates of each workflow on each day made of it.
-- grain: day, workflow_id
-- partition: day
-- sort: day, workflow_id

SELECT
    local_day(timestamp) AS day,  -- the local date
    workflow_id,  -- the workflow that was created or changed
    latest(user_id, timestamp, id) AS user_id,  -- whose it is, by the day's newest update that says so
    latest(name, timestamp, id) AS kind,  -- what kind of workflow it is, likewise
    latest(status, timestamp, id) AS status,  -- active, terminated or deleted, likewise
    max(timestamp) AS updated_at  -- the day's newest update
FROM events
WHERE type = 'workflow_updated' AND workflow_id IS NOT NULL
GROUP BY ALL
