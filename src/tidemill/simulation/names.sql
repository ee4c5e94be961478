-- Who and what the stories are about, mostly as the fields that say so.
CREATE MACRO project_of(person) AS nth([
    ',"project":"atlas"', ',"project":"beacon"', ',"project":"cobalt"', ',"project":"delta"',
    ',"project":"ember"'], person);
CREATE MACRO person_name(person) AS concat(
    nth(['Ada', 'Björn', 'Chloé', 'Dmitri', 'Eszter', 'Farid', 'Grace', 'Hiro', 'Inês', 'Jürgen', 'Kofi'], person),
    ' ',
    nth(['Okafor', 'Lindqvist', 'Moreau', 'Novák', 'Tanaka', 'Silva', 'Weiß'], person // 11));
CREATE MACRO workflow_kind_of(workflow) AS nth(['etl', 'training', 'report', 'index', 'cleanup'], workflow);
CREATE MACRO owner_of(workflow) AS favoured(workflow, 'owner', plan().people);
CREATE MACRO agent_of(key) AS pick(key, 'agent', [
    ',"agent_id":"planner"', ',"agent_id":"reviewer"', ',"agent_id":"coder"', ',"agent_id":"tester"']);
CREATE MACRO tool_of(key) AS pick(key, 'tool', [
    ',"tool_name":"Read"', ',"tool_name":"Read"', ',"tool_name":"Read"', ',"tool_name":"Edit"', ',"tool_name":"Bash"',
    ',"tool_name":"Bash"', ',"tool_name":"Grep"', ',"tool_name":"Write"', ',"tool_name":"WebFetch"']);
CREATE MACRO command_of(key) AS pick(key, 'command', [
    ',"name":"git status"', ',"name":"git diff"', ',"name":"pytest"', ',"name":"make test"', ',"name":"ruff check"']);
CREATE MACRO hook_of(key) AS pick(key, 'hook',
    [',"name":"pre_tool_use"', ',"name":"post_tool_use"', ',"name":"pre_commit"', ',"name":"stop"']);
CREATE MACRO measure_of(key) AS pick(key, 'measure',
    [',"name":"page_load"', ',"name":"db_query"', ',"name":"render"', ',"name":"queue_wait"']);
CREATE MACRO connector_of(number) AS nth([
    ',"connector_id":"c-0","name":"SharePoint"', ',"connector_id":"c-1","name":"Drive"',
    ',"connector_id":"c-2","name":"Confluence"', ',"connector_id":"c-3","name":"Jira"',
    ',"connector_id":"c-4","name":"S3"', ',"connector_id":"c-5","name":"Notion"',
    ',"connector_id":"c-6","name":"Mailbox"', ',"connector_id":"c-7","name":"Website"'], number);
CREATE MACRO document_name(document) AS concat(',"name":"',
    nth(['handbook', 'invoice', 'contract', 'minutes', 'manual', 'résumé', 'roadmap'], document), '-', document,
    nth(['.pdf"', '.docx"', '.md"', '.html"'], document));
CREATE MACRO tracked(key) AS nth([
    ',"name":"load_orders","category":"io"', ',"name":"parse_invoice","category":"cpu"',
    ',"name":"render_report","category":"cpu"', ',"name":"send_mail","category":"network"',
    ',"name":"fetch_rates","category":"network"', ',"name":"score_lead","category":"model"',
    ',"name":"resize_image","category":"cpu"', ',"name":"sync_calendar"'], favoured(key, 'function', 8));
CREATE MACRO assistant_of(story) AS nth([
    ',"assistant_id":"a1","name":"Support"', ',"assistant_id":"a2","name":"People desk"',
    ',"assistant_id":"a3","name":"Sales helper"', ',"assistant_id":"a4","name":"Légal"',
    ',"assistant_id":"a5","name":"Onboarding"'], favoured(story, 'assistant', 5));
CREATE MACRO asked_of(story) AS concat(',"assistant_id":"a', favoured(story, 'assistant', 5) + 1, '"');
CREATE MACRO model_of(story) AS nth([
    ',"model":"gpt-4o","provider":"openai"', ',"model":"claude-sonnet-4","provider":"anthropic"',
    ',"model":"gpt-4o-mini","provider":"openai"', ',"model":"mistral-large","provider":"mistral"',
    ',"model":"llama-3.1-70b","provider":"local"', ',"model":"house-model"'], favoured(story, 'model', 6));
CREATE MACRO failure(key) AS nth([
    ',"error_type":"TimeoutError","message":"no answer within 30 s"',
    ',"error_type":"ValidationError","message":"column \"amount\" is missing"',
    ',"error_type":"RateLimitError","message":"429 Too Many Requests"',
    ',"error_type":"ConnectionError","message":"connection reset by peer\nretrying"',
    ',"error_type":"OutOfMemory","message":"killed: 8 GiB exceeded"',
    ',"error_type":"QuotaExceeded","message":"monthly quota used up"',
    ',"message":"unknown failure"'], favoured(key, 'failure', 7));
CREATE MACRO category_of(key) AS nth([
    ',"category":"transient"', ',"category":"permanent"', ',"category":"rate_limit"', ',"category":"transient"',
    ',"category":"permanent"', ',"category":"quota"', NULL], favoured(key, 'failure', 7));
CREATE MACRO topic(key) AS nth([
    'How many vacation days do I have left?', 'What''s our refund policy?', 'Où est la politique de congés ?',
    'How do I reset my password?', 'Who approves travel expenses?', 'Wie beantrage ich Elternzeit?',
    '¿Cuál es el límite de gastos?', 'Can I work from abroad?', 'Where is the onboarding checklist?',
    'What is the notice period?', 'How do I book a meeting room?', 'Is the café open on Fridays?'],
    favoured(key, 'topic', 12));
CREATE MACRO respelled(text, style) AS CASE style % 8
    WHEN 0 THEN lower(text) WHEN 1 THEN strip_accents(text) WHEN 2 THEN rtrim(text, ' ?')
    WHEN 3 THEN replace(lower(text), ' ', '  ') WHEN 4 THEN upper(text) WHEN 5 THEN replace(text, '''', '’')
    ELSE text END;
CREATE MACRO question(key) AS
    CASE WHEN one_in(key, 'rare', 0.2) THEN concat('What happened to ticket ', draw(key, 'ticket') % 90000 + 10000, '?')
    ELSE respelled(topic(key), draw(key, 'style')) END;
CREATE MACRO dollars(amount) AS amount::DECIMAL(18, 9)::VARCHAR;
-- US dollars; two of the models have no known price.
CREATE MACRO price_of(story, input, output) AS dollars(
    input * nth([2.5e-6, 3e-6, 0.15e-6, 2e-6, NULL, NULL], favoured(story, 'model', 6))
    + output * nth([10e-6, 15e-6, 0.6e-6, 6e-6, NULL, NULL], favoured(story, 'model', 6)));
CREATE MACRO document_updated(row, document) AS concat(
    ',"document_id":"d-', document, '","connector_id":"c-', document % 8, '"', document_name(document),
    CASE WHEN one_in(row, 'status', 0.04) THEN ',"status":"deleted"' END,
    ',"total_tokens":', long_tailed(document, 'size', 1800, 0.55)::BIGINT,
    ',"value":', long_tailed(document, 'size', 1800, 0.55)::BIGINT // 250 + 1);
CREATE MACRO first_token(row, word) AS long_tailed(row, 'ttft', CASE word WHEN 'hit' THEN 15 ELSE 450 END, 0.35);
CREATE MACRO ttft(row, word) AS CASE
    WHEN one_in(row, 'no ttft', 0.04) THEN NULL
    WHEN one_in(row, 'zero ttft', 0.03) THEN 0
    ELSE first_token(row, word) END;
CREATE MACRO synced(row) AS pick(row, 'status', [
    ',"status":"success"', ',"status":"success"', ',"status":"success"', ',"status":"failure"', ',"status":"partial"']);
CREATE MACRO workflow_updated(row, workflow) AS concat(
    ',"name":"', workflow_kind_of(workflow), '"',
    pick(row, 'status', [
        ',"status":"active"', ',"status":"active"', ',"status":"terminated"', ',"status":"deleted"']));
