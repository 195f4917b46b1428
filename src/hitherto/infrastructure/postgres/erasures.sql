-- name: erase
SELECT {schema}.erase_event($1, $2, $3, $4, $5, $6, $7, $8)

-- name: erasures
SELECT event_id, aggregate_id::text, event_version, event_data::text, metadata::text, fields,
       reason, erased_by, erased_at
FROM {schema}.event_erasures ORDER BY erasure_number
