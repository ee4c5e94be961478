-- Which errors occurred on each day, by category and type.
-- grain: day, category, error_type
-- partition: day
-- sort: day, category, error_type

SELECT
    local_day(timestamp) AS day,  -- the local date
    category,  -- transient, rate_limit, permanent or the source's own word; NULL when the error has none
    error_type,  -- the type of the error, NULL when it has none
    count(*) AS errors,  -- events of type error_occurred
    count(job_id) AS job_errors  -- of those, the ones that name a job
FROM events
WHERE type = 'error_occurred'
GROUP BY ALL
