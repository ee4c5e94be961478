-- How many different things were asked, and how much one of them dominates, over a window.
-- grain: window
-- partition: window
-- windows: 24h, 7d, 30d
-- sort: window_hours, as_of

WITH texts AS (
    SELECT
        text,
        count(*) AS frequency
    FROM events
    WHERE type = 'question' AND text IS NOT NULL
    GROUP BY ALL
),

topics AS (
    SELECT
        canonical(text) AS canonical_text,
        whole_sum(frequency) AS frequency
    FROM texts
    GROUP BY ALL
)

SELECT
    CAST($window_hours AS BIGINT) AS window_hours,  -- how long the window is
    CAST($as_of AS TIMESTAMP WITH TIME ZONE) AS as_of,  -- when it ends, inclusive
    count(*) AS topics,  -- different questions, the spellings of one together
    whole_sum(frequency) AS questions,  -- questions that have a text
    1 - sum(CAST(frequency AS HUGEINT) * frequency) / pow(sum(frequency), 2)
        AS diversity,  -- 1 - the sum of (frequency / questions)^2: 0 when all ask the same
    max(frequency) / sum(frequency) AS dominant_share  -- how many of the questions are of the most frequent topic
FROM topics
