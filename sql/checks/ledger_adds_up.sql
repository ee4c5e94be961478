-- Of each load every record is accounted for: read + expanded = accepted + duplicates + quarantined + ignored.
-- severity: fail

SELECT
    load_id,
    source,
    uri,
    records_read,
    expanded,
    accepted,
    duplicates,
    quarantined,
    ignored
FROM lake.loads
WHERE
    records_read + expanded IS DISTINCT FROM accepted + duplicates + quarantined + ignored
    OR least(records_read, expanded, accepted, duplicates, quarantined, ignored) < 0
