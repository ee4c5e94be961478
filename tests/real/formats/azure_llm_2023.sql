-- Requests to two LLM services on Azure, code and conversation: CSV with time, context tokens and generated tokens.
-- path: filename
--
-- record: event
SELECT
    line,
    "TIMESTAMP" AS timestamp,
    'llm_request' AS type,
    regexp_extract(filename, '_([a-z]+)\.csv$', 1) AS name,
    'azure/' || regexp_extract(filename, '_([a-z]+)\.csv$', 1) AS assistant_id,
    'azure' AS provider,
    "ContextTokens" AS input_tokens,
    "GeneratedTokens" AS output_tokens
FROM raw
