-- How each connector's synchronisations went, over a window; every known connector has a row.
-- grain: window, connector_id
-- partition: window
-- windows: 24h, 7d, 30d
-- sort: window_hours, as_of, connector_id

WITH synchronised_connectors AS (
    SELECT
        connector_id,
        count(*) AS syncs,
        count(*) FILTER (WHERE status = 'success') AS successful,
        count(*) FILTER (WHERE status = 'failure') AS failed,
        exact_sum(duration_ms) / 1000 / count(duration_ms) AS avg_duration_seconds
    FROM events
    WHERE type = 'connector_sync' AND connector_id IS NOT NULL
    GROUP BY ALL
)

SELECT
    CAST($window_hours AS BIGINT) AS window_hours,  -- how long the window is
    CAST($as_of AS TIMESTAMP WITH TIME ZONE) AS as_of,  -- when it ends, inclusive
    connectors.connector_id,  -- the connector, as it was known at the end of as_of's day
    connectors.name,  -- its name
    coalesce(syncs, 0) AS syncs,  -- how often it synchronised
    coalesce(successful, 0) AS successful,  -- of those, the ones whose status is success
    coalesce(failed, 0) AS failed,  -- of those, the ones whose status is failure
    coalesce(syncs - successful - failed, 0) AS other,  -- of those, the ones with any other status, or none
    successful / nullif(successful + failed, 0) AS success_rate,  -- successful / (successful + failed)
    avg_duration_seconds  -- the mean of the known durations
FROM connectors
LEFT JOIN synchronised_connectors ON connectors.connector_id = synchronised_connectors.connector_id
