-- Order with no gaps, without a global lock.
--
-- Positions are drawn from a sequence, so they can become visible out of order: a reader that
-- goes by `position > checkpoint` loses events. Here every insert REGISTERS before it draws: it
-- takes a shared advisory lock that is tagged with the highest position allocated so far. A
-- reader then reads no further than the lowest tag still held:
--   in flight         -> its tag holds the reader back;
--   registering later -> its positions are above what the reader saw allocated;
--   released          -> it is committed and visible to the next statement, or gone.
-- Locks have two keys: the table, so that stores of other schemas don't matter, and the tag's
-- low 32 bits.

-- A transaction's first tag is its lowest, so it registers once: its locks are few, however many
-- INSERTs it has. The setting that remembers it ends with the transaction or the savepoint, as the
-- lock does.

CREATE FUNCTION {schema}.register_append() RETURNS trigger LANGUAGE plpgsql AS $hitherto$
DECLARE
    registered text := 'hitherto.registered_' || TG_RELID;
BEGIN
    IF current_setting(registered, true) IS DISTINCT FROM 'on' THEN
        PERFORM pg_advisory_xact_lock_shared(
            TG_RELID::int4,
            ((CASE WHEN is_called THEN last_value ELSE last_value - 1 END << 32) >> 32)::int4
        ) FROM {schema}.event_store_global_position_seq;
        PERFORM set_config(registered, 'on', true);
    END IF;
    RETURN NULL;
END $hitherto$;

-- A statement trigger fires before the first nextval, for COPY and for other tools' inserts too.
CREATE TRIGGER event_store_registers_append
    BEFORE INSERT ON {schema}.event_store
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.register_append();

-- The appends in flight: who holds the readers back, and the low 32 bits of the tag.
CREATE FUNCTION {schema}.registered_appends() RETURNS TABLE (pid int, tag bigint)
LANGUAGE sql STABLE AS $hitherto$
    SELECT pid, objid::bigint FROM pg_locks
    WHERE locktype = 'advisory' AND objsubid = 2 AND mode = 'ShareLock' AND granted
      AND classid = '{schema_text}.event_store'::regclass::oid
      AND database = (SELECT oid FROM pg_database WHERE datname = current_database())
$hitherto$;

-- The watermark, and how many positions are held back by appends in flight. Its caller must be in
-- READ COMMITTED and read events in a LATER statement, whose snapshot sees all that was released.
CREATE FUNCTION {schema}.read_watermark(OUT watermark bigint, OUT held_back bigint)
LANGUAGE plpgsql VOLATILE AS $hitherto$
DECLARE
    allocated bigint;
    tags bigint[];
    ceiling bigint;
BEGIN
    IF pg_is_in_recovery() THEN
        RAISE EXCEPTION 'this server is a standby, which does not know the appends in flight: '
            'read the log from the primary' USING ERRCODE = 'HH002';
    END IF;
    -- First what is allocated, then the registry: the other way round, an append could register
    -- and allocate in between.
    SELECT CASE WHEN is_called THEN last_value ELSE last_value - 1 END INTO allocated
        FROM {schema}.event_store_global_position_seq;
    SELECT array_agg(tag) INTO tags FROM {schema}.registered_appends();
    watermark := allocated;
    IF tags IS NOT NULL THEN
        -- A tag can be above `allocated`, but not above what is allocated now: the full tag is the
        -- highest number up to that with these low 32 bits.
        SELECT last_value INTO ceiling FROM {schema}.event_store_global_position_seq;
        SELECT least(allocated, min(ceiling - ((ceiling - tag) & 4294967295))) INTO watermark
            FROM unnest(tags) AS tag;
    END IF;
    held_back := allocated - watermark;
    -- Down to a committed event: a position that was drawn and rolled back may be drawn once more
    -- after a crash, for the sequence is only as durable as the next commit. (In a volatile
    -- function each statement has a snapshot of its own; this one sees all that was released.)
    SELECT coalesce(max(global_position), 0) INTO watermark
        FROM {schema}.event_store WHERE global_position <= watermark;
END $hitherto$;
