-- What took the place of payloads that had to go, and why; never what they were.
CREATE TABLE event_erasures (
    erasure_number INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    event_version INTEGER NOT NULL,
    event_data TEXT NOT NULL,
    metadata TEXT,
    fields TEXT NOT NULL,
    reason TEXT NOT NULL,
    erased_by TEXT NOT NULL,
    erased_at TEXT NOT NULL
);
CREATE INDEX idx_event_erasures_event_id ON event_erasures (event_id, erasure_number);

-- A payload may be what its last erasure tells; nothing else is ever updated.
DROP TRIGGER IF EXISTS event_store_refuses_update;
CREATE TRIGGER event_store_refuses_update BEFORE UPDATE ON event_store
    WHEN NOT (
        NEW.global_position IS OLD.global_position AND NEW.event_id IS OLD.event_id
        AND NEW.event_type IS OLD.event_type AND NEW.aggregate_id IS OLD.aggregate_id
        AND NEW.aggregate_type IS OLD.aggregate_type AND NEW.event_version IS OLD.event_version
        AND NEW.schema_version IS OLD.schema_version AND NEW.occurred_at IS OLD.occurred_at
        AND NEW.created_at IS OLD.created_at
        AND coalesce((
            SELECT event_data IS NEW.event_data AND metadata IS NEW.metadata
            FROM event_erasures WHERE event_id = NEW.event_id
            ORDER BY erasure_number DESC LIMIT 1), 0))
BEGIN
    SELECT RAISE(ABORT, 'UPDATE on event_store is refused: events are never changed');
END;
DROP TRIGGER IF EXISTS event_archive_refuses_update;
CREATE TRIGGER event_archive_refuses_update BEFORE UPDATE ON event_archive
    WHEN NOT (
        NEW.global_position IS OLD.global_position AND NEW.event_id IS OLD.event_id
        AND NEW.event_type IS OLD.event_type AND NEW.aggregate_id IS OLD.aggregate_id
        AND NEW.aggregate_type IS OLD.aggregate_type AND NEW.event_version IS OLD.event_version
        AND NEW.schema_version IS OLD.schema_version AND NEW.occurred_at IS OLD.occurred_at
        AND NEW.created_at IS OLD.created_at
        AND coalesce((
            SELECT event_data IS NEW.event_data AND metadata IS NEW.metadata
            FROM event_erasures WHERE event_id = NEW.event_id
            ORDER BY erasure_number DESC LIMIT 1), 0))
BEGIN
    SELECT RAISE(ABORT, 'UPDATE on event_archive is refused: events are never changed');
END;

-- An earlier account of an event that is erased again would else keep what goes now.
CREATE TRIGGER event_erasures_refuses_update BEFORE UPDATE ON event_erasures
    WHEN NOT (
        NEW.erasure_number IS OLD.erasure_number AND NEW.event_id IS OLD.event_id
        AND NEW.aggregate_id IS OLD.aggregate_id AND NEW.event_version IS OLD.event_version
        AND NEW.fields IS OLD.fields AND NEW.reason IS OLD.reason
        AND NEW.erased_by IS OLD.erased_by AND NEW.erased_at IS OLD.erased_at
        AND coalesce((
            SELECT event_data IS NEW.event_data AND metadata IS NEW.metadata
            FROM event_erasures WHERE event_id = NEW.event_id
            ORDER BY erasure_number DESC LIMIT 1), 0))
BEGIN
    SELECT RAISE(ABORT, 'UPDATE on event_erasures is refused: it tells what was done');
END;
CREATE TRIGGER event_erasures_refuses_delete BEFORE DELETE ON event_erasures
BEGIN
    SELECT RAISE(ABORT, 'DELETE on event_erasures is refused: it tells what was done');
END;
