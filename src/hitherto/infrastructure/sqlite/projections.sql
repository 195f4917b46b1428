-- name: current
SELECT generation, version, state, partitions FROM projection_generations
WHERE name = ? AND state <> 'retired' ORDER BY generation

-- name: has_table
SELECT 1 FROM pragma_table_info(?, ?) LIMIT 1

-- name: current_names
SELECT DISTINCT name FROM projection_generations WHERE state <> 'retired' ORDER BY name

-- name: state
SELECT state, paused, inline, partitions FROM projection_generations
WHERE name = ? AND generation = ? AND state <> 'retired'

-- name: next_number
SELECT coalesce(max(generation), 0) + 1 FROM projection_generations WHERE name = ?

-- name: make
INSERT INTO projection_generations (name, generation, version, state, partitions)
VALUES (?, ?, ?, ?, ?)

-- name: make_partition
INSERT INTO projection_checkpoints (name, generation, partition, position, event_id)
VALUES (?, ?, ?, ?, ?)

-- name: last_up_to
-- The last event up to a position.
SELECT global_position, event_id FROM event_store_and_archive WHERE global_position <= ?
ORDER BY global_position DESC LIMIT 1

-- name: retire
-- Its number is kept, so that it is never used again.
UPDATE projection_generations SET state = 'retired' WHERE name = :name AND generation = :generation;
DELETE FROM projection_checkpoints WHERE name = :name AND generation = :generation;
DELETE FROM projection_workers WHERE name = :name AND generation = :generation;
DELETE FROM projection_parked_events WHERE name = :name AND generation = :generation;
DELETE FROM projection_documents WHERE name = :name AND generation = :generation

-- name: attend
INSERT INTO projection_workers (name, generation, worker, alive_until) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET alive_until = excluded.alive_until

-- name: forget_workers
DELETE FROM projection_workers WHERE name = ? AND generation = ? AND alive_until < ?

-- name: live_workers
SELECT count(*) FROM projection_workers WHERE name = ? AND generation = ? AND alive_until > ?

-- name: leave
DELETE FROM projection_workers WHERE name = ? AND generation = ? AND worker = ?

-- name: holders
SELECT partition, token, leased_until FROM projection_checkpoints
WHERE name = ? AND generation = ? ORDER BY partition

-- name: take
UPDATE projection_checkpoints SET token = token + 1, worker = ?
WHERE name = ? AND generation = ? AND partition = ?

-- name: renew
UPDATE projection_checkpoints SET leased_until = ?
WHERE name = ? AND generation = ? AND partition = ?

-- name: leases
SELECT partition, token, position, attempts, silent_until,
       position = 0 OR EXISTS (SELECT 1 FROM event_store_and_archive AS event
                               WHERE event.global_position = position
                                 AND event.event_id = held.event_id)
FROM projection_checkpoints AS held
WHERE name = ? AND generation = ? AND partition IN (SELECT value FROM json_each(?))
ORDER BY partition

-- name: to_retry
SELECT 1 FROM projection_parked_events
WHERE name = ? AND generation = ? AND retry
  AND partition IN (SELECT value FROM json_each(?))
LIMIT 1

-- name: begin
UPDATE projection_checkpoints SET attempts = attempts + 1
WHERE name = ? AND generation = ? AND partition = ? AND token = ?

-- name: release
UPDATE projection_checkpoints
SET worker = NULL, leased_until = 0, attempts = max(attempts - 1, 0)
WHERE name = ? AND generation = ? AND partition = ? AND token = ?

-- name: advance
UPDATE projection_checkpoints
SET position = max(position, :position),
    event_id = CASE WHEN position < :position THEN
        (SELECT event_id FROM event_store_and_archive WHERE global_position = :position) ELSE event_id END,
    handled = handled + :handled, attempts = :begun, leased_until = :leased_until,
    updated_at = :now
WHERE name = :name AND generation = :generation AND partition = :partition AND token = :token
  AND position = coalesce(:after, position)

-- name: park
INSERT INTO projection_parked_events (name, generation, position, partition, event_id, event_type,
    aggregate_id, event_version, attempts, error, parked_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET attempts = excluded.attempts, error = excluded.error, retry = 0,
    parked_at = excluded.parked_at

-- name: unpark
DELETE FROM projection_parked_events WHERE name = ? AND generation = ? AND position = ?

-- name: write_document
INSERT INTO projection_documents (name, generation, collection, key, partition, document)
VALUES (?, ?, ?, ?, ?, ?)
ON CONFLICT DO UPDATE SET document = excluded.document

-- name: remove_document
DELETE FROM projection_documents
WHERE name = ? AND generation = ? AND collection = ? AND key = ? AND partition = ?

-- name: extent
-- What appends run is never behind.
SELECT iif(inline, (SELECT coalesce(max(global_position), 0) FROM event_store), min(position)),
       max(position)
FROM projection_checkpoints JOIN projection_generations USING (name, generation)
WHERE name = ? AND generation = ?

-- name: take_inline
UPDATE projection_generations SET inline = 1 WHERE name = :name AND generation = :generation;
UPDATE projection_checkpoints SET token = token + 1, worker = NULL, leased_until = 0
WHERE name = :name AND generation = :generation

-- name: is_inline
SELECT 1 FROM projection_generations
WHERE name = ? AND version = ? AND state = 'active' AND inline

-- name: leave_effects
-- To the old generation up to where it has come, in each partition if they are the same.
UPDATE projection_checkpoints SET silent_until = coalesce(
    (SELECT old.position FROM projection_checkpoints AS old
     WHERE old.name = :name AND old.generation = :old
       AND old.partition = projection_checkpoints.partition), :reached)
WHERE name = :name AND generation = :new

-- name: activate
-- Whoever works on it has to look again.
UPDATE projection_generations SET state = 'active', paused = :paused, inline = :inline
WHERE name = :name AND generation = :generation;
UPDATE projection_checkpoints
SET token = token + 1, worker = NULL, leased_until = 0
WHERE name = :name AND generation = :generation;
DELETE FROM projection_workers WHERE name = :name AND generation = :generation

-- name: reset
UPDATE projection_generations SET inline = 0 WHERE name = :name AND generation = :generation;
UPDATE projection_checkpoints
SET position = 0, event_id = NULL, handled = 0, attempts = 0, silent_until = 0, updated_at = NULL,
    token = token + 1, worker = NULL, leased_until = 0
WHERE name = :name AND generation = :generation;
DELETE FROM projection_parked_events WHERE name = :name AND generation = :generation;
DELETE FROM projection_documents WHERE name = :name AND generation = :generation

-- name: pause
UPDATE projection_generations SET paused = ? WHERE name = ? AND state <> 'retired' RETURNING 1

-- name: status
SELECT sum(handled), max(updated_at),
       (SELECT count(*) FROM projection_parked_events AS parked
        WHERE parked.name = ?1 AND parked.generation = ?2)
FROM projection_checkpoints WHERE name = ?1 AND generation = ?2

-- name: owners
SELECT worker, count(*) FROM projection_checkpoints
WHERE name = ? AND generation = ? AND worker IS NOT NULL AND leased_until > ? GROUP BY worker

-- name: next_event
-- What both tables are ordered by is selected too, else all of them is sorted.
SELECT created_at, global_position FROM event_store_and_archive
WHERE global_position > ? ORDER BY global_position LIMIT 1

-- name: parked
SELECT partition, position, event_id, event_type, aggregate_id, event_version, attempts, error,
       retry, parked_at
FROM projection_parked_events WHERE name = ? AND generation = ? ORDER BY position

-- name: skip_failed
DELETE FROM projection_parked_events
WHERE name = ?1 AND generation = ?2 AND attempts > 0 AND coalesce(?3, aggregate_id) = aggregate_id
RETURNING 1

-- name: retry_parked
UPDATE projection_parked_events SET retry = 1
WHERE name = ?1 AND generation = ?2 AND coalesce(?3, aggregate_id) = aggregate_id
RETURNING 1

-- name: read_documents
SELECT key, document FROM projection_documents
WHERE name = ? AND generation = ? AND collection = ?
  AND key IN (SELECT value FROM json_each(?)) AND partition = coalesce(?, partition)

-- name: find_documents
SELECT key, partition, document FROM projection_documents
WHERE name = :name
  AND generation = (SELECT generation FROM projection_generations
                    WHERE name = :name AND state = 'active')
  AND collection = :collection {filters}
ORDER BY {order}
LIMIT :limit
