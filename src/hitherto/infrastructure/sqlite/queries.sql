-- name: insert
INSERT INTO event_store (event_id, event_type, aggregate_id, aggregate_type, event_version,
    schema_version, event_data, metadata, occurred_at, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: head
SELECT event_version, aggregate_type FROM event_store
WHERE aggregate_id = ? ORDER BY event_version DESC LIMIT 1

-- name: standing
SELECT event_id, global_position FROM event_store
WHERE aggregate_id = ? AND event_version > ? ORDER BY event_version LIMIT ?

-- name: event_id
SELECT event_id FROM event_store WHERE aggregate_id = ? AND event_version = ?

-- name: load
SELECT event_version, event_type, schema_version, event_data, aggregate_type FROM event_store
WHERE aggregate_id = ? AND event_version BETWEEN ? AND ? ORDER BY event_version

-- name: read_forward
SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data, metadata, occurred_at, created_at
FROM event_store WHERE aggregate_id = ? AND event_version BETWEEN ? AND ?
ORDER BY event_version LIMIT ?

-- name: read_backward
SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data, metadata, occurred_at, created_at
FROM event_store WHERE aggregate_id = ? AND event_version BETWEEN ? AND ?
ORDER BY event_version DESC LIMIT ?

-- name: read_all
SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data, metadata, occurred_at, created_at
FROM event_store WHERE global_position > ? {filters}
ORDER BY global_position LIMIT ?

-- name: watermark
SELECT coalesce(max(global_position), 0) FROM event_store

-- name: save_snapshot
INSERT INTO aggregate_snapshots AS kept
    (aggregate_id, aggregate_type, version, fingerprint, snapshot_data)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (aggregate_id) DO UPDATE
SET aggregate_type = excluded.aggregate_type, version = excluded.version,
    fingerprint = excluded.fingerprint, snapshot_data = excluded.snapshot_data,
    created_at = excluded.created_at
WHERE kept.version < excluded.version OR kept.version = ?
RETURNING 1

-- name: read_snapshot
SELECT aggregate_id, aggregate_type, version, fingerprint, snapshot_data
FROM aggregate_snapshots WHERE aggregate_id = ?
