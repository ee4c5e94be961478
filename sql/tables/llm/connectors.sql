-- Each connector as its newest event has it.
-- grain: connector_id
-- partition: none
-- sort: connector_id

WITH known_connectors AS (
    SELECT
        connector_id,
        arg_max(struct_pack(name := name, updated_at := updated_at), updated_at) AS newest
    FROM connectors_daily
    GROUP BY ALL
)

SELECT
    connector_id,  -- the connector
    newest.name,  -- its name
    newest.updated_at  -- when it was last heard of
FROM known_connectors
