-- What activity_hourly counts in the hours of a day adds up to what activity_daily says of the day.
-- severity: fail

WITH hours AS (
    SELECT
        local_day(hour) AS day,
        whole_sum(events) AS events,
        whole_sum(errors) AS errors,
        whole_sum(successes) AS successes,
        whole_sum(failures) AS failures,
        whole_sum(unknown) AS unknown,
        whole_sum(count_duration_ms) AS count_duration_ms,
        exact_sum(total_duration_ms) AS total_duration_ms,
        whole_sum(input_tokens) AS input_tokens,
        whole_sum(output_tokens) AS output_tokens,
        whole_sum(total_tokens) AS total_tokens,
        exact_sum(cost_usd) AS cost_usd
    FROM activity_hourly
    GROUP BY ALL
)

SELECT
    day,
    hours,
    days
FROM hours
FULL JOIN activity_daily AS days USING (day)
WHERE
    differs(hours.events, days.events)
    OR differs(hours.errors, days.errors)
    OR differs(hours.successes, days.successes)
    OR differs(hours.failures, days.failures)
    OR differs(hours.unknown, days.unknown)
    OR differs(hours.count_duration_ms, days.count_duration_ms)
    OR differs(hours.total_duration_ms, days.total_duration_ms)
    OR differs(hours.input_tokens, days.input_tokens)
    OR differs(hours.output_tokens, days.output_tokens)
    OR differs(hours.total_tokens, days.total_tokens)
    OR differs(hours.cost_usd, days.cost_usd)
