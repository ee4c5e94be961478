CREATE MACRO dollars(amount) AS amount::DECIMAL(18, 9)::VARCHAR;
CREATE MACRO price(story, input, output) AS dollars(
    input * nth([2.5e-6, 3e-6, 0.15e-6, 2e-6, NULL, NULL], favoured(story, 'model', 6))
    + output * nth([10e-6, 15e-6, 0.6e-6, 6e-6, NULL, NULL], favoured(story, 'model', 6)));
CREATE MACRO document_updated(row, document) AS concat(
    ',"document_id":"d-', document, '","connector_id":"c-', document % 8, '"', document_name(document),
    CASE WHEN one_in(row, 'status', 0.04) THEN ',"status":"deleted"' END,
    ',"total_tokens":', lognormal(document, 'size', 1800, 1.1)::BIGINT,
    ',"value":', lognormal(document, 'size', 1800, 1.1)::BIGINT // 250 + 1);
CREATE MACRO wait(row, word) AS lognormal(row, 'ttft', CASE word WHEN 'hit' THEN 15 ELSE 450 END, 0.7);
CREATE MACRO ttft(row, word) AS CASE
    WHEN one_in(row, 'no ttft', 0.04) THEN NULL WHEN one_in(row, 'zero ttft', 0.03) THEN 0 ELSE wait(row, word) END;
CREATE MACRO synced(row) AS pick(row, 'status', [
    ',"status":"success"', ',"status":"success"', ',"status":"success"', ',"status":"failure"', ',"status":"partial"']);
CREATE MACRO workflow_updated(row, workflow) AS concat(
    ',"name":"', workflow_kind_of(workflow), '"',
    pick(row, 'status', [',"status":"active"', ',"status":"active"', ',"status":"terminated"', ',"status":"deleted"']));
CREATE MACRO broken_event(row, happened) AS nth([
    '{"record":"event","id":"' || code(row, 'broken') || '","timestamp":"' || stamp(happened) || '","type":"tool_u',
    '["event","' || code(row, 'broken') || '","' || stamp(happened) || '"]',
    '{"record":"event","timestamp":"yesterday about noon","type":"hook_triggered","duration_ms":12.5}',
    '{"record":"event","timestamp":"' || stamp(happened) || '","type":"function_call","name":"x","duration_ms":-40}',
    '{"record":"event","timestamp":"' || stamp(happened) || '","type":"token_usage","input_tokens":12.5}',
    '{"record":"event","timestamp":"' || stamp(happened) || '","name":"load_orders","duration_ms":8}'
    ], row // plan().broken_every);
CREATE MACRO broken_job(row, tale, created_at) AS nth([
    '{"record":"job","job_id":"j-' || code(tale, 'broken') || '","status":"pending","created_at":"soon"}',
    '{"record":"job","job_id":"j-' || code(tale, 'broken') || '","created_at":"' || stamp(created_at) || '"}',
    '{"record":"job","job_id":"j-' || code(tale, 'broken') || '","status":"queued","created_at":"2026-'
    ], row // 5000);
CREATE MACRO broken_metric(row, sampled) AS nth([
    '{"record":"metric","timestamp":"' || stamp(sampled) || '","name":"queue.depth","value":"n/a"}',
    '{"record":"metric","timestamp":"' || stamp(sampled) || '","name":"queue.depth"}',
    '{"record":"metric","timestamp":1e99,"name":"queue.depth","value":3}'
    ], row // 5000);
