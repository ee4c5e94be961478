-- What was asked how often over all days, the spellings of one question together.
-- grain: assistant_id, topic
-- partition: none
-- sort: frequency DESC, last_asked DESC, topic, assistant_id

WITH texts AS (
    SELECT
        assistant_id,
        text,
        arg_max(canonical_text, day) AS canonical_text,
        whole_sum(questions) AS frequency,
        min(first_asked) AS first_asked,
        max(last_asked) AS last_asked
    FROM topics_daily
    GROUP BY ALL
)

SELECT
    assistant_id,  -- the assistant that was asked
    arg_min(text, struct_pack(rank := -frequency, first_asked := first_asked, text := text))
        AS topic,  -- the most frequent text of the question; of equally frequent ones the first asked, then the smallest
    canonical_text,  -- what all its texts have in common
    whole_sum(frequency) AS frequency,  -- how often it was asked, however it was spelled
    count(*) AS variations,  -- how many texts it was asked in
    min(first_asked) AS first_asked,  -- when it was first asked
    max(last_asked) AS last_asked  -- when it was last asked
FROM texts
GROUP BY ALL
