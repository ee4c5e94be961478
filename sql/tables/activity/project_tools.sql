-- Which tools were used in each project, and how often.
-- grain: project, tool_name
-- partition: none
-- sort: project, tool_name

WITH owned_uses AS (
    SELECT
        sessions.project,
        session_tools.tool_name,
        session_tools.uses
    FROM session_tools
    INNER JOIN sessions ON session_tools.session_id = sessions.session_id
    WHERE sessions.project IS NOT NULL
    UNION ALL
    SELECT
        project,
        tool_name,
        uses
    FROM session_tools_daily
    WHERE session_id IS NULL AND project IS NOT NULL
)

SELECT
    project,  -- the project
    tool_name,  -- the tool, NULL for uses that do not say which
    whole_sum(uses) AS uses  -- events of type tool_use: of the project's sessions, and without a session
FROM owned_uses
GROUP BY ALL
