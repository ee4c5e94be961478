-- Each document as its newest update has it; one that was deleted last has no row.
-- grain: document_id
-- partition: none
-- sort: document_id

WITH known_documents AS (
    SELECT
        document_id,
        arg_max(
            struct_pack(
                name := name,
                connector_id := connector_id,
                tokens := tokens,
                vectors := vectors,
                updated_at := updated_at,
                deleted := deleted
            ),
            updated_at
        ) AS newest
    FROM documents_daily
    GROUP BY ALL
)

SELECT
    document_id,  -- the document
    newest.name,  -- its name
    newest.connector_id,  -- the connector that it came by
    newest.tokens,  -- its size in tokens
    newest.vectors,  -- its size in vectors
    newest.updated_at  -- when it was last added or changed; NULL if it is known from retrievals only
FROM known_documents
WHERE newest.deleted IS NOT TRUE
