-- How many events took how long, in buckets of 1 % that anyone can add up over days, types, names and categories.
-- grain: day, type, name, category, bucket
-- partition: day
-- sort: day, type, name, category, bucket

SELECT
    local_day(timestamp) AS day,  -- the local date
    type,  -- the type of the events
    CASE type
        WHEN 'tool_use' THEN tool_name
        WHEN 'agent_execution' THEN agent_id
        WHEN 'llm_request' THEN model
        ELSE name
    END AS name,  -- what took the time: tool_name, agent_id, model or name, by type
    category,  -- the category that the events carry
    latency_bucket(duration_ms) AS bucket,  -- ceil(ln(duration_ms) / ln(1.01 / 0.99)), NULL for a duration of 0
    count(*) AS events  -- events in this bucket
FROM events
WHERE
    duration_ms IS NOT NULL
    AND type IN (
        'function_call', 'tool_use', 'agent_execution', 'llm_request',
        'command_executed', 'step', 'performance', 'hook_triggered'
    )
GROUP BY ALL
