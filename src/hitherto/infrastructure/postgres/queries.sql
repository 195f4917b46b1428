-- name: load
-- A snapshot if there is one (schema version 0; without data if it has another fingerprint), then
-- the events from its version on. This and the next three read what is not in the archive; where
-- events are missing they are run once more, on both tables.
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
-- Up to where the log can be read, and how many positions are held back.
SELECT watermark, held_back FROM {schema}.read_watermark()

-- name: announce
-- Tell those who listen, if it is above $1. There is nothing in it that has to outlive a crash.
SELECT watermark, held_back,
       CASE WHEN watermark > $1 THEN pg_notify(
           'hitherto.' || '{schema_text}.event_store'::regclass::oid, watermark::text) END,
       set_config('synchronous_commit', 'off', true)
FROM {schema}.read_watermark()

-- name: channel
-- Where to listen.
SELECT 'hitherto.' || '{schema_text}.event_store'::regclass::oid

-- name: read_all
-- A page of the whole log, after a position and up to the watermark.
SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data::text, metadata::text, occurred_at, created_at
FROM {schema}.event_store_and_archive
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
        SELECT global_position FROM {schema}.event_store_and_archive
        WHERE (event_type, global_position) > (kind.name, $1)
          AND (event_type, global_position) <= (kind.name, $2)
          AND ($5::text[] IS NULL OR aggregate_type || '' = ANY ($5))  -- for no index, so written
        ORDER BY event_type, global_position LIMIT $3
    ) AS found
    ORDER BY found.global_position LIMIT $3
) AS page
CROSS JOIN LATERAL (
    SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
           event_version, event_data::text, metadata::text, occurred_at, created_at
    FROM {schema}.event_store_and_archive AS event
    WHERE event.global_position = page.global_position
    LIMIT 1  -- a look-up for each, which ends where it is found: not in the archive, mostly
) AS stored
ORDER BY stored.global_position

-- name: read_all_of_aggregate_types
-- The same for some aggregate types ($4).
SELECT stored.* FROM (
    SELECT found.global_position FROM unnest($4::text[]) AS kind (name)
    CROSS JOIN LATERAL (
        SELECT global_position FROM {schema}.event_store_and_archive
        WHERE (aggregate_type, global_position) > (kind.name, $1)
          AND (aggregate_type, global_position) <= (kind.name, $2)
        ORDER BY aggregate_type, global_position LIMIT $3
    ) AS found
    ORDER BY found.global_position LIMIT $3
) AS page
CROSS JOIN LATERAL (
    SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
           event_version, event_data::text, metadata::text, occurred_at, created_at
    FROM {schema}.event_store_and_archive AS event
    WHERE event.global_position = page.global_position
    LIMIT 1  -- a look-up for each, which ends where it is found: not in the archive, mostly
) AS stored
ORDER BY stored.global_position

-- name: append_event
-- One event, as lean as can be: the position, or no row if it lost or stands already, its id is taken
-- in the archive, or the aggregate was closed for good, which append_events then tells apart.
INSERT INTO {schema}.event_store (
    event_id, event_type, aggregate_id, aggregate_type, event_version, schema_version,
    event_data, metadata, occurred_at, content_hash)
SELECT $4::uuid, $5::text, $1::text, $2::text, $3::int + 1, $6::int, $7::jsonb, $8::jsonb,
    $9::timestamptz, $10::bytea
WHERE $3 = coalesce((
    SELECT CASE aggregate_type WHEN $2 THEN event_version ELSE -1 END
    FROM {schema}.event_store
    WHERE aggregate_id = $1 ORDER BY event_version DESC LIMIT 1), 0)
AND NOT EXISTS (SELECT FROM {schema}.aggregate_tombstones WHERE aggregate_id = $1)
AND NOT EXISTS (SELECT FROM {schema}.event_archive AS taken WHERE taken.event_id = $4)
ON CONFLICT (aggregate_id, event_version) DO NOTHING
RETURNING global_position

-- name: append_stream
-- The same for several events of one aggregate: only the first can meet a rival.
WITH first AS (
    INSERT INTO {schema}.event_store (
        event_id, event_type, aggregate_id, aggregate_type, event_version, schema_version,
        event_data, metadata, occurred_at, content_hash)
    SELECT ($4::uuid[])[1], ($5::text[])[1], $1::text, $2::text, $3::int + 1, ($6::int[])[1],
        ($7::jsonb[])[1], ($8::jsonb[])[1], ($9::timestamptz[])[1], ($10::bytea[])[1]
    WHERE $3 = coalesce((
        SELECT CASE aggregate_type WHEN $2 THEN event_version ELSE -1 END
        FROM {schema}.event_store
        WHERE aggregate_id = $1 ORDER BY event_version DESC LIMIT 1), 0)
    AND NOT EXISTS (SELECT FROM {schema}.aggregate_tombstones WHERE aggregate_id = $1)
    AND NOT EXISTS (
        SELECT FROM unnest($4) AS own (id) CROSS JOIN LATERAL (
            SELECT FROM {schema}.event_archive WHERE event_id = own.id
            OFFSET 0  -- a look-up for each, never a join with the whole table
        ) AS taken)
    ON CONFLICT (aggregate_id, event_version) DO NOTHING
    RETURNING global_position
), rest AS (
    INSERT INTO {schema}.event_store (
        event_id, event_type, aggregate_id, aggregate_type, event_version, schema_version,
        event_data, metadata, occurred_at, content_hash)
    SELECT e.event_id, e.event_type, $1, $2, $3 + e.place, e.schema_version, e.data, e.metadata,
        e.occurred_at, e.content_hash
    FROM first, unnest($4, $5, $6, $7, $8, $9, $10) WITH ORDINALITY
        AS e (event_id, event_type, schema_version, data, metadata, occurred_at, content_hash,
              place)
    WHERE e.place > 1
    ORDER BY e.place
    RETURNING global_position
)
SELECT max(global_position) FROM rest

-- name: position
-- Of one event, appended a moment ago.
SELECT global_position FROM {schema}.event_store WHERE aggregate_id = $1 AND event_version = $2

-- name: append_events
-- One append, or many that win or lose each for itself.
SELECT * FROM {schema}.append_events($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)

-- name: append_together
-- Appends that win or lose together.
SELECT * FROM {schema}.append_together($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, $12)

-- name: append_alongside
-- Appends that win or lose together, with marks of handled messages and with timers.
SELECT * FROM {schema}.append_alongside(
    $1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11, content_hashes => $12, message_scope => $13,
    messages => $14, fired_processes => $15, fired_instances => $16, fired_names => $17,
    fired_due => $18, timer_processes => $19, timer_instances => $20, timer_names => $21,
    timer_due => $22, inline_names => $23, inline_versions => $24)

-- name: appended
-- The events of some appends: those of each aggregate ($1) after a version ($2), up to another ($3).
SELECT stored.* FROM unnest($1::text[], $2::int[], $3::int[]) AS append (id, expected, last)
CROSS JOIN LATERAL (
    SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
           event_version, event_data::text, metadata::text, occurred_at, created_at
    FROM {schema}.event_store AS event
    WHERE event.aggregate_id = append.id AND event_version BETWEEN expected + 1 AND last
    OFFSET 0  -- a look-up for each, never a join with the whole table
) AS stored
ORDER BY global_position

-- name: handled
-- Which of some messages are marked; looked up one by one, as above.
SELECT found.* FROM unnest($2::text[]) AS wanted (id)
CROSS JOIN LATERAL (
    SELECT message_id FROM {schema}.handled_messages AS marked
    WHERE marked.scope = $1 AND marked.message_id = wanted.id
    OFFSET 0
) AS found

-- name: forget_handled
-- So many at most ($3), that nobody else is dropping. An array is made once, whatever the plan; a
-- nested loop would look anew for each mark, and find the next ones.
WITH forgotten AS (
    DELETE FROM {schema}.handled_messages WHERE ctid = ANY (ARRAY(
        SELECT ctid FROM {schema}.handled_messages
        WHERE scope = $1 AND handled_at < $2 ORDER BY handled_at LIMIT $3
        FOR UPDATE SKIP LOCKED
    )) RETURNING 1
)
SELECT count(*) FROM forgotten

-- name: due_timers
SELECT process, aggregate_id, name, due FROM {schema}.process_timers
WHERE process = $1 AND due <= $2 ORDER BY due, aggregate_id, name LIMIT $3

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
JOIN {schema}.event_store_and_archive AS stored USING (aggregate_id, event_version)

-- name: archived_event_id
-- One of these ids that is in the archive.
SELECT taken.* FROM unnest($1::uuid[]) AS own (id)
CROSS JOIN LATERAL (
    SELECT event_id FROM {schema}.event_archive WHERE event_id = own.id OFFSET 0
) AS taken LIMIT 1

-- name: register
-- Before what an import goes by is read: nobody archives meanwhile what it would not see.
INSERT INTO {schema}.event_store (event_id) SELECT NULL::uuid WHERE false

-- name: archive
SELECT id, events FROM {schema}.archive_events($1, $2)

-- name: restore
SELECT id, events FROM {schema}.restore_events($1)

-- name: tombstone
SELECT {schema}.tombstone_aggregate($1, $2, $3)

-- name: await_appends
SELECT {schema}.await_appends()

-- name: tombstones
SELECT aggregate_id::text, reason, closed_by, closed_at FROM {schema}.aggregate_tombstones
WHERE aggregate_id = ANY ($1::text[])

-- name: archived
-- They are the first ones, so the last one's version tells how many.
SELECT last.* FROM unnest($1::text[]) AS ids (id)
CROSS JOIN LATERAL (
    SELECT aggregate_id, event_version FROM {schema}.event_archive
    WHERE aggregate_id = ids.id ORDER BY event_version DESC LIMIT 1
) AS last

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

-- name: aggregate_ids
-- A page of the ids of one aggregate type.
SELECT aggregate_id FROM {schema}.event_store_and_archive
WHERE event_version = 1 AND aggregate_type = $1 AND aggregate_id > $2
ORDER BY aggregate_id LIMIT $3

-- name: snapshot_ids
-- A page of the ids of one aggregate type that have a snapshot.
SELECT aggregate_id FROM {schema}.aggregate_snapshots
WHERE aggregate_type = $1 AND aggregate_id > $2
ORDER BY aggregate_id LIMIT $3

-- name: inspect_indexes
-- Each inspection gives a row for each place where something is wrong: kind, aggregate id, version,
-- position, and what else is to be told. This one: unique indexes that are not there.
SELECT 'guard-missing', NULL::text, NULL::int, NULL::bigint,
       format('no valid unique index over (%s) of %s', array_to_string(columns, ', '), name)
FROM (VALUES ('event_store', ARRAY['event_id']),
             ('event_store', ARRAY['aggregate_id', 'event_version']),
             ('event_store', ARRAY['global_position']),
             ('event_archive', ARRAY['event_id']),
             ('event_archive', ARRAY['aggregate_id', 'event_version']),
             ('event_archive', ARRAY['global_position']),
             ('aggregate_snapshots', ARRAY['aggregate_id'])) AS wanted (name, columns)
WHERE NOT EXISTS (
    SELECT FROM pg_index
    WHERE indrelid = ('{schema_text}.' || name)::regclass
      AND indisunique AND indisvalid AND indimmediate AND indpred IS NULL
      AND columns = ARRAY(
          SELECT attname::text FROM pg_attribute
          WHERE attrelid = indrelid AND attnum = ANY ((indkey::int2[])[0:indnkeyatts - 1])
          ORDER BY attname))

-- name: inspect_triggers
-- BEFORE (2) each row (1) or statement, enabled, with no condition.
SELECT 'guard-missing', NULL::text, NULL::int, NULL::bigint,
       format('no trigger of %s runs %s() before each %s', relation, name,
              string_agg(operation, ', ' ORDER BY operation))
FROM (VALUES ('event_store', 'refuse_change', 'UPDATE', 16 + 1),
             ('event_store', 'refuse_change', 'DELETE', 8 + 1),
             ('event_store', 'refuse_change', 'TRUNCATE', 32),
             ('event_store', 'register_append', 'INSERT', 4),
             ('event_archive', 'refuse_change', 'UPDATE', 16 + 1),
             ('event_archive', 'refuse_change', 'DELETE', 8 + 1),
             ('event_archive', 'refuse_change', 'TRUNCATE', 32),
             ('aggregate_tombstones', 'refuse_change', 'UPDATE', 16 + 1),
             ('aggregate_tombstones', 'refuse_change', 'DELETE', 8 + 1),
             ('aggregate_tombstones', 'refuse_change', 'TRUNCATE', 32),
             ('event_erasures', 'refuse_change', 'UPDATE', 16 + 1),
             ('event_erasures', 'refuse_change', 'DELETE', 8 + 1),
             ('event_erasures', 'refuse_change', 'TRUNCATE', 32))
    AS wanted (relation, name, operation, bits)
WHERE NOT EXISTS (
    SELECT FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
    WHERE tgrelid = ('{schema_text}.' || relation)::regclass
      AND pg_proc.oid = to_regproc('{schema_text}.' || name)
      AND tgtype & (1 | 2 | bits) = 2 | bits AND tgenabled IN ('O', 'A')
      AND tgqual IS NULL AND tgattr = ''::int2vector)
GROUP BY relation, name

-- name: inspect_chain_trigger
-- BEFORE (2) each row (1) that is to be chained.
SELECT 'guard-missing', NULL::text, NULL::int, NULL::bigint,
       'no trigger of event_store runs chain_event() before each INSERT of a row with a content_hash'
WHERE NOT EXISTS (
    SELECT FROM pg_trigger JOIN pg_proc ON pg_proc.oid = tgfoid
    WHERE tgrelid = '{schema_text}.event_store'::regclass
      AND pg_proc.oid = to_regproc('{schema_text}.chain_event')
      AND tgtype & 7 = 7 AND tgenabled IN ('O', 'A')
      AND pg_get_triggerdef(pg_trigger.oid) LIKE '% WHEN ((new.content_hash IS NOT NULL)) %')

-- name: inspect_position_source
-- Positions come from the sequence alone, one after the other.
SELECT 'guard-missing', NULL::text, NULL::int, NULL::bigint, detail
FROM (VALUES
    ('global_position can be given by hand: it is not GENERATED ALWAYS AS IDENTITY',
     EXISTS (SELECT FROM pg_attribute
             WHERE attrelid = '{schema_text}.event_store'::regclass
               AND attname = 'global_position' AND attidentity = 'a')),
    ('event_store_global_position_seq does not count 1, 2, 3 … without a CACHE',
     EXISTS (SELECT FROM pg_sequence
             WHERE seqrelid = to_regclass('{schema_text}.event_store_global_position_seq')
               AND seqincrement = 1 AND seqcache = 1 AND NOT seqcycle)))
    AS guard (detail, stands)
WHERE NOT stands

-- name: inspect_content
-- What the driver cannot read, and what no decoder can.
SELECT damage.kind, aggregate_id::text, event_version, global_position, damage.detail
FROM {schema}.event_store_and_archive
CROSS JOIN LATERAL (VALUES
    ('value-malformed', 'occurred_at is not in the years 1 … 9999', isfinite(occurred_at) AND NOT
     occurred_at BETWEEN '0001-01-01 00:00:00Z' AND '9999-12-31 23:59:59.999999Z'),
    ('schema-version-out-of-range', schema_version::text, schema_version < 1),
    ('data-not-object', jsonb_typeof(event_data), jsonb_typeof(event_data) <> 'object'),
    ('metadata-not-object', jsonb_typeof(metadata), jsonb_typeof(metadata) <> 'object'))
    AS damage (kind, detail, found)
WHERE damage.found

-- name: inspect_event_ids
SELECT 'event-id-twice', aggregate_id::text, event_version, global_position, event_id::text
FROM {schema}.event_store_and_archive
WHERE event_id IN (
    SELECT event_id FROM {schema}.event_store_and_archive GROUP BY event_id HAVING count(*) > 1)

-- name: inspect_positions
SELECT 'position-out-of-range', aggregate_id::text, event_version, global_position, NULL::text
FROM {schema}.event_store_and_archive WHERE global_position < 1
UNION ALL
SELECT 'position-twice', aggregate_id::text, event_version, global_position, NULL::text
FROM {schema}.event_store_and_archive
WHERE global_position IN (
    SELECT global_position FROM {schema}.event_store_and_archive
    GROUP BY global_position HAVING count(*) > 1)

-- name: inspect_sequence
-- Positions that were not drawn: the sequence is read after the snapshot was taken, never before.
SELECT 'position-above-sequence', aggregate_id::text, event_version, global_position,
       given.latest::text
FROM {schema}.event_store_and_archive, (
    SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END AS latest
    FROM {schema}.event_store_global_position_seq) AS given
WHERE global_position > given.latest

-- name: inspect_versions
-- One walk along the streams; most rows are as they should be.
SELECT damage.kind, aggregate_id::text, event_version, global_position, damage.detail
FROM (
    SELECT aggregate_id, event_version, global_position, aggregate_type::text,
           lag(event_version, 1, 0) OVER stream AS head,
           lag(event_version) OVER stream AS before,
           lag(aggregate_type::text) OVER stream AS type_before
    FROM {schema}.event_store_and_archive
    WINDOW stream AS (PARTITION BY aggregate_id ORDER BY event_version)
) AS step
CROSS JOIN LATERAL (VALUES
    ('version-out-of-range', NULL, event_version < 1),
    ('version-twice', NULL, event_version = before),
    ('version-gap', head::text, event_version > greatest(head, 0) + 1),
    ('type-mixed', aggregate_type, aggregate_type <> type_before)) AS damage (kind, detail, found)
WHERE (event_version <> head + 1 OR event_version < 1 OR aggregate_type <> type_before)
  AND damage.found

-- name: inspect_snapshots
SELECT damage.kind, aggregate_id::text, version, NULL::bigint, damage.detail
FROM (
    SELECT snapshot.aggregate_id, snapshot.aggregate_type::text, snapshot.version,
           max(event.event_version) AS head,
           bool_or(event.aggregate_type = snapshot.aggregate_type) AS of_this_type
    FROM {schema}.aggregate_snapshots AS snapshot
    LEFT JOIN {schema}.event_store AS event USING (aggregate_id)
    GROUP BY snapshot.ctid, snapshot.aggregate_id, snapshot.aggregate_type, snapshot.version
) AS step
CROSS JOIN LATERAL (VALUES
    ('snapshot-without-events', NULL, head IS NULL),
    ('snapshot-ahead', head::text, version > head),
    ('snapshot-of-another-type', aggregate_type, NOT of_this_type),
    ('snapshot-out-of-range', NULL, head IS NOT NULL AND version < 1))
    AS damage (kind, detail, found)
WHERE damage.found

-- name: inspect_snapshot_ids
SELECT 'snapshot-twice', aggregate_id::text, NULL::int, NULL::bigint, count(*)::text
FROM {schema}.aggregate_snapshots GROUP BY aggregate_id HAVING count(*) > 1

-- name: inspect_archive
-- What is in the archive comes before what is not, and there is something that is not.
SELECT 'archive-misplaced', aggregate_id::text, max(event_version), NULL::bigint,
       coalesce('version ' || min(rest.first) || ' is not', 'there is no later one')
FROM {schema}.event_archive
LEFT JOIN (SELECT aggregate_id, min(event_version) AS first FROM {schema}.event_store
           GROUP BY aggregate_id) AS rest USING (aggregate_id)
GROUP BY aggregate_id HAVING max(event_version) >= coalesce(min(rest.first), 0)
