-- How often each rule was checked on each day, and how often it passed.
-- grain: day, rule
-- partition: day
-- sort: day, rule

WITH checked_rules AS (
    SELECT
        local_day(timestamp) AS day,
        name AS rule,
        coalesce(status = 'skipped', FALSE) AS was_skipped,
        success
    FROM events
    WHERE type = 'validation'
)

SELECT
    day,  -- the local date
    rule,  -- the rule, NULL for checks that name none
    count(*) AS checks,  -- how often it was checked
    count(*) FILTER (WHERE success AND NOT was_skipped) AS passed,  -- checks that passed
    count(*) FILTER (WHERE NOT success AND NOT was_skipped) AS failed,  -- checks that failed
    count(*) FILTER (WHERE was_skipped) AS skipped,  -- checks with the status skipped, whatever else they say
    count(*) FILTER (WHERE success IS NULL AND NOT was_skipped) AS unknown,  -- checks that say neither
    count(*) FILTER (WHERE success AND NOT was_skipped)
        / nullif(count(*) FILTER (WHERE success IS NOT NULL AND NOT was_skipped), 0)
        AS pass_rate  -- passed / (passed + failed)
FROM checked_rules
GROUP BY ALL
