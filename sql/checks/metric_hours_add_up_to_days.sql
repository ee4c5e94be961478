-- What metric_hourly says of the hours of a day adds up to what metric_daily says of the day.
-- severity: fail

WITH hours AS (
    SELECT
        local_day(hour) AS day,
        name,
        unit,
        kind,
        labels,
        whole_sum(samples) AS samples,
        sum(total_value) AS total_value,
        min(min_value) AS min_value,
        max(max_value) AS max_value,
        sum(increase) AS increase
    FROM metric_hourly
    GROUP BY ALL
)

SELECT
    coalesce(hours.day, days.day) AS day,
    coalesce(hours.name, days.name) AS name,
    hours,
    days
FROM hours
FULL JOIN metric_daily AS days
    ON hours.day = days.day
    AND hours.name = days.name
    AND hours.unit IS NOT DISTINCT FROM days.unit
    AND hours.kind = days.kind
    AND hours.labels = days.labels
WHERE
    hours.samples IS DISTINCT FROM days.samples
    OR hours.min_value IS DISTINCT FROM days.min_value
    OR hours.max_value IS DISTINCT FROM days.max_value
    -- values of both signs may nearly cancel out: what rounding loses is small beside the values, not beside their sum
    OR (
        isfinite(hours.total_value)
        AND isfinite(days.total_value)
        AND greatest(abs(hours.total_value - days.total_value), abs(hours.increase - days.increase))
        > 1e-9 * days.samples * greatest(abs(days.min_value), abs(days.max_value))
    )
