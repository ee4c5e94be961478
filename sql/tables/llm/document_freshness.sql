-- How old the documents are, as of a moment; always three rows.
-- grain: window, category
-- partition: window
-- windows: 24h
-- sort: window_hours, as_of, list_position(['fresh', 'aging', 'stale'], category)

WITH categories AS (
    SELECT category
    FROM (VALUES ('fresh'), ('aging'), ('stale')) AS named(category)
),

aged_documents AS (
    SELECT
        document_id,
        CASE
            WHEN updated_at > CAST($as_of AS TIMESTAMP WITH TIME ZONE) - INTERVAL 30 DAY THEN 'fresh'
            WHEN updated_at > CAST($as_of AS TIMESTAMP WITH TIME ZONE) - INTERVAL 90 DAY THEN 'aging'
            ELSE 'stale'
        END AS category
    FROM documents
),

category_documents AS (
    SELECT
        categories.category,
        count(aged_documents.document_id) AS documents
    FROM categories
    LEFT JOIN aged_documents ON categories.category = aged_documents.category
    GROUP BY ALL
)

SELECT
    CAST($window_hours AS BIGINT) AS window_hours,  -- the window of the other tables that end at this moment
    CAST($as_of AS TIMESTAMP WITH TIME ZONE) AS as_of,  -- the moment; documents are as known at the end of its day
    category,  -- fresh: updated under 30 days before; aging: 30 to under 90; stale: from 90, or never updated
    documents,  -- documents of that age
    documents / nullif(sum(documents) OVER (), 0) AS document_share  -- of all documents
FROM category_documents
