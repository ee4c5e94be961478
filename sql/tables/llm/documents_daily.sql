-- What each day's newest update says of each document that was updated or retrieved that day.
-- grain: day, document_id
-- partition: day
-- sort: day, document_id

WITH document_days AS (
    SELECT
        local_day(timestamp) AS day,
        document_id,
        arg_max(
            struct_pack(
                name := name,
                connector_id := connector_id,
                tokens := total_tokens,
                vectors := TRY_CAST(trunc(value) AS BIGINT),
                updated_at := timestamp,
                deleted := coalesce(status = 'deleted', false)
            ),
            struct_pack(timestamp := timestamp, id := id, source := source)
        ) FILTER (WHERE type = 'document_updated') AS newest
    FROM events
    WHERE type IN ('document_updated', 'document_retrieved') AND document_id IS NOT NULL
    GROUP BY ALL
)

SELECT
    day,  -- the local date
    document_id,  -- the document
    newest.name,  -- its name; this and what follows is NULL if it was only retrieved that day
    newest.connector_id,  -- the connector that it came by
    newest.tokens,  -- its size in tokens
    newest.vectors,  -- its size in vectors, cut to a whole number
    newest.updated_at,  -- when it was last added, changed or deleted that day
    newest.deleted  -- whether that was a deletion
FROM document_days
