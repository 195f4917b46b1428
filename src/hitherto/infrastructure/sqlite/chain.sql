-- name: previous
-- The hash of an event.
SELECT event_hash FROM event_store JOIN event_hashes USING (global_position)
WHERE aggregate_id = ? AND event_version = ?

-- name: insert
INSERT INTO event_hashes (global_position, content_hash, event_hash) VALUES (?, ?, ?)

-- name: first
-- Where the first event is that has a hash.
SELECT min(global_position) FROM event_hashes

-- name: links
-- A page of events with their hashes, by aggregate.
SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data, metadata, occurred_at, created_at, content_hash, event_hash
FROM event_store LEFT JOIN event_hashes USING (global_position)
WHERE (aggregate_id, event_version) > (?, ?)
ORDER BY aggregate_id, event_version LIMIT ?

-- name: heads
-- A page of the last events of aggregates; with max() come the other columns of that event.
SELECT aggregate_id, event_version, event_hash
FROM (SELECT aggregate_id, max(event_version) AS event_version, global_position FROM event_store
      WHERE aggregate_id > ? AND global_position <= ?
      GROUP BY aggregate_id ORDER BY aggregate_id LIMIT ?)
LEFT JOIN event_hashes USING (global_position)
ORDER BY aggregate_id
