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
SELECT page.*, content_hash, event_hash
FROM (
    SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
           event_version, event_data, metadata, occurred_at, created_at
    FROM event_store_and_archive
    WHERE (aggregate_id, event_version) > (?, ?)
    ORDER BY aggregate_id, event_version LIMIT ?
) AS page LEFT JOIN event_hashes USING (global_position)
ORDER BY aggregate_id, event_version

-- name: heads
-- A page of the last events of aggregates. (What is archived comes before what is not, and of a view
-- SQLite would read all for each.)
SELECT one.aggregate_id, event_version, event_hash
FROM (
    SELECT aggregate_id, coalesce(
        (SELECT global_position FROM event_store AS event
         WHERE event.aggregate_id = first.aggregate_id AND event.global_position <= ?2
         ORDER BY event_version DESC LIMIT 1),
        (SELECT global_position FROM event_archive AS event
         WHERE event.aggregate_id = first.aggregate_id AND event.global_position <= ?2
         ORDER BY event_version DESC LIMIT 1)
    ) AS position
    FROM event_store_and_archive AS first
    WHERE event_version = 1 AND aggregate_id > ?1 AND global_position <= ?2
    ORDER BY aggregate_id LIMIT ?3
) AS one
JOIN event_store_and_archive AS head ON head.global_position = one.position
LEFT JOIN event_hashes ON event_hashes.global_position = one.position
ORDER BY one.aggregate_id
