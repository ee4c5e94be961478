-- Which tools each user used, and how often.
-- grain: user_id, tool_name
-- partition: none
-- sort: user_id, tool_name

WITH owned_uses AS (
    SELECT
        sessions.user_id,
        session_tools.tool_name,
        session_tools.uses
    FROM session_tools
    INNER JOIN sessions ON session_tools.session_id = sessions.session_id
    WHERE sessions.user_id IS NOT NULL
    UNION ALL
    SELECT
        user_id,
        tool_name,
        uses
    FROM session_tools_daily
    WHERE session_id IS NULL AND user_id IS NOT NULL
)

SELECT
    user_id,  -- the user
    tool_name,  -- the tool, NULL for uses that do not say which
    whole_sum(uses) AS uses  -- events of type tool_use: of the user's sessions, and without a session
FROM owned_uses
GROUP BY ALL
