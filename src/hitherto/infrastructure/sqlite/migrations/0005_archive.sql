-- Events of aggregates that are closed move into a second table, all but the last event of each. So
-- event_store alone knows the version of each aggregate, and the highest position.
CREATE TABLE event_archive (
    global_position INTEGER PRIMARY KEY,
    event_id TEXT NOT NULL UNIQUE,
    event_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    aggregate_type TEXT NOT NULL,
    event_version INTEGER NOT NULL,
    schema_version INTEGER NOT NULL,
    event_data TEXT NOT NULL,
    metadata TEXT,
    occurred_at TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE UNIQUE INDEX idx_event_archive_aggregate_version
    ON event_archive (aggregate_id, event_version);
CREATE INDEX idx_event_archive_aggregate_type ON event_archive (aggregate_type, global_position);
CREATE INDEX idx_event_archive_event_type ON event_archive (event_type, global_position);
CREATE INDEX idx_event_archive_occurred_at ON event_archive (occurred_at);

CREATE VIEW event_store_and_archive AS
    SELECT * FROM event_store UNION ALL SELECT * FROM event_archive;

-- A row may be deleted where it stands in the other table, too.
DROP TRIGGER IF EXISTS event_store_refuses_delete;
CREATE TRIGGER event_store_refuses_delete BEFORE DELETE ON event_store
    WHEN NOT EXISTS (
        SELECT 1 FROM event_archive AS moved
        WHERE moved.global_position = OLD.global_position AND moved.event_id IS OLD.event_id
          AND moved.event_type IS OLD.event_type AND moved.aggregate_id IS OLD.aggregate_id
          AND moved.aggregate_type IS OLD.aggregate_type AND moved.event_version IS OLD.event_version
          AND moved.schema_version IS OLD.schema_version AND moved.event_data IS OLD.event_data
          AND moved.metadata IS OLD.metadata AND moved.occurred_at IS OLD.occurred_at
          AND moved.created_at IS OLD.created_at)
BEGIN
    SELECT RAISE(ABORT, 'DELETE on event_store is refused: events are never changed');
END;
CREATE TRIGGER event_archive_refuses_update BEFORE UPDATE ON event_archive
BEGIN
    SELECT RAISE(ABORT, 'UPDATE on event_archive is refused: events are never changed');
END;
CREATE TRIGGER event_archive_refuses_delete BEFORE DELETE ON event_archive
    WHEN NOT EXISTS (
        SELECT 1 FROM event_store AS moved
        WHERE moved.global_position = OLD.global_position AND moved.event_id IS OLD.event_id
          AND moved.event_type IS OLD.event_type AND moved.aggregate_id IS OLD.aggregate_id
          AND moved.aggregate_type IS OLD.aggregate_type AND moved.event_version IS OLD.event_version
          AND moved.schema_version IS OLD.schema_version AND moved.event_data IS OLD.event_data
          AND moved.metadata IS OLD.metadata AND moved.occurred_at IS OLD.occurred_at
          AND moved.created_at IS OLD.created_at)
BEGIN
    SELECT RAISE(ABORT, 'DELETE on event_archive is refused: events are never changed');
END;

-- Ids stay taken, but for an event that moves back.
CREATE TRIGGER event_store_knows_archived_ids AFTER INSERT ON event_store
    WHEN EXISTS (
        SELECT 1 FROM event_archive AS archived
        WHERE archived.event_id = NEW.event_id AND archived.global_position <> NEW.global_position)
BEGIN
    SELECT RAISE(ABORT, 'the event id stands in event_archive');
END;

-- Aggregates that are closed for good: they take no events any more.
CREATE TABLE aggregate_tombstones (
    aggregate_id TEXT PRIMARY KEY,
    reason TEXT NOT NULL,
    closed_by TEXT NOT NULL,
    closed_at TEXT NOT NULL
) WITHOUT ROWID;
CREATE TRIGGER aggregate_tombstones_refuses_update BEFORE UPDATE ON aggregate_tombstones
BEGIN
    SELECT RAISE(ABORT, 'UPDATE on aggregate_tombstones is refused: it tells what was done');
END;
CREATE TRIGGER aggregate_tombstones_refuses_delete BEFORE DELETE ON aggregate_tombstones
BEGIN
    SELECT RAISE(ABORT, 'DELETE on aggregate_tombstones is refused: it tells what was done');
END;
