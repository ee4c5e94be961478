-- What activity_daily counts in the days of a month adds up to what activity_monthly says of the month.
-- severity: fail

WITH days AS (
    SELECT
        CAST(date_trunc('month', day) AS DATE) AS month_start,
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
    FROM activity_daily
    GROUP BY ALL
)

SELECT
    month_start,
    days,
    months
FROM days
FULL JOIN activity_monthly AS months USING (month_start)
WHERE
    differs(days.events, months.events)
    OR differs(days.errors, months.errors)
    OR differs(days.successes, months.successes)
    OR differs(days.failures, months.failures)
    OR differs(days.unknown, months.unknown)
    OR differs(days.count_duration_ms, months.count_duration_ms)
    OR differs(days.total_duration_ms, months.total_duration_ms)
    OR differs(days.input_tokens, months.input_tokens)
    OR differs(days.output_tokens, months.output_tokens)
    OR differs(days.total_tokens, months.total_tokens)
    OR differs(days.cost_usd, months.cost_usd)
