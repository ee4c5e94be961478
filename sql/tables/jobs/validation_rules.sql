-- How often each rule was checked in all, and how often it passed.
-- grain: rule
-- partition: none
-- sort: rule

SELECT
    rule,  -- the rule, NULL for checks that name none
    whole_sum(checks) AS checks,  -- how often it was checked
    whole_sum(passed) AS passed,  -- checks that passed
    whole_sum(failed) AS failed,  -- checks that failed
    whole_sum(skipped) AS skipped,  -- checks with the status skipped, whatever else they say
    whole_sum(unknown) AS unknown,  -- checks that say neither
    whole_sum(passed) / nullif(whole_sum(passed + failed), 0) AS pass_rate  -- passed / (passed + failed)
FROM validations_daily
GROUP BY ALL
