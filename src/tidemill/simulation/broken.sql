-- Lines that must be refused: cut off, no object, no timestamp, out of range, not whole, something missing.
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
    ], row // 5003);
CREATE MACRO broken_metric(row, sampled) AS nth([
    '{"record":"metric","timestamp":"' || stamp(sampled) || '","name":"queue.depth","value":"n/a"}',
    '{"record":"metric","timestamp":"' || stamp(sampled) || '","name":"queue.depth"}',
    '{"record":"metric","timestamp":1e99,"name":"queue.depth","value":3}'
    ], row // 5000);
