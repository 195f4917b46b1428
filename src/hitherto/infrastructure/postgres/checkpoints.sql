-- name: lock_projection
-- Of those that change which generation is which, one at a time, and no append that runs it. They may
-- wait for each other for a while, but not for those who read a view's tables.
SELECT set_config('lock_timeout', '5s', true),
       pg_advisory_xact_lock({schema}.projection_lock($1)),
       set_config('lock_timeout', '100ms', true)

-- name: wait_patiently
-- For a lock, though others wait meanwhile.
SELECT set_config('lock_timeout', '5s', true)

-- name: has_table
SELECT to_regclass($1) IS NOT NULL

-- name: current_generations
-- The active one first.
SELECT name, generation, version, state, partitions::int
FROM {schema}.projection_generations WHERE name = $1 AND state <> 'retired' ORDER BY state

-- name: make_generation
-- With a checkpoint for each partition, at the last event up to $5.
WITH made AS (
    INSERT INTO {schema}.projection_generations (name, generation, version, state, partitions)
    SELECT $1::text, coalesce(max(generation), 0) + 1, $2::int, $3::text, $4::int
    FROM {schema}.projection_generations WHERE name = $1
    RETURNING name, generation, version, state, partitions
), checkpoints AS (
    INSERT INTO {schema}.projection_checkpoints (name, generation, partition, position, event_id)
    SELECT name, generation, number, coalesce(last.global_position, 0), last.event_id
    FROM made CROSS JOIN generate_series(0, $4 - 1) AS number
    LEFT JOIN (SELECT global_position, event_id FROM {schema}.event_store_and_archive
               WHERE global_position <= $5 ORDER BY global_position DESC LIMIT 1) AS last ON true
)
SELECT name, generation, version, state, partitions::int FROM made

-- name: extent
-- The lowest and the highest checkpoint of one generation.
SELECT min(position), max(position) FROM {schema}.projection_checkpoints
WHERE name = $1 AND generation = $2

-- name: lock_checkpoints
-- Of one generation: the lowest and the highest. Nobody moves them until the transaction ends.
SELECT min(position), max(position) FROM (
    SELECT position FROM {schema}.projection_checkpoints
    WHERE name = $1 AND generation = $2 ORDER BY partition FOR UPDATE
) AS locked

-- name: inline
-- Whether appends run the active generation, and whether an append is in flight.
SELECT coalesce((SELECT inline FROM {schema}.projection_generations
                 WHERE name = $1 AND state = 'active'), false),
       EXISTS (SELECT FROM {schema}.registered_appends())

-- name: end_of_log
-- As far as it is committed.
SELECT coalesce(max(global_position), 0) FROM {schema}.event_store

-- name: take_inline
WITH checkpoints AS (
    UPDATE {schema}.projection_checkpoints
    SET token = token + 1, worker = NULL, leased_until = NULL
    WHERE name = $1 AND generation = $2
)
UPDATE {schema}.projection_generations SET inline = true WHERE name = $1 AND generation = $2

-- name: retire_generation
-- Its checkpoints must be locked, or else more of it could be written meanwhile.
WITH checkpoints AS (
    DELETE FROM {schema}.projection_checkpoints WHERE name = $1 AND generation = $2
), workers AS (
    DELETE FROM {schema}.projection_workers WHERE name = $1 AND generation = $2
), parked AS (
    DELETE FROM {schema}.projection_parked_events WHERE name = $1 AND generation = $2
), documents AS (
    DELETE FROM {schema}.projection_documents WHERE name = $1 AND generation = $2
)
UPDATE {schema}.projection_generations SET state = 'retired' WHERE name = $1 AND generation = $2

-- name: leave_effects
-- To the old generation ($3) up to where it has come, in each partition if they are the same.
UPDATE {schema}.projection_checkpoints AS new SET silent_until = coalesce(
    (SELECT old.position FROM {schema}.projection_checkpoints AS old
     WHERE old.name = $1 AND old.generation = $3::int AND old.partition = new.partition), $4::bigint)
WHERE new.name = $1 AND new.generation = $2

-- name: activate_generation
-- In place of $3, whose pause and whose appends it takes over. Every worker loses its leases, and so
-- finds out.
WITH checkpoints AS (
    UPDATE {schema}.projection_checkpoints
    SET token = token + 1, worker = NULL, leased_until = NULL
    WHERE name = $1 AND generation = $2
), workers AS (
    DELETE FROM {schema}.projection_workers WHERE name = $1 AND generation = $2
)
UPDATE {schema}.projection_generations AS made
SET state = 'active', paused = old.paused, inline = old.inline
FROM {schema}.projection_generations AS old
WHERE made.name = $1 AND made.generation = $2 AND old.name = $1 AND old.generation = $3

-- name: reset_generation
WITH checkpoints AS (
    UPDATE {schema}.projection_checkpoints
    SET position = 0, event_id = NULL, handled = 0, attempts = 0, silent_until = 0,
        token = token + 1, worker = NULL, leased_until = NULL, updated_at = NULL
    WHERE name = $1 AND generation = $2
), parked AS (
    DELETE FROM {schema}.projection_parked_events WHERE name = $1 AND generation = $2
), documents AS (
    DELETE FROM {schema}.projection_documents WHERE name = $1 AND generation = $2
)
UPDATE {schema}.projection_generations SET inline = false WHERE name = $1 AND generation = $2

-- name: pause
WITH paused AS (
    UPDATE {schema}.projection_generations SET paused = $2 WHERE name = $1 AND state <> 'retired'
    RETURNING 1
)
SELECT count(*) > 0 FROM paused

-- name: attend
SELECT state, paused, share, retry, partition, token, position, attempts, silent_until, intact
FROM {schema}.attend_projection($1, $2, $3, $4, $5, $6)

-- name: begin
-- All or none. It need not outlive a crash of the server, but that of the worker; nobody waits for
-- the disk.
WITH held AS (
    SELECT c.partition FROM {schema}.projection_checkpoints AS c
    JOIN unnest($3::int[], $4::bigint[]) AS own (partition, token)
        ON own.partition = c.partition AND own.token = c.token
    WHERE c.name = $1 AND c.generation = $2 ORDER BY c.partition FOR UPDATE OF c
), counted AS (
    UPDATE {schema}.projection_checkpoints AS c SET attempts = c.attempts + 1 FROM held
    WHERE c.name = $1 AND c.generation = $2 AND c.partition = held.partition
      AND (SELECT count(*) FROM held) = cardinality($3)
    RETURNING 1
)
SELECT count(*) = cardinality($3), set_config('synchronous_commit', 'off', true) FROM counted

-- name: advance
SELECT {schema}.advance_projection($1)

-- name: release
WITH own AS (
    SELECT c.partition FROM {schema}.projection_checkpoints AS c
    JOIN unnest($4::int[], $5::bigint[]) AS held (partition, token)
        ON held.partition = c.partition AND held.token = c.token
    WHERE c.name = $1 AND c.generation = $2 AND c.worker = $3 ORDER BY c.partition FOR UPDATE OF c
), gone AS (
    DELETE FROM {schema}.projection_workers
    WHERE name = $1 AND generation = $2 AND worker = $3 AND $6::boolean
)
UPDATE {schema}.projection_checkpoints AS c
SET worker = NULL, leased_until = NULL, attempts = greatest(c.attempts - 1, 0) FROM own
WHERE c.name = $1 AND c.generation = $2 AND c.partition = own.partition

-- name: status
-- Up to the watermark $2.
SELECT g.name, g.generation, g.version, g.state, g.paused, g.partitions::int, c.position, c.handled,
       greatest($2::bigint - c.position, 0),
       coalesce(greatest(extract(epoch FROM clock_timestamp() - next.created_at), 0), 0)::float8,
       (SELECT count(*) FROM {schema}.projection_parked_events AS p
        WHERE p.name = g.name AND p.generation = g.generation),
       coalesce((
           SELECT json_object_agg(owner.worker, owner.count ORDER BY owner.worker) FROM (
               SELECT own.worker, count(*) FROM {schema}.projection_checkpoints AS own
               WHERE own.name = g.name AND own.generation = g.generation
                 AND own.worker IS NOT NULL AND own.leased_until > clock_timestamp()
               GROUP BY own.worker) AS owner), '{}')::text,
       c.updated_at
FROM {schema}.projection_generations AS g
CROSS JOIN LATERAL (
    SELECT CASE WHEN g.inline THEN $2 ELSE min(position) END AS position,
           sum(handled)::bigint AS handled, max(updated_at) AS updated_at
    FROM {schema}.projection_checkpoints AS each
    WHERE each.name = g.name AND each.generation = g.generation
) AS c
LEFT JOIN LATERAL (
    SELECT created_at FROM {schema}.event_store_and_archive
    WHERE global_position > c.position AND global_position <= $2
    ORDER BY global_position LIMIT 1
) AS next ON true
WHERE g.state <> 'retired' AND ($1::text IS NULL OR g.name = $1)
ORDER BY g.name, g.generation

-- name: checkpoint
-- Up to where the view of the active generation is complete: what appends run is never behind.
SELECT CASE WHEN g.inline
            THEN (SELECT coalesce(max(global_position), 0) FROM {schema}.event_store)
            ELSE (SELECT min(position) FROM {schema}.projection_checkpoints AS c
                  WHERE c.name = g.name AND c.generation = g.generation) END
FROM {schema}.projection_generations AS g WHERE g.name = $1 AND g.state = 'active'

-- name: parked
SELECT p.name, p.generation, p.partition::int, p.position, p.event_id, p.event_type,
       p.aggregate_id, p.event_version, p.attempts, p.error, p.retry, p.parked_at
FROM {schema}.projection_generations AS g
JOIN {schema}.projection_parked_events AS p USING (name, generation)
WHERE g.name = $1 AND (g.generation = $2 OR $2::int IS NULL AND g.state = 'active')
ORDER BY p.position

-- name: retry_parked
-- Of one aggregate or of all; where $3, those that have failed are dropped.
WITH concerned AS (
    SELECT p.name, p.generation, p.position, $3::boolean AND p.attempts > 0 AS skipped
    FROM {schema}.projection_generations AS g
    JOIN {schema}.projection_parked_events AS p USING (name, generation)
    WHERE g.name = $1 AND g.state = 'active' AND ($2::text IS NULL OR p.aggregate_id = $2)
), dropped AS (
    DELETE FROM {schema}.projection_parked_events AS p USING concerned AS c
    WHERE c.skipped AND p.name = c.name AND p.generation = c.generation
      AND p.position = c.position
), tried AS (
    UPDATE {schema}.projection_parked_events AS p SET retry = true FROM concerned AS c
    WHERE NOT c.skipped AND p.name = c.name AND p.generation = c.generation
      AND p.position = c.position
)
SELECT count(*) FROM concerned

-- name: read_documents
-- Looked up one by one: for many keys the planner would rather scan a table that it has not seen
-- grow.
SELECT found.* FROM unnest($4::text[]) AS wanted (key)
CROSS JOIN LATERAL (
    SELECT d.key, d.document::text FROM {schema}.projection_documents AS d
    WHERE d.name = $1 AND d.generation = $2 AND d.collection = $3 AND d.key = wanted.key
      AND ($5::int IS NULL OR d.partition = $5)
    OFFSET 0
) AS found

-- name: documents_of_key
-- Those of the active generation under one key.
SELECT d.key, d.partition::int, d.document::text
FROM {schema}.projection_documents AS d
WHERE d.name = $1 AND d.collection = $2 AND d.key = $3 AND d.generation = (
    SELECT generation FROM {schema}.projection_generations WHERE name = $1 AND state = 'active')
ORDER BY d.partition

-- name: find_documents
-- Of the active generation. In the place in braces stands ASC or DESC. Numbers come before texts,
-- and what is missing comes last; without a field ($5) it goes by key.
SELECT d.key, d.partition::int, d.document::text
FROM {schema}.projection_generations AS g
JOIN {schema}.projection_documents AS d USING (name, generation)
CROSS JOIN LATERAL (SELECT nullif(d.document -> $5::text, 'null')) AS field (value)
CROSS JOIN LATERAL (SELECT jsonb_typeof(field.value) NOT IN ('number', 'boolean')) AS text (kind)
WHERE g.name = $1 AND g.state = 'active' AND d.collection = $2
  AND ($3::text IS NULL OR d.key = $3)
  AND ($4::jsonb = '{}' OR d.document @> $4::jsonb)  -- for an index, should there be one
  AND NOT EXISTS (
      SELECT FROM jsonb_each($4::jsonb) AS wanted
      WHERE d.document -> wanted.key IS DISTINCT FROM wanted.value)
ORDER BY text.kind {direction} NULLS LAST,
    CASE jsonb_typeof(field.value) WHEN 'number' THEN field.value::numeric
         WHEN 'boolean' THEN field.value::boolean::int END {direction} NULLS LAST,
    CASE WHEN text.kind THEN field.value #>> '{}' END COLLATE "C" {direction} NULLS LAST,
    CASE WHEN $5 IS NULL THEN d.key END {direction},
    CASE WHEN $5 IS NULL THEN d.partition END {direction},
    d.key, d.partition
LIMIT $6
