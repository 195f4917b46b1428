-- A hash chain per aggregate, for those who want it: who appends gives an event's content_hash, and
-- the store adds the event_hash.
--
-- New columns without a default change the catalog only; the rows stay as they are.
ALTER TABLE {schema}.event_store ADD COLUMN content_hash BYTEA, ADD COLUMN event_hash BYTEA;

-- A row trigger sees the rows that its own command inserted before, so an append of many events,
-- or a COPY, is chained too. The event_hash binds the event to the one before it, to its position,
-- and to its time of storing, 8 bytes each; infinity stands for the last time that clients know.
CREATE FUNCTION {schema}.chain_event() RETURNS trigger LANGUAGE plpgsql AS $hitherto$
DECLARE
    previous bytea;
BEGIN
    IF NEW.event_version > 1 THEN
        SELECT event_hash INTO previous FROM {schema}.event_store
            WHERE aggregate_id = NEW.aggregate_id AND event_version = NEW.event_version - 1;
    END IF;
    NEW.event_hash := sha256(
        coalesce(previous, '') || NEW.content_hash || int8send(NEW.global_position)
        || timestamptz_send(least(greatest(NEW.created_at, '0001-01-01 00:00:00Z'),
                                  '9999-12-31 23:59:59.999999Z')));
    RETURN NEW;
END $hitherto$;

CREATE TRIGGER event_store_chains_event
    BEFORE INSERT ON {schema}.event_store
    FOR EACH ROW WHEN (NEW.content_hash IS NOT NULL) EXECUTE FUNCTION {schema}.chain_event();

-- The append functions once more, as they were but for the hashes, which may be left out: of an
-- event that has none it is NULL, or of all of them.

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
          AND (expected[e.a] = 0 OR EXISTS (
              SELECT FROM {schema}.event_store AS head
              WHERE head.aggregate_id = ids[e.a] AND head.event_version = expected[e.a]
                AND head.aggregate_type = types[e.a]))
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

        -- What stands may be committed here but not yet on a synchronous standby: whoever wrote
        -- it was terminated while it waited. A record of our own, logged after it, makes this
        -- transaction wait for both; so a repeat is not acknowledged before it would outlive a
        -- failover. (An id alone, of pg_current_xact_id(), is no reason to wait.)
        IF EXISTS (SELECT FROM {schema}.event_store WHERE event_id = ANY (event_ids)) THEN
            PERFORM pg_logical_emit_message(true, 'hitherto', '');
        END IF;
    END IF;
END $hitherto$;

-- The same, but the appends win or lose together: when one has lost, the subtransaction rolls the
-- others back, and the rows tell which it was.
DROP FUNCTION {schema}.append_together;
CREATE FUNCTION {schema}.append_together(
    ids text[], types text[], expected int[],
    append_of int[], event_ids uuid[], event_types text[], schema_versions int[],
    versions int[], data jsonb[], metadata jsonb[], occurred_at timestamptz[],
    content_hashes bytea[] DEFAULT NULL
)
RETURNS TABLE (n int, last_position bigint, standing int, actual int, actual_type text)
LANGUAGE plpgsql
AS $hitherto$
DECLARE
    lost boolean := false;
BEGIN
    FOR n, last_position, standing, actual, actual_type IN
        SELECT * FROM {schema}.append_events(
            ids, types, expected, append_of, event_ids, event_types, schema_versions, versions,
            data, metadata, occurred_at, content_hashes)
    LOOP
        lost := lost OR last_position IS NULL;
        RETURN NEXT;
    END LOOP;
    IF lost THEN
        RAISE EXCEPTION USING ERRCODE = 'HH409', MESSAGE = 'an append of the group has lost';
    END IF;
EXCEPTION WHEN SQLSTATE 'HH409' THEN
    RETURN;
END $hitherto$;

-- What append_together does, and with it marks of messages that are handled by it, and timers: set,
-- or cancelled where `timer_due` is NULL. It fails where a projection is not one that appends run, in
-- this version. Where an append has lost nothing is written; where all of the events stand already,
-- the rest was written together with them.
DROP FUNCTION {schema}.append_alongside;
CREATE FUNCTION {schema}.append_alongside(
    ids text[], types text[], expected int[],
    append_of int[], event_ids uuid[], event_types text[], schema_versions int[],
    versions int[], data jsonb[], metadata jsonb[], occurred_at timestamptz[],
    message_scope text, messages text[],
    fired_processes text[], fired_instances text[], fired_names text[], fired_due timestamptz[],
    timer_processes text[], timer_instances text[], timer_names text[], timer_due timestamptz[],
    inline_names text[], inline_versions int[], content_hashes bytea[] DEFAULT NULL
)
RETURNS TABLE (n int, last_position bigint, standing int, actual int, actual_type text)
LANGUAGE plpgsql
SET lock_timeout = '100ms'
AS $hitherto$
#variable_conflict use_column
DECLARE
    lost boolean := false;
    fresh boolean := cardinality(ids) = 0;
    before text;
    run record;
BEGIN
    FOR run IN SELECT name FROM unnest(inline_names) AS name ORDER BY name LOOP
        PERFORM pg_advisory_xact_lock_shared({schema}.projection_lock(run.name));
    END LOOP;
    FOR n, last_position, standing, actual, actual_type IN
        SELECT * FROM {schema}.append_together(
            ids, types, expected, append_of, event_ids, event_types, schema_versions, versions,
            data, metadata, occurred_at, content_hashes)
    LOOP
        lost := lost OR last_position IS NULL;
        fresh := fresh OR standing = 0;
        RETURN NEXT;
    END LOOP;
    IF lost OR NOT fresh THEN
        RETURN;
    END IF;

    -- In the order of the keys, so that two that mark the same do not wait for each other.
    WITH marked AS (
        INSERT INTO {schema}.handled_messages (scope, message_id)
        SELECT message_scope, message.id FROM unnest(messages) AS message (id) ORDER BY message.id
        ON CONFLICT DO NOTHING RETURNING message_id
    )
    SELECT min(message.id) INTO before FROM unnest(messages) AS message (id)
        WHERE message.id NOT IN (SELECT message_id FROM marked);
    IF before IS NOT NULL THEN
        RAISE EXCEPTION USING ERRCODE = 'HH208',
            MESSAGE = format('%L has handled the message %L before', message_scope, before);
    END IF;

    FOR run IN
        SELECT name, version FROM unnest(inline_names, inline_versions) AS wanted (name, version)
        WHERE NOT EXISTS (
            SELECT FROM {schema}.projection_generations g
            WHERE g.name = wanted.name AND g.version = wanted.version
              AND g.state = 'active' AND g.inline)
    LOOP
        RAISE EXCEPTION USING ERRCODE = 'HH410', MESSAGE = format(
            'version %s of %L is not run by appends: another version has taken its place, or it '
            'was reset; nothing was written: deploy the code of that version, or open the store '
            'anew', run.version, run.name);
    END LOOP;

    FOR run IN
        SELECT t.* FROM unnest(fired_processes, fired_instances, fired_names, fired_due)
            AS t (process, instance, name, due) ORDER BY t.process, t.instance, t.name
    LOOP
        DELETE FROM {schema}.process_timers AS old
            WHERE old.process = run.process AND old.aggregate_id = run.instance
              AND old.name = run.name AND old.due = run.due;
        IF NOT FOUND THEN
            RAISE EXCEPTION USING ERRCODE = 'HH208', MESSAGE = format(
                'the timer %L of %L is no longer set to %s', run.name, run.instance, run.due);
        END IF;
    END LOOP;

    INSERT INTO {schema}.process_timers AS old (process, aggregate_id, name, due)
        SELECT t.* FROM unnest(timer_processes, timer_instances, timer_names, timer_due)
            AS t (process, instance, name, due)
        WHERE t.due IS NOT NULL ORDER BY t.process, t.instance, t.name
        ON CONFLICT (process, aggregate_id, name) DO UPDATE SET due = excluded.due;
    DELETE FROM {schema}.process_timers AS old
        USING unnest(timer_processes, timer_instances, timer_names, timer_due)
            AS t (process, instance, name, due)
        WHERE t.due IS NULL AND old.process = t.process AND old.aggregate_id = t.instance
          AND old.name = t.name;
END $hitherto$;
