-- What llm_hourly counts in the hours of a day adds up to what event_types_daily says of the day's llm_requests.
-- severity: fail

WITH hours AS (
    SELECT
        local_day(hour) AS day,
        whole_sum(requests) AS requests,
        whole_sum(failures) AS failures,
        whole_sum(total_tokens) AS total_tokens,
        whole_sum(count_duration_ms) AS count_duration_ms,
        exact_sum(total_duration_ms) AS total_duration_ms,
        exact_sum(cost_usd) AS cost_usd
    FROM llm_hourly
    GROUP BY ALL
),

days AS (
    SELECT
        day,
        events AS requests,
        failures,
        total_tokens,
        count_duration_ms,
        total_duration_ms,
        cost_usd
    FROM event_types_daily
    WHERE type = 'llm_request'
)

SELECT
    day,
    hours,
    days
FROM hours
FULL JOIN days USING (day)
WHERE
    differs(hours.requests, days.requests)
    OR differs(hours.failures, days.failures)
    OR differs(hours.total_tokens, days.total_tokens)
    OR differs(hours.count_duration_ms, days.count_duration_ms)
    OR differs(hours.total_duration_ms, days.total_duration_ms)
    OR differs(hours.cost_usd, days.cost_usd)
