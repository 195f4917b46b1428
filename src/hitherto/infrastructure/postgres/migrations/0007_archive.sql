-- Events of aggregates that are closed move into a second table. It inherits from the first one, so
-- whoever reads event_store reads both, and who wants what was not moved reads ONLY event_store.
--   The last event of an aggregate always stays. So ONLY event_store knows the version of each
-- aggregate, and the highest position.
CREATE TABLE {schema}.event_archive (PRIMARY KEY (event_id)) INHERITS ({schema}.event_store);

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

-- A row may be deleted where it stands in the other table, too; nothing else, whoever asks.
CREATE OR REPLACE FUNCTION {schema}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $hitherto$
BEGIN
    IF TG_OP = 'DELETE' AND TG_LEVEL = 'ROW' THEN
        IF TG_TABLE_NAME = 'event_store' AND EXISTS (
            SELECT FROM {schema}.event_archive AS event
            WHERE event.global_position = OLD.global_position
              AND ROW(event.*) IS NOT DISTINCT FROM ROW(OLD.*))
        OR TG_TABLE_NAME = 'event_archive' AND EXISTS (
            SELECT FROM ONLY {schema}.event_store AS event
            WHERE event.global_position = OLD.global_position
              AND ROW(event.*) IS NOT DISTINCT FROM ROW(OLD.*))
        THEN
            RETURN OLD;
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

-- An event that comes back from the archive keeps its hash: were it computed again, nobody could
-- tell any more whether the event was changed there.
CREATE OR REPLACE FUNCTION {schema}.chain_event() RETURNS trigger LANGUAGE plpgsql AS $hitherto$
DECLARE
    previous bytea;
BEGIN
    IF NEW.event_hash IS NOT NULL THEN
        RETURN NEW;
    END IF;
    IF NEW.event_version > 1 THEN
        SELECT event_hash INTO previous FROM ONLY {schema}.event_store
            WHERE aggregate_id = NEW.aggregate_id AND event_version = NEW.event_version - 1;
    END IF;
    NEW.event_hash := sha256(
        coalesce(previous, '') || NEW.content_hash || int8send(NEW.global_position)
        || timestamptz_send(least(greatest(NEW.created_at, '0001-01-01 00:00:00Z'),
                                  '9999-12-31 23:59:59.999999Z')));
    RETURN NEW;
END $hitherto$;

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
            SELECT event_version FROM ONLY {schema}.event_store
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
            SELECT * FROM ONLY {schema}.event_store
            WHERE aggregate_id = given.id AND event_version < given.head
            OFFSET 0  -- a look-up for each, never a join with the whole table
        ) AS event;
    RETURN QUERY
        WITH moved AS (
            DELETE FROM ONLY {schema}.event_store AS event
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

-- The append function once more. An append's expected version is compared with that of the last
-- event, rather than looked for: an event before it may be in the archive, where its unique index
-- does not refuse another one. Nor does that of the event ids, so they are looked up there.
CREATE OR REPLACE FUNCTION {schema}.append_events(
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
              FROM ONLY {schema}.event_store
              WHERE aggregate_id = ids[e.a] ORDER BY event_version DESC LIMIT 1), 0)
          AND NOT EXISTS (
              SELECT FROM {schema}.event_archive AS taken WHERE taken.event_id = ANY (event_ids))
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
            own.stand::int, coalesce(head.event_version, 0), head.aggregate_type::text
        FROM unnest(ids) WITH ORDINALITY AS append (id, n)
        LEFT JOIN LATERAL (
            SELECT event_version, aggregate_type FROM {schema}.event_store
            WHERE aggregate_id = append.id ORDER BY event_version DESC LIMIT 1
        ) AS head ON true
        CROSS JOIN LATERAL (
            SELECT count(*) AS count, count(stored.event_id) AS stand,
                max(stored.global_position) AS position
            FROM unnest(append_of, event_ids, versions) AS e (a, event_id, version)
            LEFT JOIN {schema}.event_store AS stored
                ON stored.aggregate_id = append.id AND stored.event_version = e.version
                AND stored.event_id = e.event_id
            WHERE e.a = append.n
        ) AS own
        WHERE winners IS NULL OR append.n <> ALL (winners);

        -- An id that is taken in the archive, and not by the event itself. (In event_store a unique
        -- index tells.)
        SELECT stored.event_id INTO taken
            FROM unnest(append_of, event_ids, versions) AS e (a, event_id, version)
            JOIN {schema}.event_archive AS stored USING (event_id)
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
        IF EXISTS (SELECT FROM {schema}.event_store WHERE event_id = ANY (event_ids)) THEN
            PERFORM pg_logical_emit_message(true, 'hitherto', '');
        END IF;
    END IF;
END $hitherto$;
