-- All documents in one row: how many there are, what they hold, what they cost and save.
-- grain: one row
-- partition: none
-- sort: documents

SELECT
    count(*) AS documents,  -- known documents, without deleted ones
    whole_sum(tokens) AS tokens,  -- their size in tokens
    whole_sum(vectors) AS vectors,  -- their size in vectors
    whole_sum(tokens) / 1000 * CAST($cost_per_1k_tokens AS DOUBLE)
        AS estimated_cost_usd,  -- tokens / 1000 x knowledge.cost_per_1k_tokens
    count(*) * CAST($minutes_saved_per_document AS DOUBLE) / 60
        AS hours_saved  -- documents x knowledge.minutes_saved_per_document / 60
FROM documents
