-- What assistants and models answered in each hour: how much, how fast, at what cost.
-- grain: hour, assistant_id, model, provider
-- partition: day of hour
-- sort: hour, assistant_id, model, provider

WITH requests AS (
    SELECT
        timestamp,
        assistant_id,
        model,
        provider,
        success,
        cached,
        input_tokens,
        output_tokens,
        total_tokens,
        cost_usd,
        ttft_ms,
        duration_ms
    FROM events
    WHERE type = 'llm_request'
),

models AS (
    SELECT DISTINCT
        model,
        provider
    FROM requests
    WHERE cost_usd IS NULL
),

price_periods AS (
    SELECT
        models.model,
        models.provider,
        unnest(
            price_periods(
                prices.model,
                prices.provider,
                prices.valid_from,
                prices.input_per_1m_usd,
                prices.output_per_1m_usd
            )
        ) AS price
    FROM models
    INNER JOIN prices
        ON price_applies(models.model, models.provider, prices.model, prices.provider)
    GROUP BY models.model, models.provider
),

priced_requests AS (
    SELECT
        local_hour(requests.timestamp) AS hour,
        requests.assistant_id,
        requests.model,
        requests.provider,
        requests.success,
        requests.cached,
        requests.input_tokens,
        requests.output_tokens,
        requests.total_tokens,
        requests.cost_usd,
        estimated_cost(
            requests.cost_usd,
            requests.input_tokens,
            requests.output_tokens,
            price_periods.price
        ) AS estimated_cost_usd,
        requests.ttft_ms,
        requests.duration_ms,
        requests.output_tokens IS NOT NULL AND requests.duration_ms > requests.ttft_ms AS is_generation
    FROM requests
    LEFT JOIN price_periods
        ON requests.model = price_periods.model
        AND requests.provider IS NOT DISTINCT FROM price_periods.provider
        AND price_holds(price_periods.price, requests.timestamp)
)

SELECT
    hour,  -- the instant at which the local hour begins
    assistant_id,  -- the assistant
    model,  -- the model
    provider,  -- whose model it is
    count(*) AS requests,  -- model calls and assistant answers
    count(*) FILTER (WHERE NOT success) AS failures,  -- of those, the ones that failed
    count(*) FILTER (WHERE cached) AS cached_requests,  -- of those, the ones answered from a cache
    whole_sum(input_tokens) AS input_tokens,  -- tokens that the model read
    whole_sum(output_tokens) AS output_tokens,  -- tokens that the model wrote
    whole_sum(total_tokens) AS total_tokens,  -- tokens in all
    exact_sum(cost_usd) AS cost_usd,  -- the sum of the known costs
    exact_sum(estimated_cost_usd) AS estimated_cost_usd,  -- the same, with tokens x price where the cost is not known
    count(*) FILTER (WHERE estimated_cost_usd IS NULL) AS unpriced_requests,  -- with neither a cost nor a price
    count(ttft_ms) AS count_ttft_ms,  -- how many times to the first token are known
    exact_sum(ttft_ms) AS total_ttft_ms,  -- the sum of the known times to the first token
    exact_sum(ttft_ms) / count(ttft_ms) AS avg_ttft_ms,  -- the mean of the known times to the first token
    min(ttft_ms) AS min_ttft_ms,  -- the shortest
    max(ttft_ms) AS max_ttft_ms,  -- the longest
    percentiles(ttft_ms).p50 AS p50_ttft_ms,  -- the median
    percentiles(ttft_ms).p95 AS p95_ttft_ms,  -- 95 % are at most this long
    percentiles(ttft_ms).p99 AS p99_ttft_ms,  -- 99 % are at most this long
    count(duration_ms) AS count_duration_ms,  -- how many durations are known
    exact_sum(duration_ms) AS total_duration_ms,  -- the sum of the known durations
    exact_sum(duration_ms) / count(duration_ms) AS avg_duration_ms,  -- the mean of the known durations
    min(duration_ms) AS min_duration_ms,  -- the shortest
    max(duration_ms) AS max_duration_ms,  -- the longest
    percentiles(duration_ms).p50 AS p50_duration_ms,  -- the median
    percentiles(duration_ms).p95 AS p95_duration_ms,  -- 95 % are at most this long
    percentiles(duration_ms).p99 AS p99_duration_ms,  -- 99 % are at most this long
    exact_sum(CASE WHEN is_generation THEN output_tokens END)
        / nullif(exact_sum(CASE WHEN is_generation THEN duration_ms - ttft_ms END) / 1000, 0)
        AS output_tokens_per_second  -- output tokens / (duration - ttft) of the requests where both are known
FROM priced_requests
GROUP BY ALL
