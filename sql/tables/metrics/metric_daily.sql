-- Each metric's samples on each day: their sum, spread, first and last, and how far a counter rose.
-- grain: day, name, unit, kind, labels
-- partition: day
-- sort: day, name, unit, kind, labels

WITH series_days AS (
    SELECT
        local_day(timestamp) AS day,
        name,
        unit,
        kind,
        labels,
        count(*) AS samples,
        ordered_list(value, timestamp, id) AS ordered_values,
        ordered_sum(value, timestamp, id) AS total_value,
        min(value) AS min_value,
        max(value) AS max_value,
        percentiles(value) AS percentile,
        ordered_first(value, timestamp, id) AS first_value,
        ordered_last(value, timestamp, id) AS last_value
    FROM metrics
    GROUP BY ALL
)

SELECT
    day,  -- the local date
    name,  -- the metric
    unit,  -- the unit of its values, in UCUM
    kind,  -- gauge, counter or delta
    labels,  -- the series' labels, as a JSON object with sorted keys
    samples,  -- samples of the series
    total_value,  -- their sum, added in the order of time and id
    total_value / samples AS avg_value,  -- their mean
    min_value,  -- the smallest
    max_value,  -- the largest
    percentile.p50 AS p50_value,  -- the median
    percentile.p95 AS p95_value,  -- 95 % are at most this large
    percentile.p99 AS p99_value,  -- 99 % are at most this large
    first_value,  -- the first by time and id
    last_value,  -- the last by time and id
    CASE WHEN kind = 'counter' THEN counter_increase(ordered_values, NULL) END
        AS increase  -- how far a counter rose, from one sample of the day to the next; a fall begins again at 0
FROM series_days
