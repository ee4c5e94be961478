-- Which tools each session used on each day, kept apart by the user and the project that its events carry.
-- grain: day, session_id, user_id, project, tool_name
-- partition: day
-- sort: day, session_id, user_id, project, tool_name

SELECT
    local_day(timestamp) AS day,  -- the local date
    session_id,  -- the session, NULL for events without one
    user_id,  -- the user as the events carry it
    project,  -- the project as the events carry it
    tool_name,  -- the tool, NULL when the event does not say which
    count(*) AS uses  -- events of type tool_use
FROM events
WHERE type = 'tool_use' AND (session_id IS NOT NULL OR user_id IS NOT NULL OR project IS NOT NULL)
GROUP BY ALL
