-- What took the place of payloads that had to go, and why; never what they were.
CREATE TABLE {schema}.event_erasures (
    erasure_number BIGINT GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    event_id UUID NOT NULL,
    aggregate_id VARCHAR(255) COLLATE "C" NOT NULL,
    event_version INTEGER NOT NULL,
    event_data JSONB NOT NULL,
    metadata JSONB,
    fields TEXT[] COLLATE "C" NOT NULL,
    reason TEXT COLLATE "C" NOT NULL,
    erased_by TEXT COLLATE "C" NOT NULL,
    erased_at TIMESTAMPTZ NOT NULL DEFAULT clock_timestamp()
);
CREATE INDEX idx_event_erasures_event_id ON {schema}.event_erasures (event_id, erasure_number);

CREATE TRIGGER event_erasures_is_append_only
    BEFORE UPDATE OR DELETE ON {schema}.event_erasures
    FOR EACH ROW EXECUTE FUNCTION {schema}.refuse_change();
CREATE TRIGGER event_erasures_is_not_truncated
    BEFORE TRUNCATE ON {schema}.event_erasures
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();

-- Replace the payload of an event, if that is still as it was found, and tell whether it was; or
-- whether it was replaced so before, by who asks again.
CREATE FUNCTION {schema}.erase_event(
    event uuid, found_data jsonb, found_metadata jsonb,
    new_data jsonb, new_metadata jsonb, names text[], why text, who text
)
RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER
SET search_path = pg_catalog, pg_temp
AS $hitherto$
DECLARE
    stored record;
    teller text := format('%s (%s)', who, session_user);
BEGIN
    PERFORM pg_advisory_xact_lock(hashtextextended(
        'hitherto.archive', '{schema_text}.event_store'::regclass::oid::bigint));
    SELECT aggregate_id, event_version, event_data, metadata INTO stored
        FROM {schema}.event_store_and_archive WHERE event_id = event;
    IF (stored.event_data, stored.metadata) IS DISTINCT FROM (found_data, found_metadata) THEN
        RETURN coalesce((
            SELECT (event_data, metadata, fields, reason, erased_by)
                IS NOT DISTINCT FROM (new_data, new_metadata, names, why, teller)
            FROM {schema}.event_erasures WHERE event_id = event
            ORDER BY erasure_number DESC LIMIT 1), false);
    END IF;
    INSERT INTO {schema}.event_erasures (
            event_id, aggregate_id, event_version, event_data, metadata, fields, reason, erased_by)
        VALUES (event, stored.aggregate_id, stored.event_version, new_data, new_metadata, names,
                why, teller);
    UPDATE {schema}.event_erasures SET event_data = new_data, metadata = new_metadata
        WHERE event_id = event AND (event_data, metadata) IS DISTINCT FROM (new_data, new_metadata);
    UPDATE {schema}.event_store SET event_data = new_data, metadata = new_metadata
        WHERE event_id = event;
    UPDATE {schema}.event_archive SET event_data = new_data, metadata = new_metadata
        WHERE event_id = event;
    DELETE FROM {schema}.aggregate_snapshots WHERE aggregate_id = stored.aggregate_id;
    RETURN true;
END $hitherto$;

-- Only the owner may call it, and whom the owner grants it.
REVOKE ALL ON FUNCTION {schema}.erase_event FROM PUBLIC;
