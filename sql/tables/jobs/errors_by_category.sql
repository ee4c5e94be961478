-- The errors of jobs by what may be done about them; always four rows.
-- grain: category
-- partition: none
-- sort: category

WITH categories AS (
    SELECT category
    FROM (VALUES ('transient'), ('rate_limit'), ('permanent'), ('other')) AS named(category)
),

categorised_errors AS (
    SELECT
        CASE WHEN category IN ('transient', 'rate_limit', 'permanent') THEN category ELSE 'other' END AS category,
        job_errors
    FROM errors_daily
)

SELECT
    category,  -- transient, rate_limit, permanent, or other: none, or any other word
    whole_sum(categorised_errors.job_errors) AS job_errors  -- events of type error_occurred with a job_id
FROM categories
LEFT JOIN categorised_errors USING (category)
GROUP BY ALL
