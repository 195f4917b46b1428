-- name: keys
SELECT subject, number, key FROM {schema}.personal_keys WHERE subject = ANY ($1::text[])
ORDER BY subject, number

-- name: make
-- A key for each subject that has none.
INSERT INTO {schema}.personal_keys (subject, number, key)
SELECT made.subject, made.number, made.key
FROM unnest($1::text[], $2::bigint[], $3::bytea[]) AS made (subject, number, key)
WHERE NOT EXISTS (SELECT FROM {schema}.personal_keys AS own
                  WHERE own.subject = made.subject AND own.key IS NOT NULL)

-- name: shred
UPDATE {schema}.personal_keys SET key = NULL, shredded_at = now()
WHERE subject = $1 AND key IS NOT NULL RETURNING number

-- name: drop_snapshots
DELETE FROM {schema}.aggregate_snapshots WHERE aggregate_id = ANY ($1::text[])
RETURNING aggregate_id

-- name: find
-- Where one of the texts $1 stands.
SELECT found.table_name, found.name, found.key FROM (
    SELECT 'event_store' AS table_name, aggregate_id::text AS name, event_version::text AS key,
           concat_ws(' ', aggregate_id, event_data, metadata) AS told
    FROM {schema}.event_store_and_archive
    UNION ALL
    SELECT 'event_erasures', aggregate_id, event_version::text,
           concat_ws(' ', event_data, metadata, reason)
    FROM {schema}.event_erasures
    UNION ALL
    SELECT 'aggregate_tombstones', aggregate_id, 'reason', reason
    FROM {schema}.aggregate_tombstones
    UNION ALL
    SELECT 'aggregate_snapshots', aggregate_id, version::text, snapshot_data::text
    FROM {schema}.aggregate_snapshots
    UNION ALL
    SELECT 'projection_documents', name, key, concat_ws(' ', key, document)
    FROM {schema}.projection_documents
    UNION ALL
    SELECT 'projection_parked_events', name, position::text, error
    FROM {schema}.projection_parked_events
    UNION ALL
    SELECT 'handled_messages', scope, message_id, message_id FROM {schema}.handled_messages
    UNION ALL
    SELECT 'process_timers', process, name, concat_ws(' ', aggregate_id, name)
    FROM {schema}.process_timers
) AS found
WHERE EXISTS (SELECT FROM unnest($1::text[]) AS text WHERE strpos(found.told, text) > 0)
ORDER BY 1, 2, 3 LIMIT $2
