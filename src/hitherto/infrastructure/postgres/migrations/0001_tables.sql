-- The log of events and the snapshots. Text keys sort by byte (COLLATE "C"), so that no change of
-- a locale can damage an index.

CREATE TABLE {schema}.event_store (
    global_position BIGINT GENERATED ALWAYS AS IDENTITY (CACHE 1),
    event_id UUID NOT NULL PRIMARY KEY,
    event_type VARCHAR(255) COLLATE "C" NOT NULL,
    aggregate_id VARCHAR(255) COLLATE "C" NOT NULL,
    aggregate_type VARCHAR(255) COLLATE "C" NOT NULL,
    event_version INTEGER NOT NULL CHECK (event_version > 0),
    schema_version SMALLINT NOT NULL DEFAULT 1,
    event_data JSONB NOT NULL,
    metadata JSONB,
    occurred_at TIMESTAMP WITH TIME ZONE NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now()
);

-- Optimistic concurrency: of the writers that race for a version, one wins. It also serves every
-- read of one aggregate, so SPEC's plain index over the same columns is left out.
CREATE UNIQUE INDEX idx_event_store_aggregate_version
    ON {schema}.event_store (aggregate_id, event_version);
CREATE UNIQUE INDEX idx_event_store_global_position
    ON {schema}.event_store (global_position);
CREATE INDEX idx_event_store_aggregate_type
    ON {schema}.event_store (aggregate_type, global_position);
CREATE INDEX idx_event_store_event_type
    ON {schema}.event_store (event_type, global_position);
CREATE INDEX idx_event_store_occurred_at
    ON {schema}.event_store USING brin (occurred_at);

-- JSON rather than JSONB: a state must come back to the letter, the order of its keys too.
CREATE TABLE {schema}.aggregate_snapshots (
    aggregate_id VARCHAR(255) COLLATE "C" NOT NULL PRIMARY KEY,
    aggregate_type VARCHAR(255) COLLATE "C" NOT NULL,
    version INTEGER NOT NULL CHECK (version > 0),
    fingerprint VARCHAR(255) COLLATE "C" NOT NULL,
    snapshot_data JSON NOT NULL,
    created_at TIMESTAMP WITH TIME ZONE NOT NULL DEFAULT now()
);

CREATE FUNCTION {schema}.refuse_change() RETURNS trigger LANGUAGE plpgsql AS $hitherto$
BEGIN
    RAISE EXCEPTION '% on %.event_store is refused: events are never changed',
        TG_OP, TG_TABLE_SCHEMA
        USING ERRCODE = 'insufficient_privilege';
END $hitherto$;

CREATE TRIGGER event_store_is_append_only
    BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.event_store
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();
