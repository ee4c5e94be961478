-- What activity_daily counts in the days of a week adds up to what activity_weekly says of the week.
-- severity: fail

WITH days AS (
    SELECT
        CAST(date_trunc('week', day) AS DATE) AS week_start,
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
    week_start,
    days,
    weeks
FROM days
FULL JOIN activity_weekly AS weeks USING (week_start)
WHERE
    differs(days.events, weeks.events)
    OR differs(days.errors, weeks.errors)
    OR differs(days.successes, weeks.successes)
    OR differs(days.failures, weeks.failures)
    OR differs(days.unknown, weeks.unknown)
    OR differs(days.count_duration_ms, weeks.count_duration_ms)
    OR differs(days.total_duration_ms, weeks.total_duration_ms)
    OR differs(days.input_tokens, weeks.input_tokens)
    OR differs(days.output_tokens, weeks.output_tokens)
    OR differs(days.total_tokens, weeks.total_tokens)
    OR differs(days.cost_usd, weeks.cost_usd)
