-- name: first
-- Where the first event is that has a hash.
SELECT global_position FROM {schema}.event_store_and_archive
WHERE content_hash IS NOT NULL OR event_hash IS NOT NULL
ORDER BY global_position LIMIT 1

-- name: links
-- A page of events with their hashes, by aggregate.
SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data::text, metadata::text, occurred_at, created_at,
       content_hash, event_hash
FROM {schema}.event_store_and_archive
WHERE (aggregate_id, event_version) > ($1::text, $2::int)
ORDER BY aggregate_id, event_version LIMIT $3

-- name: heads
-- A page of the last events of aggregates.
SELECT one.aggregate_id, head.event_version, head.event_hash
FROM (
    SELECT aggregate_id FROM {schema}.event_store_and_archive
    WHERE event_version = 1 AND aggregate_id > $1 AND global_position <= $2
    ORDER BY aggregate_id LIMIT $3
) AS one
CROSS JOIN LATERAL (
    SELECT event_version, event_hash FROM {schema}.event_store_and_archive AS event
    WHERE event.aggregate_id = one.aggregate_id AND global_position <= $2
    ORDER BY event_version DESC LIMIT 1
) AS head
ORDER BY one.aggregate_id
