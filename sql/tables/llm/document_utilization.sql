-- How much each document was used, over a window; every known document has a row.
-- grain: window, document_id
-- partition: window
-- windows: 24h, 7d, 30d
-- sort: window_hours, as_of, document_id

WITH retrieved_documents AS (
    SELECT
        document_id,
        count(DISTINCT request_id) + count(*) FILTER (WHERE request_id IS NULL) AS retrievals,
        max(timestamp) AS last_retrieved
    FROM events
    WHERE type = 'document_retrieved' AND document_id IS NOT NULL
    GROUP BY ALL
)

SELECT
    CAST($window_hours AS BIGINT) AS window_hours,  -- how long the window is
    CAST($as_of AS TIMESTAMP WITH TIME ZONE) AS as_of,  -- when it ends, inclusive
    documents.document_id,  -- the document, as it was known at the end of as_of's day; deleted ones are left out
    documents.name,  -- its name
    documents.connector_id,  -- the connector that it came by
    coalesce(retrieved_documents.retrievals, 0) AS retrievals,  -- requests that used it
    retrieved_documents.last_retrieved,  -- when it was last used in the window
    CASE
        WHEN retrieved_documents.retrievals > 10 THEN 'hot'
        WHEN retrieved_documents.retrievals > 0 THEN 'warm'
        ELSE 'cold'
    END AS status  -- hot: over 10 retrievals; warm: 1 to 10; cold: none
FROM documents
LEFT JOIN retrieved_documents ON documents.document_id = retrieved_documents.document_id
