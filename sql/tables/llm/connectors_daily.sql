-- What each day's newest event says of each connector that was updated or synchronised that day.
-- grain: day, connector_id
-- partition: day
-- sort: day, connector_id

WITH connector_days AS (
    SELECT
        local_day(timestamp) AS day,
        connector_id,
        arg_max(
            struct_pack(name := name, updated_at := timestamp),
            struct_pack(timestamp := timestamp, id := id, source := source)
        ) AS newest
    FROM events
    WHERE type IN ('connector_updated', 'connector_sync') AND connector_id IS NOT NULL
    GROUP BY ALL
)

SELECT
    day,  -- the local date
    connector_id,  -- the connector
    newest.name,  -- its name
    newest.updated_at  -- when it was last heard of that day
FROM connector_days
