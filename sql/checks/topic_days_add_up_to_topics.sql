-- What topics_daily counts of each assistant's questions adds up to what topics says of them.
-- severity: fail

WITH days AS (
    SELECT
        assistant_id,
        whole_sum(questions) AS questions,
        count(DISTINCT text) AS texts,
        min(first_asked) AS first_asked,
        max(last_asked) AS last_asked
    FROM topics_daily
    GROUP BY ALL
),

totals AS (
    SELECT
        assistant_id,
        whole_sum(frequency) AS questions,
        whole_sum(variations) AS texts,
        min(first_asked) AS first_asked,
        max(last_asked) AS last_asked
    FROM topics
    GROUP BY ALL
)

SELECT
    coalesce(days.assistant_id, totals.assistant_id) AS assistant_id,
    days,
    totals
FROM days
FULL JOIN totals ON days.assistant_id IS NOT DISTINCT FROM totals.assistant_id
WHERE
    differs(days.questions, totals.questions)
    OR differs(days.texts, totals.texts)
    OR days.first_asked IS DISTINCT FROM totals.first_asked
    OR days.last_asked IS DISTINCT FROM totals.last_asked
