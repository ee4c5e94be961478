-- Row by row the score is played again and again; `tale` numbers the stories through all tellings. Copy 0 is the record
-- itself, 1 the same once more, 2 a broken line beside it.
CREATE OR REPLACE TABLE candidates AS
WITH rows AS (
    SELECT row FROM range($first, $last) AS rows(row) WHERE row >= $recent OR is_late(row)
)
SELECT row, 0 AS copy FROM rows
UNION ALL SELECT row, 1 FROM rows WHERE is_repeated(row) AND has_id(row)
UNION ALL SELECT row, 2 FROM rows WHERE row % plan().broken_every = 0;

-- A table of its own, so that little is sorted, and cut to the span only afterwards: DuckDB would move that condition
-- down to where it has to compute every arrival twice.
CREATE OR REPLACE TABLE due AS
WITH told AS (
    SELECT row, copy, bar, clock,
        row // plan().slots * plan().stories + bar.story AS tale,
        moment_of(tale, row // plan().slots * plan().slots + bar.first_slot) AS moment
    FROM (SELECT *, bars[1 + row % plan().slots] AS bar FROM candidates, book)
),
timed AS (
    SELECT row, copy, tale,
        begins_at(clock, moment) AS begins,
        slowness(tale, bar.seconds, begins) AS slowed,
        slowed * (bar.pause * bar.turn + bar.pace * (bar.position + roll(row, 'pace'))) AS elapsed,
        begins + floor(1e6 * elapsed)::BIGINT AS happened,
        postponed(happened, delay(row) + CASE copy WHEN 1 THEN 3.6e9 * roll(row, 'again') ELSE 0 END) AS arrival
    FROM told
)
SELECT row, copy, tale, slowed, elapsed, happened, arrival
FROM timed
ORDER BY arrival, row, copy;

CREATE OR REPLACE TABLE arrivals AS
WITH recalled AS (
    SELECT * EXCLUDE (bar), unnest(bar)
    FROM (SELECT due.*, bars[1 + row % plan().slots] AS bar FROM due, book WHERE arrival >= $begins AND arrival < $ends)
),
events AS (
    SELECT *,
        kind IN ('chat', 'agent') AS is_session,
        CASE WHEN kind = 'service' THEN -row - 1 ELSE tale END AS who,
        CASE WHEN is_session THEN tale * 64 + turn ELSE -row - 1 END AS request,
        CASE WHEN is_job THEN tale ELSE row END AS trouble,
        CASE WHEN is_job OR type = 'workflow_updated' THEN draw(who, 'workflow') % plan().workflows END AS workflow,
        CASE WHEN is_session AND one_in(who, 'nobody', 0.04) THEN NULL
            WHEN type IN ('session_start', 'session_end', 'workflow_updated') OR one_in(row, 'person', 0.15)
                OR (type = 'llm_request' AND one_in(row, 'caller', 0.9))
            THEN CASE WHEN workflow IS NULL THEN favoured(who, 'person', plan().people) ELSE owner_of(workflow) END
            END AS person,
        roll(row, 'outcome') AS luck,
        CASE WHEN fails OR luck < failures THEN false WHEN luck >= failures + unknowns THEN true END AS success,
        CASE WHEN median_ms IS NULL OR one_in(row, 'untimed', 0.01) THEN NULL
            WHEN is_job AND type = 'step' THEN 1000 * slowed * pace * (0.2 + 0.75 * roll(row, 'duration'))
            WHEN type = 'llm_request' THEN first_token(row, word) + long_tailed(row, 'duration', median_ms, spread)
            ELSE long_tailed(row, 'duration', median_ms, spread) END AS duration_ms,
        CASE WHEN input IS NOT NULL THEN long_tailed(row, 'input', input, 0.4)::BIGINT END AS input_tokens,
        CASE WHEN input IS NOT NULL THEN long_tailed(row, 'output', output, 0.45)::BIGINT END AS output_tokens
    FROM recalled
),
lines AS (
    SELECT row, copy, happened, arrival, concat(
        '{"record":"event"',
        CASE WHEN has_id(row) THEN concat(',"id":"', code(row, 'event'), '"') END,
        ',"timestamp":"',
        CASE WHEN one_in(row, 'abroad', 0.01) THEN local_stamp(happened) ELSE stamp(happened) END, '"',
        headline,
        CASE WHEN is_session THEN concat(',"session_id":"s-', code(tale, 'session'), '"')
            WHEN is_job THEN concat(',"job_id":"j-', code(tale, 'job'), '"') END,
        CASE WHEN person IS NOT NULL THEN concat(',"user_id":"u-', person, '"', CASE type
            WHEN 'llm_request' THEN concat(',"user_name":"', person_name(person), '"')
            WHEN 'workflow_updated' THEN NULL
            ELSE project_of(person) END) END,
        CASE type
            WHEN 'step' THEN concat(
                CASE WHEN NOT is_job THEN concat(',"request_id":"r-', code(request, 'request'), '"')
                    WHEN one_in(row, 'definition', 0.5) THEN concat(',"workflow_id":"w-', workflow, '"') END,
                CASE success WHEN true THEN ',"status":"completed"' WHEN false THEN ',"status":"failed"' END,
                CASE WHEN input IS NOT NULL THEN concat(
                    ',"input_tokens":', input_tokens, ',"output_tokens":', output_tokens,
                    ',"cost_usd":' || CASE word WHEN 'synthesis' THEN price_of(tale, input_tokens, output_tokens)
                        ELSE dollars(2e-8 * input_tokens) END)
                WHEN word = 'train' THEN concat(',"cost_usd":', dollars(long_tailed(row, 'cost', 0.4, 0.4))) END)
            WHEN 'function_call' THEN concat(
                tracked(row), ',"overhead_ms":', decimals(long_tailed(row, 'overhead', 0.08, 0.3)),
                CASE WHEN NOT success THEN failure(row) END)
            WHEN 'llm_request' THEN concat(
                ',"request_id":"r-', code(request, 'request'), '"',
                assistant_of(tale), model_of(tale), ',"ttft_ms":' || decimals(ttft(row, word)),
                ',"input_tokens":', input_tokens, ',"output_tokens":', output_tokens,
                CASE WHEN one_in(row, 'total', 0.5) THEN concat(',"total_tokens":', input_tokens + output_tokens) END,
                CASE word WHEN 'hit' THEN ',"cost_usd":0,"cached":true'
                    ELSE concat(',"cost_usd":' || price_of(tale, input_tokens, output_tokens),
                        CASE word WHEN 'miss' THEN ',"cached":false' END) END)
            WHEN 'tool_use' THEN tool_of(row)
            WHEN 'validation' THEN CASE success WHEN true THEN ',"status":"passed"' WHEN false THEN ',"status":"failed"'
                ELSE CASE WHEN one_in(row, 'skipped', 0.7) THEN ',"status":"skipped"' END END
            WHEN 'log' THEN concat(',"workflow_id":"w-', workflow, '"')
            WHEN 'question' THEN concat(asked_of(tale), ',"text":"', question(row), '"')
            WHEN 'session_end' THEN concat(',"duration_ms":', decimals(1000 * elapsed))
            WHEN 'error_occurred' THEN concat(category_of(trouble), failure(trouble))
            WHEN 'document_retrieved' THEN concat(
                ',"document_id":"d-', favoured(row, 'document', plan().documents),
                '","request_id":"r-', code(request, 'request'), '"')
            WHEN 'document_updated' THEN document_updated(row, favoured(row, 'document', plan().documents))
            WHEN 'rerank' THEN concat(
                ',"request_id":"r-', code(request, 'request'),
                '","value":', decimals(0.12 + 0.1 * normal(row, 'improvement')))
            WHEN 'command_executed' THEN command_of(row)
            WHEN 'agent_execution' THEN agent_of(row)
            WHEN 'hook_triggered' THEN hook_of(row)
            WHEN 'performance' THEN measure_of(row)
            WHEN 'checkpoint_created' THEN concat(',"name":"checkpoint-', row % 20, '"')
            WHEN 'token_usage' THEN concat(
                model_of(tale), ',"input_tokens":', input_tokens, ',"output_tokens":', output_tokens)
            WHEN 'workflow_updated' THEN concat(',"workflow_id":"w-', workflow, '"', workflow_updated(row, workflow))
            WHEN 'connector_updated' THEN connector_of(draw(row, 'connector'))
            WHEN 'connector_sync' THEN concat(connector_of(draw(row, 'connector')), synced(row))
            END,
        CASE success WHEN true THEN ',"success":true' WHEN false THEN ',"success":false' END,
        ',"duration_ms":' || decimals(duration_ms),
        CASE WHEN one_in(row, 'more', 0.04) THEN pick(row, 'what more', [
            ',"region":"eu-west"', ',"region":"us-east"', ',"http":{"status":200,"retries":1}']) END,
        '}') AS line
    FROM events
)
SELECT make_timestamp(arrival)::DATE AS day, CASE WHEN copy = 2 THEN broken_event(row, happened) ELSE line END AS line
FROM lines;
