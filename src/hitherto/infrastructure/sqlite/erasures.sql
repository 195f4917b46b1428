-- name: as_found
SELECT 1 FROM event_store_and_archive
WHERE event_id = :event_id AND event_data IS :data AND metadata IS :metadata

-- name: last
SELECT event_data, metadata, fields, reason, erased_by FROM event_erasures
WHERE event_id = ? ORDER BY erasure_number DESC LIMIT 1

-- name: record
INSERT INTO event_erasures (
    event_id, aggregate_id, event_version, event_data, metadata, fields, reason, erased_by,
    erased_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: replace_told
UPDATE event_erasures SET event_data = :data, metadata = :metadata
WHERE event_id = :event_id AND (event_data IS NOT :data OR metadata IS NOT :metadata)

-- name: replace
UPDATE event_store SET event_data = :data, metadata = :metadata WHERE event_id = :event_id

-- name: replace_archived
UPDATE event_archive SET event_data = :data, metadata = :metadata WHERE event_id = :event_id

-- name: drop_snapshot
DELETE FROM aggregate_snapshots WHERE aggregate_id = ?

-- name: erasures
SELECT event_id, aggregate_id, event_version, event_data, metadata, fields, reason, erased_by,
       erased_at
FROM event_erasures ORDER BY erasure_number
