-- name: keys
SELECT subject, number, key FROM personal_keys
WHERE subject IN (SELECT value FROM json_each(?)) ORDER BY subject, number

-- name: make
INSERT INTO personal_keys (subject, number, key)
SELECT ?1, ?2, ?3
WHERE NOT EXISTS (SELECT 1 FROM personal_keys WHERE subject = ?1 AND key IS NOT NULL)

-- name: shred
UPDATE personal_keys SET key = NULL, shredded_at = strftime('%Y-%m-%dT%H:%M:%fZ', 'now')
WHERE subject = ? AND key IS NOT NULL RETURNING number

-- name: drop_snapshots
DELETE FROM aggregate_snapshots WHERE aggregate_id IN (SELECT value FROM json_each(?))
RETURNING aggregate_id

-- name: find
-- Where one of the texts, a JSON list, stands.
SELECT table_name, name, key FROM (
    SELECT 'event_store' AS table_name, aggregate_id AS name, CAST(event_version AS TEXT) AS key,
           aggregate_id || ' ' || event_data || ' ' || coalesce(metadata, '') AS told
    FROM event_store_and_archive
    UNION ALL
    SELECT 'event_erasures', aggregate_id, CAST(event_version AS TEXT),
           event_data || ' ' || coalesce(metadata, '') || ' ' || reason FROM event_erasures
    UNION ALL
    SELECT 'aggregate_tombstones', aggregate_id, 'reason', reason
    FROM aggregate_tombstones
    UNION ALL
    SELECT 'aggregate_snapshots', aggregate_id, CAST(version AS TEXT), snapshot_data
    FROM aggregate_snapshots
    UNION ALL
    SELECT 'projection_documents', name, key, key || ' ' || document FROM projection_documents
    UNION ALL
    SELECT 'projection_parked_events', name, CAST(position AS TEXT), error
    FROM projection_parked_events
    UNION ALL
    SELECT 'handled_messages', scope, message_id, message_id FROM handled_messages
    UNION ALL
    SELECT 'process_timers', process, name, aggregate_id || ' ' || name FROM process_timers
)
WHERE EXISTS (SELECT 1 FROM json_each(?) AS text WHERE instr(told, text.value) > 0)
ORDER BY 1, 2, 3 LIMIT ?
