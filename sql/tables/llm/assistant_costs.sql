-- What each assistant used and cost, over a window.
-- grain: window, assistant_id
-- partition: window
-- windows: 24h, 7d, 30d
-- sort: window_hours, as_of, assistant_id

WITH requests AS (
    SELECT
        id,
        timestamp,
        assistant_id,
        name,
        model,
        provider,
        input_tokens,
        output_tokens,
        total_tokens,
        cost_usd
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
        requests.id,
        requests.timestamp,
        requests.assistant_id,
        requests.name,
        requests.input_tokens,
        requests.output_tokens,
        requests.total_tokens,
        requests.cost_usd,
        estimated_cost(
            requests.cost_usd,
            requests.input_tokens,
            requests.output_tokens,
            price_periods.price
        ) AS estimated_cost_usd
    FROM requests
    LEFT JOIN price_periods
        ON requests.model = price_periods.model
        AND requests.provider IS NOT DISTINCT FROM price_periods.provider
        AND price_holds(price_periods.price, requests.timestamp)
)

SELECT
    CAST($window_hours AS BIGINT) AS window_hours,  -- how long the window is
    CAST($as_of AS TIMESTAMP WITH TIME ZONE) AS as_of,  -- when it ends, inclusive
    assistant_id,  -- the assistant; NULL for requests that name none
    latest(name, timestamp, id) AS name,  -- its newest name in the window
    count(*) AS requests,  -- model calls and assistant answers
    whole_sum(input_tokens) AS input_tokens,  -- tokens that its models read
    whole_sum(output_tokens) AS output_tokens,  -- tokens that its models wrote
    whole_sum(total_tokens) AS total_tokens,  -- tokens in all
    exact_sum(cost_usd) AS cost_usd,  -- the sum of the known costs
    exact_sum(estimated_cost_usd) AS estimated_cost_usd,  -- the same, with tokens x price where the cost is not known
    count(*) FILTER (WHERE estimated_cost_usd IS NULL) AS unpriced_requests  -- with neither a cost nor a price
FROM priced_requests
GROUP BY ALL
