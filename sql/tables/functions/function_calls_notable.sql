-- The calls that a report lists one by one: not known to have succeeded, or longer than short_max.
-- grain: source, id, started_at
-- partition: day of started_at
-- sort: started_at, source, id

SELECT
    source,  -- the source that the call is from
    id,  -- the event's id, unique within the source and the day
    timestamp AS started_at,  -- when the call began
    name AS function,  -- the function
    category,  -- the caller's own grouping
    later_by(timestamp, duration_ms)
        AS ended_at,  -- started_at and the duration; NULL when that is not known, or goes beyond the year 9999
    duration_ms / 1000 AS duration_seconds,  -- how long it took
    success,  -- false when it failed, NULL when it does not say
    error_type,  -- why it failed, in a word
    message  -- why it failed
FROM events
WHERE type = 'function_call' AND (success IS NOT TRUE OR duration_ms / 1000 > $short_max)
