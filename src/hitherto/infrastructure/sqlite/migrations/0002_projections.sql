-- How far each projection has come, who works on it, and the documents of its views. Columns that
-- end in _until are seconds since 1970, by the clock of the host; other times are texts in UTC.

-- One filling of a projection's view. A rebuild makes the next one, beside the active one.
CREATE TABLE projection_generations (
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    version INTEGER NOT NULL,
    state TEXT NOT NULL CHECK (state IN ('filling', 'active', 'retired')),
    paused INTEGER NOT NULL DEFAULT 0,
    inline INTEGER NOT NULL DEFAULT 0,
    partitions INTEGER NOT NULL,
    created_at TEXT NOT NULL DEFAULT (strftime('%Y-%m-%dT%H:%M:%fZ', 'now')),
    PRIMARY KEY (name, generation)
) WITHOUT ROWID;
CREATE UNIQUE INDEX idx_projection_generations_current
    ON projection_generations (name, state) WHERE state <> 'retired';

-- The log is divided by aggregate id; each partition has a checkpoint and at most one worker.
CREATE TABLE projection_checkpoints (
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    position INTEGER NOT NULL DEFAULT 0,
    event_id TEXT,
    handled INTEGER NOT NULL DEFAULT 0,
    attempts INTEGER NOT NULL DEFAULT 0,
    silent_until INTEGER NOT NULL DEFAULT 0,
    token INTEGER NOT NULL DEFAULT 0,
    worker TEXT,
    leased_until REAL NOT NULL DEFAULT 0,
    updated_at TEXT,
    PRIMARY KEY (name, generation, partition)
) WITHOUT ROWID;

-- Who shares a generation's partitions.
CREATE TABLE projection_workers (
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    worker TEXT NOT NULL,
    alive_until REAL NOT NULL,
    PRIMARY KEY (name, generation, worker)
) WITHOUT ROWID;

-- Events that could not be handled, and those of the same aggregates that wait behind them.
CREATE TABLE projection_parked_events (
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    position INTEGER NOT NULL,
    partition INTEGER NOT NULL,
    event_id TEXT NOT NULL,
    event_type TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    event_version INTEGER NOT NULL,
    attempts INTEGER NOT NULL,
    error TEXT,
    retry INTEGER NOT NULL DEFAULT 0,
    parked_at TEXT NOT NULL,
    PRIMARY KEY (name, generation, position)
);

CREATE TABLE projection_documents (
    name TEXT NOT NULL,
    generation INTEGER NOT NULL,
    collection TEXT NOT NULL,
    key TEXT NOT NULL,
    partition INTEGER NOT NULL,
    document TEXT NOT NULL,
    PRIMARY KEY (name, generation, collection, key, partition)
);

-- Messages that an append has handled, so that none is twice.
CREATE TABLE handled_messages (
    scope TEXT NOT NULL,
    message_id TEXT NOT NULL,
    handled_at TEXT NOT NULL,
    PRIMARY KEY (scope, message_id)
) WITHOUT ROWID;
CREATE INDEX idx_handled_messages_handled_at ON handled_messages (scope, handled_at);

-- When processes are to be woken.
CREATE TABLE process_timers (
    process TEXT NOT NULL,
    aggregate_id TEXT NOT NULL,
    name TEXT NOT NULL,
    due TEXT NOT NULL,
    PRIMARY KEY (process, aggregate_id, name)
) WITHOUT ROWID;
CREATE INDEX idx_process_timers_due ON process_timers (process, due, aggregate_id, name);
