-- Usage events of the coding assistant aider: JSON lines with event, properties, user_id and time in epoch seconds.
--
-- What the vocabulary has a word for gets it; the rest keep their own. A cost of 0 stays 0: the set doesn't tell a free
-- model from one without a price. message_send is sent after an answer, broken off or not: whether it succeeded is
-- unknown. There is no session id, and no event id: equal lines of one second are events of their own.
--
-- record: event
SELECT
    line,
    coalesce(CAST(to_timestamp(TRY_CAST("time" AS BIGINT)) AS VARCHAR), "time") AS timestamp,
    CASE
        WHEN event = 'message_send' THEN 'llm_request'
        WHEN event = 'message_send_exception' THEN 'error_occurred'
        WHEN event IN ('cli session', 'gui session') THEN 'session_start'
        WHEN starts_with(event, 'command_') THEN 'command_executed'
        ELSE lower(regexp_replace(event, '[^A-Za-z0-9]+', '_', 'g'))
    END AS type,
    CASE
        WHEN starts_with(event, 'command_') THEN substr(event, 9)
        WHEN event IN ('cli session', 'gui session') THEN left(event, 3)
    END AS name,
    user_id,
    CASE WHEN event = 'message_send_exception' THEN event END AS error_type,
    properties->>'$.exception' AS message,
    nullif(properties->>'$.main_model', 'None') AS model,   -- Python's word for no model
    nullif(regexp_extract(properties->>'$.main_model', '^([^/]+)/', 1), '') AS provider,
    properties->>'$.prompt_tokens' AS input_tokens,
    properties->>'$.completion_tokens' AS output_tokens,
    properties->>'$.total_tokens' AS total_tokens,
    properties->>'$.cost' AS cost_usd,
    properties->>'$.num_files' AS value,                    -- a repository's size
    json_merge_patch(
        properties,
        '{"exception": null, "main_model": null, "prompt_tokens": null, "completion_tokens": null,
          "total_tokens": null, "cost": null, "num_files": null}'
    ) AS attributes
FROM raw
