-- LLMPerf's benchmark requests to LLM providers: JSON arrays, the provider and the model's size in the file's name.
-- path: filename
--
-- A request that got no answer has a time of 0, which is none. The tokens are the file's own (1 where nothing came).
-- Codes below 0 are the benchmark's: -100 is an answer with too few tokens, of no category that records.md has.
--
-- record: event
SELECT
    line,
    'llm_request' AS type,
    regexp_extract(filename, '([^/_]+)_[^/_]+\.json$', 1) AS provider,
    regexp_extract(filename, '[^/_]+_([^/_]+)\.json$', 1) AS model,
    error_code IS NULL AS success,
    CASE
        WHEN error_code = '429' THEN 'rate_limit'
        WHEN error_code LIKE '4__' THEN 'permanent'
        WHEN error_code LIKE '5__' THEN 'transient'
    END AS category,
    error_code AS error_type,
    nullif(error_msg, '') AS message,
    coalesce(CAST(TRY_CAST(ttft_s AS DOUBLE) * 1000 AS VARCHAR), ttft_s) AS ttft_ms,
    CASE
        WHEN TRY_CAST(end_to_end_latency_s AS DOUBLE) IS DISTINCT FROM 0
            THEN coalesce(CAST(TRY_CAST(end_to_end_latency_s AS DOUBLE) * 1000 AS VARCHAR), end_to_end_latency_s)
    END AS duration_ms,
    number_input_tokens AS input_tokens,
    number_output_tokens AS output_tokens,
    number_total_tokens AS total_tokens,
    json_object(
        'inter_token_latency_s', inter_token_latency_s,
        'request_output_throughput_token_per_s', request_output_throughput_token_per_s
    ) AS attributes
FROM raw
