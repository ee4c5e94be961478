-- What happens: stories that are told again and again. Each event is type[:word], and with a ! it always fails.
-- pause: seconds before each question, or in a job's queue; pace: seconds between two events. In all, one job for ten
-- events.
CREATE TABLE scripts(script, times, kind, pause, pace, events) AS VALUES
    (1, 14, 'completed', 25, 20, 'step:extract step:transform step:load'),
    (2, 8, 'completed', 15, 12, 'step:extract validation:not_null step:load log:stdout'),
    (3, 6, 'completed', 40, 30,
        'step:fetch step:parse validation:schema validation:row_count step:embed step:index log:app'),
    (4, 4, 'completed', 10, 15, 'step:plan llm_request step:apply llm_request step:review'),
    (5, 3, 'completed', 300, 200,
        'log:stdout step:prepare step:train step:train validation:drift step:evaluate step:deploy'),
    (6, 2, 'completed', 25, 20, 'step:extract step:transform! error_occurred step:transform step:load'),
    (7, 4, 'failed', 25, 20, 'step:extract step:transform! error_occurred log:stderr'),
    (8, 2, 'failed', 15, 12, 'step:fetch validation:schema! error_occurred'),
    (9, 1, 'cancelled', 60, 40, 'step:extract log:stdout'),
    (10, 1, 'running', 25, 90, 'step:prepare step:train'),
    (11, 1, 'paused', 25, 20, 'step:prepare log:app'),
    (12, 1, 'pending', 600, 5, 'log:scheduler'),
    (13, 1, 'queued', 600, 5, 'log:scheduler'),
    (14, 5, 'chat', 45, 0.4, concat_ws(' ',
        'session_start question step:connection step:cache_lookup step:query_rewrite step:vectorization',
        'step:retrieval document_retrieved document_retrieved step:reranking rerank step:synthesis',
        'llm_request:miss step:persistence step:cache_update step:trending session_end')),
    (15, 4, 'chat', 60, 0.2, concat_ws(' ',
        'session_start question step:connection step:cache_lookup llm_request:hit question step:connection',
        'step:cache_lookup llm_request:hit session_end')),
    (16, 1, 'chat', 80, 0.5, concat_ws(' ',
        'session_start question llm_request question llm_request question step:query_rewrite step:retrieval',
        'document_retrieved llm_request question llm_request:hit question llm_request:miss question step:retrieval',
        'document_retrieved rerank llm_request:miss question llm_request error_occurred session_end')),
    (17, 3, 'agent', 20, 25, 'session_start tool_use tool_use tool_use hook_triggered command_executed session_end'),
    (18, 2, 'agent', 20, 15, concat_ws(' ',
        'session_start hook_triggered agent_execution tool_use tool_use tool_use tool_use! error_occurred',
        'command_executed tool_use tool_use agent_execution token_usage checkpoint_created session_end')),
    (19, 1, 'agent', 20, 30, concat_ws(' ',
        'session_start agent_execution tool_use tool_use command_executed! error_occurred tool_use tool_use',
        'hook_triggered tool_use tool_use token_usage checkpoint_created agent_execution tool_use tool_use',
        'command_executed tool_use hook_triggered token_usage checkpoint_created session_end')),
    (20, 10, 'service', 0, 2, 'function_call function_call function_call function_call'),
    (21, 4, 'service', 0, 9, 'function_call performance'),
    (22, 3, 'service', 0, 60, 'connector_sync document_updated document_updated'),
    (23, 3, 'service', 0, 1, 'llm_request'),
    (24, 1, 'service', 0, 1, 'workflow_updated'),
    (25, 1, 'service', 0, 1, 'connector_updated');

-- What an event of a type (and a word) usually takes: median_ms and spread of its duration, shares of failures and of
-- unknown success, median tokens. What is null it does not carry. (A job's step takes its share of the job's time.)
CREATE TABLE habits(type VARCHAR, word VARCHAR, median_ms DOUBLE, spread DOUBLE, failures DOUBLE, unknowns DOUBLE,
    input DOUBLE, output DOUBLE);
INSERT INTO habits VALUES
    ('function_call', NULL, 350, 0.75, 0.04, 0.02, NULL, NULL),
    ('step', NULL, 9000, 0.6, 0.03, 0.03, NULL, NULL),
    ('step', 'embed', 15000, 0.45, 0.02, 0.02, 6000, 0),
    ('step', 'connection', 12, 0.3, 0.01, 0.02, NULL, NULL),
    ('step', 'cache_lookup', 4, 0.25, 0.01, 0.02, NULL, NULL),
    ('step', 'query_rewrite', 280, 0.25, 0.01, 0.02, 180, 40),
    ('step', 'vectorization', 35, 0.2, 0.01, 0.02, 60, 0),
    ('step', 'retrieval', 120, 0.4, 0.02, 0.02, NULL, NULL),
    ('step', 'reranking', 160, 0.25, 0.01, 0.02, NULL, NULL),
    ('step', 'synthesis', 1900, 0.3, 0.02, 0.02, 1500, 260),
    ('step', 'persistence', 15, 0.25, 0.01, 0.02, NULL, NULL),
    ('step', 'cache_update', 6, 0.25, 0.01, 0.02, NULL, NULL),
    ('step', 'trending', 3, 0.25, 0.01, 0.02, NULL, NULL),
    ('llm_request', NULL, 1800, 0.4, 0.02, 0.02, 1500, 260),
    ('llm_request', 'hit', 30, 0.3, 0.002, 0.02, 1500, 260),
    ('tool_use', NULL, 180, 0.8, 0.06, 0.05, NULL, NULL),
    ('agent_execution', NULL, 20000, 0.5, 0.05, 0.05, NULL, NULL),
    ('command_executed', NULL, 900, 0.85, 0.1, 0.05, NULL, NULL),
    ('token_usage', NULL, NULL, NULL, NULL, NULL, 4000, 700),
    ('performance', NULL, 140, 0.55, NULL, NULL, NULL, NULL),
    ('hook_triggered', NULL, 45, 0.45, NULL, NULL, NULL, NULL),
    ('checkpoint_created', NULL, 220, 0.35, NULL, NULL, NULL, NULL),
    ('validation', NULL, NULL, NULL, 0.08, 0.06, NULL, NULL),
    ('connector_sync', NULL, 25000, 0.55, NULL, NULL, NULL, NULL);

-- One telling of all scripts, their copies mixed: one row an event, numbered by slot. A job waits once, in its queue.
CREATE TABLE score AS
WITH tellings AS (
    SELECT *, row_number() OVER (ORDER BY (copy + 0.5) / times, script) - 1 AS story
    FROM (SELECT *, string_split(events, ' ') AS told, unnest(range(times)) AS copy FROM scripts)
),
told_events AS (
    SELECT story, kind, pause::DOUBLE AS pause, pace::DOUBLE AS pace, len(told) AS length,
        kind NOT IN ('chat', 'agent', 'service') AS is_job,
        generate_subscripts(told, 1) - 1 AS position,
        string_split(rtrim(told[position + 1], '!'), ':') AS event,
        suffix(told[position + 1], '!') AS fails
    FROM tellings
)
SELECT * EXCLUDE (event), event[1] AS type, event[2] AS word,
    row_number() OVER (ORDER BY story, position) - 1 AS slot,
    slot - position AS first_slot,
    CASE WHEN is_job THEN 1
        ELSE count(*) FILTER (event[1] = 'question') OVER (PARTITION BY story ORDER BY position) END AS turn
FROM told_events;

CREATE TABLE stories AS
SELECT story, kind, is_job, first_slot, pause, pace, length,
    pause * max(turn) + pace * (length + 1) AS seconds,
    count(DISTINCT word) FILTER (type = 'step') AS steps
FROM score
GROUP BY story, kind, is_job, first_slot, pause, pace, length;

CREATE TYPE event_type AS ENUM (SELECT DISTINCT type FROM score ORDER BY type);
CREATE TABLE bars AS
SELECT score.* REPLACE (score.type::event_type AS type), seconds, habits.* EXCLUDE (type, word),
    concat(',"type":"', score.type, '"',
        CASE WHEN score.type IN ('step', 'validation', 'log') THEN concat(',"name":"', score.word, '"') END) AS headline
FROM score
JOIN stories USING (story)
LEFT JOIN habits ON habits.type = score.type AND coalesce(habits.word = score.word, habits.word IS NULL)
QUALIFY row_number() OVER (PARTITION BY slot ORDER BY habits.word NULLS LAST) = 1;

-- A job's life by how its story goes: what is observed of it, how often at all, and in which words.
CREATE TABLE sights AS
SELECT story, row_number() OVER (ORDER BY story, stage) AS sight, stages.* EXCLUDE (kinds), kind, steps
FROM (VALUES
    (['completed', 'failed', 'cancelled'], 1, 'created', 'told', 0.9, ['pending', 'pending', 'Scheduled']),
    (['running', 'paused', 'pending', 'queued'], 1, 'created', 'told', 1, ['pending', 'pending', 'WAITING']),
    (['completed', 'failed'], 2, 'queued', 'queued', 0.5, ['queued', 'queued', 'Queued']),
    (['queued'], 2, 'queued', 'queued', 1, ['queued']),
    (['completed', 'failed', 'cancelled', 'running', 'paused'], 3, 'started', 'started', 0.97,
        ['running', 'running', 'RUNNING', 'Started', 'in_progress']),
    (['running'], 4, 'moved', 'moved', 0.2, ['Migrating']),
    (['completed'], 4, 'paused', 'paused', 0.04, ['paused', 'PAUSED']),
    (['completed'], 5, 'resumed', 'paused', 0.04, ['running', 'Started']),
    (['paused'], 4, 'paused', 'paused', 1, ['paused', 'Paused']),
    (['completed'], 6, 'ended', 'ended', 1,
        ['completed', 'completed', 'completed', 'SUCCESS', 'Succeeded', 'finished']),
    (['failed'], 6, 'ended', 'ended', 1, ['failed', 'failed', 'Error', 'CRASHED']),
    (['cancelled'], 6, 'ended', 'ended', 1, ['cancelled', 'Canceled', 'aborted']),
    (['completed'], 7, 'deleted', 'deleted', 0.02, ['completed']),
    (['failed'], 7, 'deleted', 'deleted', 0.02, ['failed'])
) AS stages(kinds, stage, event, chance, share, spellings)
JOIN stories ON list_contains(kinds, kind);

-- Units as UCUM writes them. A counter's level is its rate a second, a delta's its median.
CREATE TABLE gauges(name, unit, kind, level) AS VALUES
    ('cpu.utilization', '1', 'gauge', 0.45::DOUBLE), ('memory.usage', 'By', 'gauge', 6e9),
    ('queue.depth', '{item}', 'gauge', 25), ('http.server.duration', 'ms', 'gauge', 120),
    ('temperature', 'Cel', 'gauge', 41), ('db.connections', '1', 'gauge', 12),
    ('requests.total', '{request}', 'counter', 3.2), ('network.io', 'By', 'counter', 81000),
    ('errors.total', '{error}', 'counter', 0.02), ('tokens.used', '{token}', 'delta', 1500),
    ('cache.hits', '{hit}', 'delta', 40), ('disk.written', 'KiBy', 'delta', 5200);
