-- Each series is sampled once a tick. Copies are those of events.sql.
CREATE OR REPLACE TABLE candidates AS
WITH rows AS (
    SELECT row FROM range($first, $last) AS rows(row) WHERE row >= $recent OR is_late(row)
)
SELECT row, 0 AS copy FROM rows
UNION ALL SELECT row, 1 FROM rows WHERE is_repeated(row) AND has_id(row)
UNION ALL SELECT row, 2 FROM rows WHERE row % 5000 = 4999;

CREATE OR REPLACE TABLE due AS
WITH timed AS (
    SELECT row, copy, row % plan().series AS series,
        plan().start + ((plan().until - plan().start)
            * ((row // plan().series + roll(row, 'tick')) / ceil(plan().metrics / plan().series)))::BIGINT AS sampled,
        postponed(sampled, delay(row) + CASE copy WHEN 1 THEN 3.6e9 * roll(row, 'again') ELSE 0 END) AS arrival
    FROM candidates
)
SELECT * FROM timed
ORDER BY arrival, row, copy;

CREATE OR REPLACE TABLE arrivals AS
WITH measured AS (
    SELECT *, gauges[1 + series % len(gauges)] AS metric, series // len(gauges) AS host,
        sampled / 1e6 AS seconds,
        (seconds + 7919 * series) % (100000 + 3000 * series) AS since_reset
    FROM due, book
    WHERE arrival >= $begins AND arrival < $ends
),
lines AS (
    SELECT row, copy, sampled, concat(
        '{"record":"metric"', CASE WHEN has_id(row) THEN concat(',"id":"', code(row, 'metric'), '"') END,
        ',"timestamp":"', stamp(sampled), '","name":"', metric.name, '","value":', CASE metric.kind
            WHEN 'counter' THEN (metric.level * (since_reset + 600 * sin(since_reset / 3600)))::BIGINT::VARCHAR
            WHEN 'delta' THEN long_tailed(row, 'value', metric.level, 0.45)::BIGINT::VARCHAR
            ELSE decimals(metric.level
                * (1 + 0.3 * sin((seconds - 28800) * pi() / 43200) + 0.1 * normal(row, 'value'))) END,
        ',"unit":"', metric.unit, '"',
        CASE WHEN metric.kind <> 'gauge' OR one_in(row, 'kind', 0.5) THEN concat(',"kind":"', metric.kind, '"') END,
        ',"labels":{"host":"node-', host, '","region":"', CASE WHEN host < 4 THEN 'eu' ELSE 'us' END, '"}',
        CASE WHEN one_in(row, 'scraper', 0.02) THEN ',"scraper":"v2"' END,
        '}') AS line
    FROM measured
)
SELECT NULL::DATE AS day, CASE WHEN copy = 2 THEN broken_metric(row, sampled) ELSE line END AS line
FROM lines;
