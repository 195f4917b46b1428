-- name: load
-- A snapshot if there is one (schema version 0; without data if it has another fingerprint), then
-- the events from its version on.
(SELECT s.version, s.fingerprint::text, 0,
        CASE WHEN s.fingerprint = $2::text THEN s.snapshot_data::text END, s.aggregate_type::text
 FROM {schema}.aggregate_snapshots s
 WHERE s.aggregate_id = $1 AND s.version <= $3 AND $2::text IS NOT NULL)
UNION ALL
(SELECT e.event_version, e.event_type::text, e.schema_version, e.event_data::text,
        e.aggregate_type::text
 FROM {schema}.event_store e
 WHERE e.aggregate_id = $1 AND e.event_version <= $3
   AND e.event_version >= coalesce((
       SELECT s.version FROM {schema}.aggregate_snapshots s
       WHERE s.aggregate_id = $1 AND s.fingerprint = $2::text AND s.version <= $3), 1)
 ORDER BY e.event_version)

-- name: load_many
-- The same for many aggregates; the first column tells which.
SELECT ids.id, found.* FROM unnest($1::text[]) AS ids (id)
CROSS JOIN LATERAL (
    SELECT s.version, s.fingerprint::text, 0 AS schema_version,
           CASE WHEN s.fingerprint = $2::text THEN s.snapshot_data::text END,
           s.aggregate_type::text
    FROM {schema}.aggregate_snapshots s
    WHERE s.aggregate_id = ids.id AND $2::text IS NOT NULL
    UNION ALL
    SELECT e.event_version, e.event_type::text, e.schema_version, e.event_data::text,
           e.aggregate_type::text
    FROM {schema}.event_store e
    WHERE e.aggregate_id = ids.id
      AND e.event_version >= coalesce((
          SELECT s.version FROM {schema}.aggregate_snapshots s
          WHERE s.aggregate_id = ids.id AND s.fingerprint = $2::text), 1)
) AS found
ORDER BY ids.id, found.schema_version > 0, found.version

-- name: read_forward
-- Events of one aggregate, oldest first.
SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data::text, metadata::text, occurred_at, created_at
FROM {schema}.event_store
WHERE aggregate_id = $1 AND event_version BETWEEN $2 AND $3
ORDER BY event_version LIMIT $4

-- name: read_backward
-- Events of one aggregate, newest first.
SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data::text, metadata::text, occurred_at, created_at
FROM {schema}.event_store
WHERE aggregate_id = $1 AND event_version BETWEEN $2 AND $3
ORDER BY event_version DESC LIMIT $4

-- name: watermark
-- Up to where the log can be read, and the highest position allocated.
SELECT watermark, allocated FROM {schema}.read_watermark()

-- name: read_all
-- A page of the whole log, after a position and up to the watermark.
SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data::text, metadata::text, occurred_at, created_at
FROM {schema}.event_store
WHERE global_position > $1 AND global_position <= $2
ORDER BY global_position LIMIT $3

-- name: read_all_of_event_types
-- The same for some event types ($4), and perhaps for some aggregate types only ($5): each type's
-- next positions by its own index, so that a rare type costs no scan of the others. (Written with
-- rows, for which no other index will do; with an equality the planner may prefer that of
-- positions, and filter.)
SELECT stored.* FROM (
    SELECT found.global_position FROM unnest($4::text[]) AS kind (name)
    CROSS JOIN LATERAL (
        SELECT global_position FROM {schema}.event_store
        WHERE (event_type, global_position) > (kind.name, $1)
          AND (event_type, global_position) <= (kind.name, $2)
          AND ($5::text[] IS NULL OR aggregate_type = ANY ($5))
        ORDER BY event_type, global_position LIMIT $3
    ) AS found
    ORDER BY found.global_position LIMIT $3
) AS page
CROSS JOIN LATERAL (
    SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
           event_version, event_data::text, metadata::text, occurred_at, created_at
    FROM {schema}.event_store AS event WHERE event.global_position = page.global_position
    OFFSET 0  -- a look-up for each, never a join with the whole table
) AS stored
ORDER BY stored.global_position

-- name: read_all_of_aggregate_types
-- The same for some aggregate types ($4).
SELECT stored.* FROM (
    SELECT found.global_position FROM unnest($4::text[]) AS kind (name)
    CROSS JOIN LATERAL (
        SELECT global_position FROM {schema}.event_store
        WHERE (aggregate_type, global_position) > (kind.name, $1)
          AND (aggregate_type, global_position) <= (kind.name, $2)
        ORDER BY aggregate_type, global_position LIMIT $3
    ) AS found
    ORDER BY found.global_position LIMIT $3
) AS page
CROSS JOIN LATERAL (
    SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
           event_version, event_data::text, metadata::text, occurred_at, created_at
    FROM {schema}.event_store AS event WHERE event.global_position = page.global_position
    OFFSET 0  -- a look-up for each, never a join with the whole table
) AS stored
ORDER BY stored.global_position

-- name: append_event
-- One event, as lean as can be: the position, or no row if it lost or stands already, which
-- append_events then tells apart.
INSERT INTO {schema}.event_store (
    event_id, event_type, aggregate_id, aggregate_type, event_version, schema_version,
    event_data, metadata, occurred_at)
SELECT $4::uuid, $5::text, $1::text, $2::text, $3::int + 1, $6::int, $7::jsonb, $8::jsonb,
    $9::timestamptz
WHERE $3 = 0 OR EXISTS (
    SELECT FROM {schema}.event_store AS head
    WHERE head.aggregate_id = $1 AND head.event_version = $3 AND head.aggregate_type = $2)
ON CONFLICT (aggregate_id, event_version) DO NOTHING
RETURNING global_position

-- name: append_stream
-- The same for several events of one aggregate: only the first can meet a rival.
WITH first AS (
    INSERT INTO {schema}.event_store (
        event_id, event_type, aggregate_id, aggregate_type, event_version, schema_version,
        event_data, metadata, occurred_at)
    SELECT ($4::uuid[])[1], ($5::text[])[1], $1::text, $2::text, $3::int + 1, ($6::int[])[1],
        ($7::jsonb[])[1], ($8::jsonb[])[1], ($9::timestamptz[])[1]
    WHERE $3 = 0 OR EXISTS (
        SELECT FROM {schema}.event_store AS head
        WHERE head.aggregate_id = $1 AND head.event_version = $3 AND head.aggregate_type = $2)
    ON CONFLICT (aggregate_id, event_version) DO NOTHING
    RETURNING global_position
), rest AS (
    INSERT INTO {schema}.event_store (
        event_id, event_type, aggregate_id, aggregate_type, event_version, schema_version,
        event_data, metadata, occurred_at)
    SELECT e.event_id, e.event_type, $1, $2, $3 + e.place, e.schema_version, e.data, e.metadata,
        e.occurred_at
    FROM first, unnest($4, $5, $6, $7, $8, $9) WITH ORDINALITY
        AS e (event_id, event_type, schema_version, data, metadata, occurred_at, place)
    WHERE e.place > 1
    ORDER BY e.place
    RETURNING global_position
)
SELECT max(global_position) FROM rest

-- name: position
-- Of one event.
SELECT global_position FROM {schema}.event_store WHERE aggregate_id = $1 AND event_version = $2

-- name: append_events
-- One append, or many that win or lose each for itself.
SELECT * FROM {schema}.append_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

-- name: append_together
-- Appends that win or lose together.
SELECT * FROM {schema}.append_together($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11)

-- name: heads
-- The version and the type of each of these aggregates that is there.
SELECT head.* FROM unnest($1::text[]) AS ids (id)
CROSS JOIN LATERAL (
    SELECT aggregate_id, event_version, aggregate_type FROM {schema}.event_store
    WHERE aggregate_id = ids.id ORDER BY event_version DESC LIMIT 1
) AS head

-- name: event_ids
-- The ids of the events that stand at these places.
SELECT stored.aggregate_id, stored.event_version, stored.event_id
FROM unnest($1::text[], $2::int[]) AS place (aggregate_id, event_version)
JOIN {schema}.event_store AS stored USING (aggregate_id, event_version)

-- name: save_snapshot
-- Keep a snapshot unless one of its version or a later one is kept; $6 names the version of one
-- that was found unusable.
INSERT INTO {schema}.aggregate_snapshots AS kept
    (aggregate_id, aggregate_type, version, fingerprint, snapshot_data)
VALUES ($1, $2, $3, $4, $5)
ON CONFLICT (aggregate_id) DO UPDATE
SET aggregate_type = excluded.aggregate_type, version = excluded.version,
    fingerprint = excluded.fingerprint, snapshot_data = excluded.snapshot_data, created_at = now()
WHERE kept.version < excluded.version OR kept.version = $6::int
RETURNING 1

-- name: read_snapshot
-- The snapshot that is kept of one aggregate.
SELECT aggregate_id, aggregate_type, version, fingerprint, snapshot_data::text
FROM {schema}.aggregate_snapshots WHERE aggregate_id = $1

-- name: health
-- What the promises depend on, and who holds the readers back the longest. Where this role may not
-- see since when, that counts as $1 seconds. A prepared transaction has no process: what its locks
-- have in common is their virtual transaction, and one of them is on its id.
SELECT (SELECT max(version) FROM {schema}.hitherto_migrations) AS schema_version,
       pg_is_in_recovery() AS standby,
       current_setting('fsync') AS fsync,
       current_setting('full_page_writes') AS full_page_writes,
       current_setting('synchronous_commit') AS synchronous_commit,
       current_setting('synchronous_standby_names') AS synchronous_standbys,
       holder.process, holder.prepared,
       extract(epoch FROM now() - holder.since)::float8 AS held_seconds
FROM (VALUES (1)) AS one
LEFT JOIN (
    SELECT registered.pid AS process, prepared.gid AS prepared,
           coalesce(activity.xact_start, prepared.prepared) AS since
    FROM pg_locks AS registered
    LEFT JOIN pg_stat_activity AS activity USING (pid)
    LEFT JOIN (
        pg_locks AS own JOIN pg_prepared_xacts AS prepared
        ON own.pid IS NULL AND own.transactionid = prepared.transaction
    ) ON registered.pid IS NULL AND own.virtualtransaction = registered.virtualtransaction
    -- As in registered_appends(), which does not tell the virtual transaction.
    WHERE registered.locktype = 'advisory' AND registered.objsubid = 2
      AND registered.mode = 'ShareLock' AND registered.granted
      AND registered.classid = '{schema_text}.event_store'::regclass::oid
      AND registered.database = (SELECT oid FROM pg_database WHERE datname = current_database())
    ORDER BY coalesce(activity.xact_start, prepared.prepared,
                      now() - $1::float8 * interval '1 second')
    LIMIT 1
) AS holder ON true
