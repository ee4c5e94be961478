-- What was asked how often in a window, and how often in the window before, the spellings of one question together.
-- grain: window, assistant_id, topic
-- partition: window
-- windows: 24h, 7d, 30d
-- before: 1
-- sort: window_hours, as_of, frequency DESC, last_asked DESC, topic, assistant_id

WITH texts AS (
    SELECT
        assistant_id,
        text,
        count(*) FILTER (WHERE in_window) AS frequency,
        count(*) FILTER (WHERE NOT in_window) AS previous_frequency,
        min(timestamp) FILTER (WHERE in_window) AS first_asked,
        max(timestamp) FILTER (WHERE in_window) AS last_asked
    FROM events
    WHERE type = 'question' AND text IS NOT NULL
    GROUP BY ALL
),

topics AS (
    SELECT
        assistant_id,
        canonical(text) AS canonical_text,
        arg_min(text, struct_pack(rank := -frequency, first_asked := first_asked, text := text)) AS topic,
        whole_sum(frequency) AS frequency,
        count(*) FILTER (WHERE frequency > 0) AS variations,
        min(first_asked) AS first_asked,
        max(last_asked) AS last_asked,
        whole_sum(previous_frequency) AS previous_frequency
    FROM texts
    GROUP BY ALL
)

SELECT
    CAST($window_hours AS BIGINT) AS window_hours,  -- how long the window is
    CAST($as_of AS TIMESTAMP WITH TIME ZONE) AS as_of,  -- when it ends, inclusive
    assistant_id,  -- the assistant that was asked
    topic,  -- the most frequent text of the question; of equally frequent ones the first asked, then the smallest
    frequency,  -- how often it was asked, however it was spelled
    variations,  -- how many texts it was asked in
    first_asked,  -- when it was first asked in the window
    last_asked,  -- when it was last asked
    previous_frequency,  -- how often it was asked in the window before
    frequency - previous_frequency AS growth  -- how much more often that is
FROM topics
WHERE frequency > 0
