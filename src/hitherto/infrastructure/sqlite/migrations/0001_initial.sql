CREATE TABLE event_store (
    global_position INTEGER PRIMARY KEY AUTOINCREMENT,
    event_id TEXT NOT NULL UNIQUE,
    event_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    aggregate_type TEXT NOT NULL,
    event_version INTEGER NOT NULL,
    schema_version INTEGER NOT NULL DEFAULT 1,
    event_data TEXT NOT NULL,
    metadata TEXT,
    occurred_at TEXT NOT NULL,
    created_at TEXT NOT NULL
);
CREATE UNIQUE INDEX idx_event_store_aggregate_version
    ON event_store (aggregate_id, event_version);
CREATE INDEX idx_event_store_aggregate_type ON event_store (aggregate_type, global_position);
CREATE INDEX idx_event_store_event_type ON event_store (event_type, global_position);
CREATE INDEX idx_event_store_occurred_at ON event_store (occurred_at);

CREATE TABLE aggregate_snapshots (
    aggregate_id TEXT NOT NULL PRIMARY KEY,
    aggregate_type TEXT NOT NULL,
    version INTEGER NOT NULL,
    fingerprint TEXT NOT NULL,
    snapshot_data TEXT NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now'))
);

CREATE TRIGGER event_store_refuses_update BEFORE UPDATE ON event_store
BEGIN
    SELECT RAISE(ABORT, 'UPDATE on event_store is refused: events are never changed');
END;
CREATE TRIGGER event_store_refuses_delete BEFORE DELETE ON event_store
BEGIN
    SELECT RAISE(ABORT, 'DELETE on event_store is refused: events are never changed');
END;
