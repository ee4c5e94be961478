-- Questions that a bank's customers asked, with their topic: CSV with text and category, without times.
--
-- record: event
SELECT
    line,
    'question' AS type,
    text,
    category,
    json_object('category', category) AS attributes
FROM raw
