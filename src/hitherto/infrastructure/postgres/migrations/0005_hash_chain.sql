-- A hash chain per aggregate, for those who want it: who appends gives an event's content_hash, and
-- the store adds the event_hash.
--
-- New columns without a default change the catalog only; the rows stay as they are.
ALTER TABLE {schema}.event_store ADD COLUMN content_hash BYTEA, ADD COLUMN event_hash BYTEA;

-- A row trigger sees the rows that its own command inserted before, so an append of many events,
-- or a COPY, is chained too. The event_hash binds the event to the one before it, to its position,
-- and to its time of storing, 8 bytes each; infinity stands for the last time that clients know. An
-- event that brings its hash, for it was stored before, keeps it: were it computed again, nobody could
-- tell any more whether the event was changed meanwhile.
CREATE FUNCTION {schema}.chain_event() RETURNS trigger LANGUAGE plpgsql AS $hitherto$
DECLARE
    previous bytea;
BEGIN
    IF NEW.event_hash IS NOT NULL THEN
        RETURN NEW;
    END IF;
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
-- event that has none it is NULL, or of all of them. (append_events, which these call, comes in 0007.)

-- What append_events does, but the appends win or lose together: when one has lost, the
-- subtransaction rolls the others back, and the rows tell which it was.
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
