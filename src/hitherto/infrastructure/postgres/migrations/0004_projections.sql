-- How far each projection has come, who works on it, and the documents of its views.

-- One filling of a projection's view. A rebuild makes the next one, beside the active one. One that
-- is inline is run by appends, in their transactions, and by no worker.
CREATE TABLE {schema}.projection_generations (
    name VARCHAR(255) COLLATE "C" NOT NULL,
    generation INTEGER NOT NULL CHECK (generation > 0),
    version INTEGER NOT NULL,
    state VARCHAR(8) COLLATE "C" NOT NULL CHECK (state IN ('filling', 'active', 'retired')),
    paused BOOLEAN NOT NULL DEFAULT false,
    inline BOOLEAN NOT NULL DEFAULT false,
    partitions SMALLINT NOT NULL CHECK (partitions > 0),
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    PRIMARY KEY (name, generation)
);
CREATE UNIQUE INDEX idx_projection_generations_current
    ON {schema}.projection_generations (name, state) WHERE state <> 'retired';

-- The log is divided by aggregate id; each partition has a checkpoint and at most one worker. Who
-- takes one over raises its token, and a write under an older one is refused. Rows are changed in
-- place (HOT), which needs room in their pages.
CREATE TABLE {schema}.projection_checkpoints (
    name VARCHAR(255) COLLATE "C" NOT NULL,
    generation INTEGER NOT NULL,
    partition SMALLINT NOT NULL,
    position BIGINT NOT NULL DEFAULT 0,
    event_id UUID,
    handled BIGINT NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    silent_until BIGINT NOT NULL DEFAULT 0,
    token BIGINT NOT NULL DEFAULT 0,
    worker VARCHAR(255) COLLATE "C",
    leased_until TIMESTAMP WITH TIME ZONE,
    updated_at TIMESTAMP WITH TIME ZONE,
    PRIMARY KEY (name, generation, partition),
    FOREIGN KEY (name, generation) REFERENCES {schema}.projection_generations
) WITH (fillfactor = 50);

-- Who shares a generation's partitions.
CREATE TABLE {schema}.projection_workers (
    name VARCHAR(255) COLLATE "C" NOT NULL,
    generation INTEGER NOT NULL,
    worker VARCHAR(255) COLLATE "C" NOT NULL,
    alive_until TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (name, generation, worker)
);

-- Events that could not be handled, and those of the same aggregates that wait behind them.
CREATE TABLE {schema}.projection_parked_events (
    name VARCHAR(255) COLLATE "C" NOT NULL,
    generation INTEGER NOT NULL,
    position BIGINT NOT NULL,
    partition SMALLINT NOT NULL,
    event_id UUID NOT NULL,
    event_type VARCHAR(255) COLLATE "C" NOT NULL,
    aggregate_id VARCHAR(255) COLLATE "C" NOT NULL,
    event_version INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    error TEXT COLLATE "C",
    retry BOOLEAN NOT NULL DEFAULT false,
    parked_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    PRIMARY KEY (name, generation, position)
);

-- JSON that views consist of; the same key may stand once in each partition.
CREATE TABLE {schema}.projection_documents (
    name VARCHAR(255) COLLATE "C" NOT NULL,
    generation INTEGER NOT NULL,
    collection VARCHAR(255) COLLATE "C" NOT NULL,
    key TEXT COLLATE "C" NOT NULL,
    partition SMALLINT NOT NULL,
    document JSONB NOT NULL,
    PRIMARY KEY (name, generation, collection, key, partition)
);

-- Messages that an append has handled, so that none is twice.
CREATE TABLE {schema}.handled_messages (
    scope VARCHAR(255) COLLATE "C" NOT NULL,
    message_id VARCHAR(255) COLLATE "C" NOT NULL,
    handled_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now(),
    PRIMARY KEY (scope, message_id)
);
CREATE INDEX idx_handled_messages_handled_at ON {schema}.handled_messages (scope, handled_at);

-- When processes are to be woken.
CREATE TABLE {schema}.process_timers (
    process VARCHAR(255) COLLATE "C" NOT NULL,
    aggregate_id VARCHAR(255) COLLATE "C" NOT NULL,
    name VARCHAR(255) COLLATE "C" NOT NULL,
    due TIMESTAMP WITH TIME ZONE NOT NULL,
    PRIMARY KEY (process, aggregate_id, name)
);
CREATE INDEX idx_process_timers_due ON {schema}.process_timers (process, due);

-- The advisory lock of a projection: held exclusively by who changes which generation is which, or
-- who runs it, and shared by appends that run it.
CREATE FUNCTION {schema}.projection_lock(projection text) RETURNS bigint
LANGUAGE sql STABLE AS $hitherto$
    SELECT hashtextextended('hitherto.projection ' || projection,
                            '{schema_text}.projection_generations'::regclass::oid::bigint)
$hitherto$;

-- A worker lives: renew what it holds, take what is free up to its share, and tell what it has. No
-- row comes back for a generation that is not there or is retired; one without a partition where
-- the worker holds none.
--   A checkpoint that is locked is being moved by its holder, who renews it, or being taken by
-- somebody else: neither is waited for.
--   What comes back is read in one statement, after all is taken: a worker that got partitions of a
-- generation that was switched a moment ago sees that, too.
CREATE FUNCTION {schema}.attend_projection(
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
                SELECT FROM {schema}.event_store e
                WHERE e.global_position = c.position AND e.event_id = c.event_id)
        FROM {schema}.projection_generations g
        LEFT JOIN {schema}.projection_checkpoints c
            ON c.name = projection AND c.generation = number AND c.partition = ANY (mine)
            AND c.worker = who
        WHERE g.name = projection AND g.generation = number AND g.state <> 'retired'
        ORDER BY c.partition;
END $hitherto$;

-- Move checkpoints forward, as the last act of the transaction that has done what they stand for; it
-- fails where a partition was taken over. The rows are locked here and no sooner, so that nobody
-- waits for the effects of a batch. `progress` is the JSON of a Progress.
CREATE FUNCTION {schema}.advance_projection(progress jsonb) RETURNS void
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
    LEFT JOIN {schema}.event_store AS event ON event.global_position = reached
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

-- What append_together does, and with it marks of messages that are handled by it, and timers: set,
-- or cancelled where `timer_due` is NULL. It fails where a projection is not one that appends run, in
-- this version. Where an append has lost nothing is written; where all of the events stand already,
-- the rest was written together with them.
CREATE FUNCTION {schema}.append_alongside(
    ids text[], types text[], expected int[],
    append_of int[], event_ids uuid[], event_types text[], schema_versions int[],
    versions int[], data jsonb[], metadata jsonb[], occurred_at timestamptz[],
    message_scope text, messages text[],
    fired_processes text[], fired_instances text[], fired_names text[], fired_due timestamptz[],
    timer_processes text[], timer_instances text[], timer_names text[], timer_due timestamptz[],
    inline_names text[], inline_versions int[]
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
            data, metadata, occurred_at)
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
