-- How often each text was asked of each assistant in each day.
-- grain: day, assistant_id, text
-- partition: day
-- sort: day, assistant_id, text

WITH texts AS (
    SELECT
        local_day(timestamp) AS day,
        assistant_id,
        text,
        count(*) AS questions,
        min(timestamp) AS first_asked,
        max(timestamp) AS last_asked
    FROM events
    WHERE type = 'question' AND text IS NOT NULL
    GROUP BY ALL
)

SELECT
    day,  -- the local date
    assistant_id,  -- the assistant that was asked
    text,  -- the question as it was spelled
    questions,  -- how often it was asked so
    canonical(text) AS canonical_text,  -- what it has in common with other spellings of it
    first_asked,  -- when it was first asked that day
    last_asked  -- when it was last asked that day
FROM texts
