-- What event_types_daily counts of each type adds up to what activity_daily says of the day.
-- severity: fail

WITH types AS (
    SELECT
        day,
        whole_sum(events) AS events,
        whole_sum(successes) AS successes,
        whole_sum(failures) AS failures,
        whole_sum(unknown) AS unknown
    FROM event_types_daily
    GROUP BY ALL
)

SELECT
    day,
    types,
    days
FROM types
FULL JOIN activity_daily AS days USING (day)
WHERE
    differs(types.events, days.events)
    OR differs(types.successes, days.successes)
    OR differs(types.failures, days.failures)
    OR differs(types.unknown, days.unknown)
    OR differs(days.events, days.successes + days.failures + days.unknown)
