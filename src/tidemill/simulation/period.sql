-- All that the other files need to know of the simulation's size and period, in one value.
SET VARIABLE plan = (
WITH telling AS (
    SELECT count(*) AS slots, count(DISTINCT story) AS stories, (SELECT count(job) FROM stories) AS jobs FROM score
),
asked AS (
    SELECT (hash($seed) >> 4)::BIGINT AS seed, $events::BIGINT AS events, $jobs::BIGINT AS jobs,
        $metrics::BIGINT AS metrics, epoch_us($start::TIMESTAMP) AS start, epoch_us($until::TIMESTAMP) AS until,
        greatest($events, 1)::BIGINT AS length
)
SELECT {
    seed: asked.seed, events: events, jobs: asked.jobs, metrics: metrics, start: start, until: until, length: length,
    slots: slots, stories: stories, jobs_told: telling.jobs, jitter: least(1.0, slots / length),
    steps: (until - start) // 900000000, longest: least(28800.0, (until - start) / 4e6), series: 96,
    people: 10 + least(4990, length // 500), documents: 20 + least(99980, length // 100),
    workflows: 5 + least(495, length // 2000),
    broken_every: greatest(1, least(5000, events // 3))
}
FROM asked, telling
);

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
    SELECT step, begins + (900000000 * (step - first_step) / shares.steps)::BIGINT AS instant
    FROM range(plan().steps) AS all_steps(step)
    ASOF JOIN shares ON step >= first_step
)
SELECT step, instant, lead(instant, 1, plan().until) OVER (ORDER BY step) - instant AS lasts
FROM instants;

ALTER TABLE book ADD COLUMN clock STRUCT(instant BIGINT, lasts BIGINT)[];
UPDATE book SET clock = (SELECT list({instant: instant, lasts: lasts} ORDER BY step) FROM clock);
