-- Which tools each session used, and how often.
-- grain: session_id, tool_name
-- partition: none
-- sort: session_id, tool_name

SELECT
    session_id,  -- the session
    tool_name,  -- the tool, NULL for uses that do not say which
    whole_sum(uses) AS uses  -- events of type tool_use
FROM session_tools_daily
WHERE session_id IS NOT NULL
GROUP BY ALL
