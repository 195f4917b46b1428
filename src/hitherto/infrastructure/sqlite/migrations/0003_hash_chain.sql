-- The hashes of events, for those who want a hash chain per aggregate. They have a table of their
-- own, so that this script, too, can be run again: SQLite cannot add a column IF NOT EXISTS.
CREATE TABLE event_hashes (
    global_position INTEGER PRIMARY KEY,
    content_hash BLOB NOT NULL,
    event_hash BLOB NOT NULL
) STRICT;

CREATE TRIGGER event_hashes_refuses_update BEFORE UPDATE ON event_hashes
BEGIN
    SELECT RAISE(ABORT, 'UPDATE on event_hashes is refused: hashes are never changed');
END;
CREATE TRIGGER event_hashes_refuses_delete BEFORE DELETE ON event_hashes
BEGIN
    SELECT RAISE(ABORT, 'DELETE on event_hashes is refused: hashes are never changed');
END;
