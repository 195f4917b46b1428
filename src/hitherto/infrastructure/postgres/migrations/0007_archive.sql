-- Events of aggregates that are closed move into a second table, all but the last event of each. So
-- event_store alone knows the version of each aggregate, and the highest position.
CREATE TABLE {schema}.event_archive (
    LIKE {schema}.event_store INCLUDING CONSTRAINTS,
    PRIMARY KEY (event_id)
);

CREATE UNIQUE INDEX idx_event_archive_aggregate_version
    ON {schema}.event_archive (aggregate_id, event_version);
CREATE UNIQUE INDEX idx_event_archive_global_position
    ON {schema}.event_archive (global_position);
CREATE INDEX idx_event_archive_aggregate_type
    ON {schema}.event_archive (aggregate_type, global_position);
CREATE INDEX idx_event_archive_event_type
    ON {schema}.event_archive (event_type, global_position);
CREATE INDEX idx_event_archive_occurred_at
    ON {schema}.event_archive USING brin (occurred_at);

CREATE VIEW {schema}.event_store_and_archive AS
    SELECT * FROM {schema}.event_store UNION ALL SELECT * FROM {schema}.event_archive;

-- A row may be deleted where it stands in the other table, too, and a payload may be what its last
-- erasure tells, see 0008; nothing else, whoever asks.
CREATE OR REPLACE FUNCTION {schema}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $hitherto$
DECLARE
    former record;
BEGIN
    IF TG_OP = 'DELETE' AND TG_TABLE_NAME IN ('event_store', 'event_archive') THEN
        IF TG_TABLE_NAME = 'event_store' AND EXISTS (
            SELECT FROM {schema}.event_archive AS event
            WHERE event.global_position = OLD.global_position
              AND ROW(event.*) IS NOT DISTINCT FROM ROW(OLD.*))
        OR TG_TABLE_NAME = 'event_archive' AND EXISTS (
            SELECT FROM {schema}.event_store AS event
            WHERE event.global_position = OLD.global_position
              AND ROW(event.*) IS NOT DISTINCT FROM ROW(OLD.*))
        THEN
            RETURN OLD;
        END IF;
    END IF;
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME IN ('event_store', 'event_archive') THEN
        former := OLD;
        former.event_data := NEW.event_data;
        former.metadata := NEW.metadata;
        IF ROW(former.*) IS NOT DISTINCT FROM ROW(NEW.*) AND (
            SELECT (event_data, metadata) IS NOT DISTINCT FROM (NEW.event_data, NEW.metadata)
            FROM {schema}.event_erasures WHERE event_id = NEW.event_id
            ORDER BY erasure_number DESC LIMIT 1)
        THEN
            RETURN NEW;
        END IF;
    END IF;
    -- An earlier account of an event that is erased again would else keep what goes now.
    IF TG_OP = 'UPDATE' AND TG_TABLE_NAME = 'event_erasures' THEN
        former := OLD;
        former.event_data := NEW.event_data;
        former.metadata := NEW.metadata;
        IF ROW(former.*) IS NOT DISTINCT FROM ROW(NEW.*) AND (
            SELECT (event_data, metadata) IS NOT DISTINCT FROM (NEW.event_data, NEW.metadata)
            FROM {schema}.event_erasures WHERE event_id = NEW.event_id
            ORDER BY erasure_number DESC LIMIT 1)
        THEN
            RETURN NEW;
        END IF;
    END IF;
    RAISE EXCEPTION '% on %.% is refused: events are never changed',
        TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END $hitherto$;

DROP TRIGGER event_store_is_append_only ON {schema}.event_store;
CREATE TRIGGER event_store_is_append_only
    BEFORE UPDATE OR DELETE ON {schema}.event_store
    FOR EACH ROW EXECUTE FUNCTION {schema}.refuse_change();
CREATE TRIGGER event_store_is_not_truncated
    BEFORE TRUNCATE ON {schema}.event_store
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();
CREATE TRIGGER event_archive_is_append_only
    BEFORE UPDATE OR DELETE ON {schema}.event_archive
    FOR EACH ROW EXECUTE FUNCTION {schema}.refuse_change();
CREATE TRIGGER event_archive_is_not_truncated
    BEFORE TRUNCATE ON {schema}.event_archive
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();

-- Wait until nobody is still appending who has begun before this call. What such an append has seen
-- may be older than what is to be moved, and the unique index that refuses what collides with an
-- event does so only as long as the event is there. (A transaction that appends locks the table
-- before it takes a snapshot, and until it ends.)
CREATE FUNCTION {schema}.await_appends() RETURNS void LANGUAGE plpgsql AS $hitherto$
DECLARE
    until timestamptz := clock_timestamp() + interval '5 seconds';
    appending text[] := ARRAY(
        SELECT virtualtransaction FROM pg_catalog.pg_locks
        WHERE locktype = 'relation' AND relation = '{schema_text}.event_store'::regclass
          AND mode IN ('RowExclusiveLock', 'ShareRowExclusiveLock', 'ExclusiveLock',
                       'AccessExclusiveLock')
          AND database = (SELECT oid FROM pg_catalog.pg_database WHERE datname = current_database())
          AND granted AND pid IS DISTINCT FROM pg_backend_pid());
BEGIN
    WHILE EXISTS (
        SELECT FROM pg_catalog.pg_locks
        WHERE locktype = 'relation' AND relation = '{schema_text}.event_store'::regclass
          AND virtualtransaction = ANY (appending))
    LOOP
        IF clock_timestamp() > until THEN
            RAISE EXCEPTION 'a transaction that has appended is open for more than 5 seconds'
                USING ERRCODE = 'lock_not_available';
        END IF;
        PERFORM pg_sleep(0.002);
    END LOOP;
END $hitherto$;

-- Move all events but the last of those aggregates that are at a version, and tell of how many. One
-- that goes on meanwhile is left alone, unless it does so at the very moment: then what was appended
-- stays beside its former last event.
CREATE FUNCTION {schema}.archive_events(ids text[], heads int[])
RETURNS TABLE (id text, events int)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $hitherto$
#variable_conflict use_column
DECLARE
    chosen text[];
    lasts int[];
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'to archive needs the isolation level READ COMMITTED, not %',
            upper(current_setting('transaction_isolation')) USING ERRCODE = 'HH001';
    END IF;
    PERFORM pg_advisory_xact_lock(hashtextextended(
        'hitherto.archive', '{schema_text}.event_store'::regclass::oid::bigint));
    SELECT array_agg(given.id), array_agg(given.head) INTO chosen, lasts
        FROM unnest(ids, heads) AS given (id, head)
        CROSS JOIN LATERAL (
            SELECT event_version FROM {schema}.event_store
            WHERE aggregate_id = given.id ORDER BY event_version DESC LIMIT 1
        ) AS last
        WHERE last.event_version = given.head;
    IF chosen IS NULL THEN
        RETURN;
    END IF;
    PERFORM {schema}.await_appends();
    INSERT INTO {schema}.event_archive
        SELECT event.* FROM unnest(chosen, lasts) AS given (id, head)
        CROSS JOIN LATERAL (
            SELECT * FROM {schema}.event_store
            WHERE aggregate_id = given.id AND event_version < given.head
            OFFSET 0  -- a look-up for each, never a join with the whole table
        ) AS event;
    RETURN QUERY
        WITH moved AS (
            DELETE FROM {schema}.event_store AS event
            USING unnest(chosen, lasts) AS given (id, head)
            WHERE event.aggregate_id = given.id AND event.event_version < given.head
            RETURNING event.aggregate_id
        )
        SELECT aggregate_id::text, count(*)::int FROM moved GROUP BY aggregate_id;
END $hitherto$;

-- Move the events of aggregates back, and tell of how many.
CREATE FUNCTION {schema}.restore_events(ids text[]) RETURNS TABLE (id text, events int)
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $hitherto$
#variable_conflict use_column
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(
        'hitherto.archive', '{schema_text}.event_store'::regclass::oid::bigint));
    INSERT INTO {schema}.event_store OVERRIDING SYSTEM VALUE
        SELECT * FROM {schema}.event_archive WHERE aggregate_id = ANY (ids)
        ORDER BY global_position;
    RETURN QUERY
        WITH moved AS (
            DELETE FROM {schema}.event_archive WHERE aggregate_id = ANY (ids)
            RETURNING aggregate_id
        )
        SELECT aggregate_id::text, count(*)::int FROM moved GROUP BY aggregate_id;
END $hitherto$;

-- Only the owner may call these, and whom the owner grants it.
REVOKE ALL ON FUNCTION {schema}.archive_events, {schema}.restore_events FROM PUBLIC;

-- Aggregates that are closed for good: they take no events any more.
CREATE TABLE {schema}.aggregate_tombstones (
    aggregate_id VARCHAR(255) COLLATE "C" PRIMARY KEY,
    reason TEXT COLLATE "C" NOT NULL,
    closed_by TEXT COLLATE "C" NOT NULL,
    closed_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
CREATE TRIGGER aggregate_tombstones_is_append_only
    BEFORE UPDATE OR DELETE ON {schema}.aggregate_tombstones
    FOR EACH ROW EXECUTE FUNCTION {schema}.refuse_change();
CREATE TRIGGER aggregate_tombstones_is_not_truncated
    BEFORE TRUNCATE ON {schema}.aggregate_tombstones
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();

-- Close an aggregate, and tell whether it has events; else nothing is done. Appends that have begun
-- before this is committed may not know of it: await_appends waits for them.
CREATE FUNCTION {schema}.tombstone_aggregate(id text, why text, who text) RETURNS boolean
LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $hitherto$
BEGIN
    IF NOT EXISTS (SELECT FROM {schema}.event_store WHERE aggregate_id = id) THEN
        RETURN false;
    END IF;
    INSERT INTO {schema}.aggregate_tombstones (aggregate_id, reason, closed_by)
        VALUES (id, why, format('%s (%s)', who, session_user))
        ON CONFLICT (aggregate_id) DO NOTHING;
    RETURN true;
END $hitherto$;
REVOKE ALL ON FUNCTION {schema}.tombstone_aggregate FROM PUBLIC;

-- The append function once more, with hashes, which may be left out, see 0005. Of what is closed for
-- good it tells the actual version -1. An append's expected
-- version is compared with that of the last event, rather than looked for: an event before it may be
-- in the archive, where its unique index does not refuse another one. Nor does that of the event ids,
-- so they are looked up there.
DROP FUNCTION {schema}.append_events;
CREATE FUNCTION {schema}.append_events(
    ids text[], types text[], expected int[],
    append_of int[], event_ids uuid[], event_types text[], schema_versions int[],
    versions int[], data jsonb[], metadata jsonb[], occurred_at timestamptz[],
    content_hashes bytea[] DEFAULT NULL
)
RETURNS TABLE (n int, last_position bigint, standing int, actual int, actual_type text)
LANGUAGE plpgsql
SET lock_timeout = '100ms'
SET plan_cache_mode = force_generic_plan
AS $hitherto$
#variable_conflict use_column
DECLARE
    winners int[];
    positions bigint[];
    taken uuid;
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'an append needs the isolation level READ COMMITTED, not %',
            upper(current_setting('transaction_isolation')) USING ERRCODE = 'HH001';
    END IF;

    WITH inserted AS (
        INSERT INTO {schema}.event_store (
            event_id, event_type, aggregate_id, aggregate_type, event_version, schema_version,
            event_data, metadata, occurred_at, content_hash)
        SELECT e.event_id, e.event_type, ids[e.a], types[e.a], e.version, e.schema_version,
            e.data, e.metadata, e.occurred_at, e.content_hash
        FROM unnest(append_of, event_ids, event_types, schema_versions, versions, data, metadata,
                    occurred_at, content_hashes) WITH ORDINALITY
            AS e (a, event_id, event_type, schema_version, version, data, metadata,
                  occurred_at, content_hash, place)
        WHERE e.version = expected[e.a] + 1
          AND expected[e.a] = coalesce((
              SELECT CASE aggregate_type WHEN types[e.a] THEN event_version ELSE -1 END
              FROM {schema}.event_store
              WHERE aggregate_id = ids[e.a] ORDER BY event_version DESC LIMIT 1), 0)
          AND NOT EXISTS (
              SELECT FROM {schema}.aggregate_tombstones WHERE aggregate_id = ids[e.a] OFFSET 0)
          AND e.a <> ALL (ARRAY(
              SELECT own.a FROM unnest(append_of, event_ids) AS own (a, id) CROSS JOIN LATERAL (
                  SELECT FROM {schema}.event_archive WHERE event_id = own.id
                  OFFSET 0  -- a look-up for each, never a join with the whole table
              ) AS taken))
        ORDER BY e.place
        ON CONFLICT (aggregate_id, event_version) DO NOTHING
        RETURNING aggregate_id, global_position
    )
    SELECT array_agg(array_position(ids, aggregate_id::text)), array_agg(global_position)
        INTO winners, positions FROM inserted;

    IF cardinality(append_of) > cardinality(ids) AND winners IS NOT NULL THEN
        WITH inserted AS (
            INSERT INTO {schema}.event_store (
                event_id, event_type, aggregate_id, aggregate_type, event_version, schema_version,
                event_data, metadata, occurred_at, content_hash)
            SELECT e.event_id, e.event_type, ids[e.a], types[e.a], e.version, e.schema_version,
                e.data, e.metadata, e.occurred_at, e.content_hash
            FROM unnest(append_of, event_ids, event_types, schema_versions, versions, data,
                        metadata, occurred_at, content_hashes) WITH ORDINALITY
                AS e (a, event_id, event_type, schema_version, version, data, metadata,
                      occurred_at, content_hash, place)
            WHERE e.version > expected[e.a] + 1 AND e.a = ANY (winners)
            ORDER BY e.place
            RETURNING aggregate_id, global_position
        ), last AS (
            SELECT aggregate_id, max(global_position) AS position FROM inserted GROUP BY 1
        )
        SELECT array_agg(coalesce(last.position, winner.position) ORDER BY winner.place)
            INTO positions
            FROM unnest(winners, positions) WITH ORDINALITY AS winner (a, position, place)
            LEFT JOIN last ON last.aggregate_id = ids[winner.a];
    END IF;

    RETURN QUERY SELECT winner.a, winner.position, 0, NULL::int, NULL::text
        FROM unnest(winners, positions) AS winner (a, position);

    IF coalesce(cardinality(winners), 0) < cardinality(ids) THEN
        RETURN QUERY
        SELECT append.n::int, CASE WHEN own.stand = own.count THEN own.position END,
            own.stand::int,
            CASE WHEN EXISTS (
                SELECT FROM {schema}.aggregate_tombstones WHERE aggregate_id = append.id)
            THEN -1 ELSE coalesce(head.event_version, 0) END,
            head.aggregate_type::text
        FROM unnest(ids) WITH ORDINALITY AS append (id, n)
        LEFT JOIN LATERAL (
            SELECT event_version, aggregate_type FROM {schema}.event_store
            WHERE aggregate_id = append.id ORDER BY event_version DESC LIMIT 1
        ) AS head ON true
        CROSS JOIN LATERAL (
            SELECT count(*) AS count, count(stored.event_id) AS stand,
                max(stored.global_position) AS position
            FROM unnest(append_of, event_ids, versions) AS e (a, event_id, version)
            LEFT JOIN {schema}.event_store_and_archive AS stored
                ON stored.aggregate_id = append.id AND stored.event_version = e.version
                AND stored.event_id = e.event_id
            WHERE e.a = append.n
        ) AS own
        WHERE winners IS NULL OR append.n <> ALL (winners);

        -- An id that is taken in the archive, and not by the event itself. (In event_store a unique
        -- index tells.)
        SELECT e.event_id INTO taken
            FROM unnest(append_of, event_ids, versions) AS e (a, event_id, version)
            CROSS JOIN LATERAL (
                SELECT aggregate_id, event_version FROM {schema}.event_archive
                WHERE event_id = e.event_id OFFSET 0
            ) AS stored
            WHERE (stored.aggregate_id, stored.event_version) <> (ids[e.a], e.version) LIMIT 1;
        IF FOUND THEN
            RAISE EXCEPTION 'event id % stands in the archive', taken
                USING ERRCODE = 'unique_violation', CONSTRAINT = 'event_archive_pkey',
                    DETAIL = format('Key (event_id)=(%s) already exists.', taken);
        END IF;

        -- What stands may be committed here but not yet on a synchronous standby: whoever wrote
        -- it was terminated while it waited. A record of our own, logged after it, makes this
        -- transaction wait for both; so a repeat is not acknowledged before it would outlive a
        -- failover. (An id alone, of pg_current_xact_id(), is no reason to wait.)
        IF EXISTS (
            SELECT FROM {schema}.event_store_and_archive WHERE event_id = ANY (event_ids))
        THEN
            PERFORM pg_logical_emit_message(true, 'hitherto', '');
        END IF;
    END IF;
END $hitherto$;

-- These two once more, as they were, but that a checkpoint may stand at an archived event.
CREATE OR REPLACE FUNCTION {schema}.attend_projection(
    projection text, number int, who text, lease double precision, held int[], tokens bigint[]
)
RETURNS TABLE (state text, paused boolean, share int, retry boolean, partition int, token bigint,
    "position" bigint, attempts int, silent_until bigint, intact boolean)
LANGUAGE plpgsql AS $hitherto$
#variable_conflict use_column
DECLARE
    until timestamptz := clock_timestamp() + lease * interval '1 second';
    total int;
    pausing boolean;
    fair int;
    mine int[];
BEGIN
    SELECT CASE WHEN g.inline THEN 0 ELSE g.partitions END, g.paused INTO total, pausing
        FROM {schema}.projection_generations g
        WHERE g.name = projection AND g.generation = number AND g.state <> 'retired';
    IF NOT FOUND THEN
        RETURN;
    END IF;
    INSERT INTO {schema}.projection_workers AS w (name, generation, worker, alive_until)
        VALUES (projection, number, who, until)
        ON CONFLICT (name, generation, worker) DO UPDATE SET alive_until = excluded.alive_until;
    DELETE FROM {schema}.projection_workers w
        USING (SELECT worker FROM {schema}.projection_workers
               WHERE name = projection AND generation = number
                 AND alive_until < clock_timestamp() - interval '1 minute'
               FOR UPDATE SKIP LOCKED) AS gone
        WHERE w.name = projection AND w.generation = number AND w.worker = gone.worker;
    SELECT ceil(total::numeric / greatest(count(*), 1)) INTO fair FROM {schema}.projection_workers w
        WHERE w.name = projection AND w.generation = number AND w.alive_until > clock_timestamp();

    UPDATE {schema}.projection_checkpoints c SET leased_until = until
        FROM (SELECT c.partition FROM {schema}.projection_checkpoints c
              JOIN unnest(held, tokens) AS own (p, t) ON own.p = c.partition AND own.t = c.token
              WHERE c.name = projection AND c.generation = number AND c.worker = who
              ORDER BY c.partition FOR UPDATE OF c SKIP LOCKED) AS renewed
        WHERE c.name = projection AND c.generation = number AND c.partition = renewed.partition;
    SELECT coalesce(array_agg(c.partition), '{}') INTO mine
        FROM {schema}.projection_checkpoints c
        JOIN unnest(held, tokens) AS own (p, t) ON own.p = c.partition AND own.t = c.token
        WHERE c.name = projection AND c.generation = number AND c.worker = who;
    IF NOT pausing AND cardinality(mine) < fair THEN
        WITH free AS (
            SELECT c.partition FROM {schema}.projection_checkpoints c
            WHERE c.name = projection AND c.generation = number AND c.partition <> ALL (mine)
              AND (c.leased_until IS NULL OR c.leased_until < clock_timestamp())
            ORDER BY c.partition LIMIT fair - cardinality(mine)
            FOR UPDATE SKIP LOCKED
        ), taken AS (
            UPDATE {schema}.projection_checkpoints c
            SET token = c.token + 1, worker = who, leased_until = until
            FROM free
            WHERE c.name = projection AND c.generation = number AND c.partition = free.partition
            RETURNING c.partition
        )
        SELECT mine || array_agg(taken.partition) INTO mine FROM taken;
    END IF;

    RETURN QUERY
        SELECT g.state::text, g.paused, fair, EXISTS (
                SELECT FROM {schema}.projection_parked_events p
                WHERE p.name = projection AND p.generation = number AND p.retry
                  AND p.partition = ANY (mine)),
            c.partition::int, c.token, c.position, c.attempts, c.silent_until,
            c.position = 0 OR EXISTS (
                SELECT FROM {schema}.event_store_and_archive e
                WHERE e.global_position = c.position AND e.event_id = c.event_id)
        FROM {schema}.projection_generations g
        LEFT JOIN {schema}.projection_checkpoints c
            ON c.name = projection AND c.generation = number AND c.partition = ANY (mine)
            AND c.worker = who
        WHERE g.name = projection AND g.generation = number AND g.state <> 'retired'
        ORDER BY c.partition;
END $hitherto$;

CREATE OR REPLACE FUNCTION {schema}.advance_projection(progress jsonb) RETURNS void
LANGUAGE plpgsql AS $hitherto$
#variable_conflict use_column
DECLARE
    projection text := progress ->> 'name';
    number int := progress ->> 'generation';
    reached bigint := progress ->> 'position';
    moved int;
    gone record;
BEGIN
    UPDATE {schema}.projection_checkpoints c
    SET position = greatest(c.position, reached),
        event_id = CASE WHEN c.position < reached THEN event.event_id ELSE c.event_id END,
        handled = c.handled + coalesce((progress -> 'handled' ->> lease.key)::bigint, 0),
        attempts = (progress ->> 'begun')::boolean::int,
        leased_until = clock_timestamp() + (progress ->> 'lease')::float8 * interval '1 second',
        updated_at = clock_timestamp()
    FROM jsonb_each_text(progress -> 'leases') AS lease
    LEFT JOIN {schema}.event_store_and_archive AS event ON event.global_position = reached
    WHERE c.name = projection AND c.generation = number
      AND c.partition = lease.key::int AND c.token = lease.value::bigint
      AND c.position = coalesce((progress -> 'after' ->> lease.key)::bigint, c.position);
    GET DIAGNOSTICS moved = ROW_COUNT;
    IF moved < (SELECT count(*) FROM jsonb_object_keys(progress -> 'leases'))
        OR moved = 0 AND NOT EXISTS (
            SELECT FROM {schema}.projection_generations g
            WHERE g.name = projection AND g.generation = number AND g.state <> 'retired')
    THEN
        RAISE EXCEPTION USING ERRCODE = 'HH423', MESSAGE = format(
            'another worker has taken over %L, or its generation %s is retired: nothing was '
            'written', projection, number);
    END IF;

    IF jsonb_array_length(progress -> 'unparked') > 0 THEN
        DELETE FROM {schema}.projection_parked_events p
        WHERE p.name = projection AND p.generation = number AND p.position IN (
            SELECT value::bigint FROM jsonb_array_elements_text(progress -> 'unparked'));
        GET DIAGNOSTICS moved = ROW_COUNT;
        IF moved < jsonb_array_length(progress -> 'unparked') THEN
            RAISE EXCEPTION USING ERRCODE = 'HH423', MESSAGE = format(
                'an event of %L is parked no more: nothing was written', projection);
        END IF;
    END IF;
    IF jsonb_array_length(progress -> 'parked') > 0 THEN
        INSERT INTO {schema}.projection_parked_events AS old (
            name, generation, position, partition, event_id, event_type, aggregate_id,
            event_version, attempts, error)
        SELECT projection, number, p.position, p.partition, p.event_id, p.event_type,
            p.aggregate_id, p.version, p.attempts, p.error
        FROM jsonb_to_recordset(progress -> 'parked') AS p (
            position bigint, partition int, event_id uuid, event_type text, aggregate_id text,
            version int, attempts int, error text)
        ON CONFLICT (name, generation, position) DO UPDATE
        SET attempts = excluded.attempts, error = excluded.error, retry = false,
            parked_at = excluded.parked_at;
    END IF;
    IF jsonb_array_length(progress -> 'documents') > 0 THEN
        INSERT INTO {schema}.projection_documents AS old (
            name, generation, collection, key, partition, document)
        SELECT projection, number, d ->> 'collection', d ->> 'key', (d ->> 'partition')::int,
            d -> 'data'
        FROM jsonb_array_elements(progress -> 'documents') AS d
        WHERE jsonb_typeof(d -> 'data') <> 'null'
        ON CONFLICT (name, generation, collection, key, partition) DO UPDATE
        SET document = excluded.document;
        FOR gone IN
            SELECT d ->> 'collection' AS collection, d ->> 'key' AS key,
                (d ->> 'partition')::int AS partition
            FROM jsonb_array_elements(progress -> 'documents') AS d
            WHERE jsonb_typeof(d -> 'data') = 'null'
        LOOP
            DELETE FROM {schema}.projection_documents old
            WHERE old.name = projection AND old.generation = number
              AND old.collection = gone.collection AND old.key = gone.key
              AND old.partition = gone.partition;
        END LOOP;
    END IF;
END $hitherto$;
