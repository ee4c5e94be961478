-- All that the other files need to know of the simulation's size and period (microseconds), in one value.
SET VARIABLE plan = (
    WITH telling AS (SELECT count(*) AS events, count(*) FILTER (is_job AND position = 0) AS jobs FROM score)
    SELECT {
        events: $events, jobs: $jobs, metrics: $metrics, start: $start, until: $until,
        slots: telling.events, stories: (SELECT count(*) FROM stories), jobs_told: telling.jobs, series: 96,
        length: greatest($events, 1),
        -- Few events are strewn over the whole period, many each around its place in the order of rows.
        jitter: CASE WHEN $events < 25000 THEN 1.0 ELSE telling.events / $events END,
        strayed: CASE WHEN $events < 25000 THEN $events ELSE 3 * telling.events END,
        steps: ($until - $start) // 900000000, longest: least(28800.0, ($until - $start) / 4e6),
        people: 10 + least(4990, $events // 500), documents: 20 + least(99980, $events // 100),
        workflows: 5 + least(495, $events // 2000), broken_every: greatest(1, least(5000, $events // 3))
    }
    FROM telling
);
SET VARIABLE seed = (hash($seed) >> 4)::BIGINT;

-- When things happen: `steps` equal shares of all that happens, each with its instant and length in microseconds.
CREATE TABLE clock AS
WITH quarters AS (
    SELECT plan().start + quarter * 900000000 AS begins,
        [4, 3, 2, 2, 2, 3, 5, 9, 16, 22, 25, 24, 20, 22, 25, 24, 21, 17, 13, 11, 10, 9, 7, 5]
            [1 + hour(make_timestamp(begins))] AS by_hour,
        [5, 12, 13, 13, 13, 11, 6][1 + dayofweek(make_timestamp(begins))] AS by_weekday,
        by_hour * by_weekday AS weight
    FROM range(plan().steps) AS quarters(quarter)
),
shares AS (
    SELECT begins, weight * plan().steps / sum(weight) OVER () AS steps,
        (sum(weight) OVER (ORDER BY begins) - weight) * plan().steps / sum(weight) OVER () AS first_step
    FROM quarters
),
instants AS (
    SELECT step, begins + floor(900000000 * (step - first_step) / shares.steps)::BIGINT AS instant
    FROM range(plan().steps) AS all_steps(step)
    ASOF JOIN shares ON step >= first_step
)
SELECT step, instant, lead(instant, 1, plan().until) OVER (ORDER BY step) - instant AS lasts
FROM instants;

-- In one row, what every line looks up by number. (Joins to these small tables would do, were it not for a fault of
-- DuckDB 2.0: "dict-surviving cache: global dictionary column changed identity after being seeded".)
CREATE TABLE book AS
SELECT (SELECT list(bars ORDER BY slot) FROM bars) AS bars,
    (SELECT list(jobs ORDER BY story) FROM (
        SELECT stories.*, min(sight) AS first_sight, count(*) AS sights
        FROM stories JOIN sights USING (story) GROUP BY ALL) AS jobs) AS jobs,
    (SELECT list(sights ORDER BY sight) FROM sights) AS sights,
    (SELECT list(gauges ORDER BY name) FROM gauges) AS gauges,
    (SELECT list({instant: instant, lasts: lasts} ORDER BY step) FROM clock) AS clock;
