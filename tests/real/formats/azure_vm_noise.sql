-- Benchmark results on Azure's virtual machines over sixteen months: gzip CSV, everything but the figures in the path.
-- path: test_suite, test_name, unit, vm_lifespan, vm_region, vm_sku
--
-- Redis and Test:_GET_-_Parallel_Connections:_50 become redis.get_parallel_connections_50.
--
-- record: metric
SELECT
    line,
    starttime AS timestamp,
    concat_ws(
        '.',
        lower(test_suite),
        lower(regexp_replace(replace(test_name, 'Test:_', ''), '[^A-Za-z0-9]+', '_', 'g'))
    ) AS name,
    value,
    CASE unit
        WHEN 'MiB_sec' THEN 'MiBy/s'
        WHEN 'Requests Per Second' THEN '{request}/s'
        WHEN 'Events Per Second' THEN '{event}/s'
        WHEN 'us Per Event' THEN 'us/{event}'
        WHEN 'Ns Per Event' THEN 'ns/{event}'
        ELSE unit
    END AS unit,
    json_object(
        'vm_id', "VM_id",
        'vm_lifespan', vm_lifespan,
        'vm_region', vm_region,
        'vm_sku', vm_sku
    ) AS labels,
    json_object('runtime_seconds', runtime) AS attributes   -- how long the benchmark ran
FROM raw
