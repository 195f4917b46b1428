-- name: insert
INSERT INTO event_store (event_id, event_type, aggregate_id, aggregate_type, event_version,
    schema_version, event_data, metadata, occurred_at, created_at)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: insert_at
-- The same, at a position.
INSERT INTO event_store (event_id, event_type, aggregate_id, aggregate_type, event_version,
    schema_version, event_data, metadata, occurred_at, created_at, global_position)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: head
-- The version, the type, and whether it was closed for good.
SELECT event_version, aggregate_type,
       EXISTS (SELECT 1 FROM aggregate_tombstones AS t WHERE t.aggregate_id = e.aggregate_id)
FROM event_store AS e
WHERE aggregate_id = ? ORDER BY event_version DESC LIMIT 1

-- name: standing
-- What both tables are ordered by is selected too, else all of them is sorted.
SELECT event_id, global_position, event_version FROM event_store_and_archive
WHERE aggregate_id = ? AND event_version > ? ORDER BY event_version LIMIT ?

-- name: event_id
SELECT event_id FROM event_store_and_archive WHERE aggregate_id = ? AND event_version = ?

-- name: load
-- What is not in the archive; if the first version is missing, then the next query is run.
SELECT event_version, event_type, schema_version, event_data, aggregate_type FROM event_store
WHERE aggregate_id = ? AND event_version BETWEEN ? AND ? ORDER BY event_version

-- name: load_archived
SELECT event_version, event_type, schema_version, event_data, aggregate_type
FROM event_store_and_archive
WHERE aggregate_id = ? AND event_version BETWEEN ? AND ? ORDER BY event_version

-- name: read_forward
SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data, metadata, occurred_at, created_at
FROM event_store_and_archive WHERE aggregate_id = ? AND event_version BETWEEN ? AND ?
ORDER BY event_version LIMIT ?

-- name: read_backward
SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data, metadata, occurred_at, created_at
FROM event_store_and_archive WHERE aggregate_id = ? AND event_version BETWEEN ? AND ?
ORDER BY event_version DESC LIMIT ?

-- name: read_all
SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data, metadata, occurred_at, created_at
FROM event_store_and_archive WHERE global_position > ? {filters}
ORDER BY global_position LIMIT ?

-- name: watermark
-- The last event of all is the last one of its aggregate, and in no archive.
SELECT coalesce(max(global_position), 0) FROM event_store

-- name: archive
INSERT INTO event_archive SELECT * FROM event_store
WHERE aggregate_id = :id AND event_version < :head;
DELETE FROM event_store WHERE aggregate_id = :id AND event_version < :head RETURNING 1

-- name: restore
INSERT INTO event_store SELECT * FROM event_archive WHERE aggregate_id = :id;
DELETE FROM event_archive WHERE aggregate_id = :id RETURNING 1

-- name: tombstone
-- Unless there is one, or no such aggregate.
INSERT INTO aggregate_tombstones (aggregate_id, reason, closed_by, closed_at)
SELECT ?1, ?2, ?3, ?4 WHERE EXISTS (SELECT 1 FROM event_store WHERE aggregate_id = ?1)
ON CONFLICT (aggregate_id) DO NOTHING

-- name: tombstones
SELECT aggregate_id, reason, closed_by, closed_at FROM aggregate_tombstones
WHERE aggregate_id IN (SELECT value FROM json_each(?))

-- name: archived
-- They are the first ones, so the last one's version tells how many.
SELECT aggregate_id, max(event_version) FROM event_archive
WHERE aggregate_id IN (SELECT value FROM json_each(?)) GROUP BY aggregate_id

-- name: mark_handled
INSERT INTO handled_messages (scope, message_id, handled_at) VALUES (?, ?, ?)
ON CONFLICT DO NOTHING RETURNING 1

-- name: handled
SELECT message_id FROM handled_messages
WHERE scope = ? AND message_id IN (SELECT value FROM json_each(?))

-- name: forget_handled
-- So many at most (?3).
DELETE FROM handled_messages WHERE scope = ?1 AND message_id IN (
    SELECT message_id FROM handled_messages WHERE scope = ?1 AND handled_at < ?2
    ORDER BY handled_at LIMIT ?3) RETURNING 1

-- name: set_timer
INSERT INTO process_timers (process, aggregate_id, name, due) VALUES (?, ?, ?, ?)
ON CONFLICT DO UPDATE SET due = excluded.due

-- name: fire_timer
-- It is gone; no row if it does not stand as given.
DELETE FROM process_timers WHERE process = ? AND aggregate_id = ? AND name = ? AND due = ?
RETURNING 1

-- name: cancel_timer
DELETE FROM process_timers WHERE process = ? AND aggregate_id = ? AND name = ?

-- name: due_timers
SELECT aggregate_id, name, due FROM process_timers
WHERE process = ? AND due <= ? ORDER BY due, aggregate_id, name LIMIT ?

-- name: save_snapshot
INSERT INTO aggregate_snapshots AS kept
    (aggregate_id, aggregate_type, version, fingerprint, snapshot_data)
VALUES (?, ?, ?, ?, ?)
ON CONFLICT (aggregate_id) DO UPDATE
SET aggregate_type = excluded.aggregate_type, version = excluded.version,
    fingerprint = excluded.fingerprint, snapshot_data = excluded.snapshot_data,
    created_at = excluded.created_at
WHERE kept.version < excluded.version OR typeof(kept.version) <> 'integer' OR kept.version = ?
RETURNING 1

-- name: read_snapshot
SELECT aggregate_id, aggregate_type, version, fingerprint, CAST(snapshot_data AS BLOB)
FROM aggregate_snapshots WHERE aggregate_id = ?

-- name: aggregate_ids
-- A page of the ids of one aggregate type. (The + keeps SQLite from sorting all events of the type.)
SELECT aggregate_id FROM event_store_and_archive
WHERE event_version = 1 AND +aggregate_type = ? AND aggregate_id > ?
ORDER BY aggregate_id LIMIT ?

-- name: snapshot_ids
-- A page of the ids of one aggregate type that have a snapshot.
SELECT aggregate_id FROM aggregate_snapshots
WHERE aggregate_type = ? AND aggregate_id > ?
ORDER BY aggregate_id LIMIT ?

-- name: values
-- What a row must hold so that it can be read, the types of its other columns aside.
SELECT aggregate_id, event_version, global_position, event_id, occurred_at, created_at
FROM event_store_and_archive

-- name: inspect_types
-- Each inspection gives a row for each place where something is wrong: kind, aggregate id, version,
-- position, and what else is to be told. This one: SQLite lets a column take values of any type.
SELECT 'value-malformed', aggregate_id, event_version, global_position,
       'a column holds a value of another type than its own'
FROM event_store_and_archive
WHERE typeof(event_version) <> 'integer' OR typeof(schema_version) <> 'integer'
   OR typeof(event_type) <> 'text' OR typeof(aggregate_id) <> 'text'
   OR typeof(aggregate_type) <> 'text' OR typeof(event_data) <> 'text'
   OR typeof(metadata) NOT IN ('text', 'null')

-- name: inspect_snapshot_types
SELECT 'snapshot-malformed', CAST(aggregate_id AS BLOB), NULL, NULL,
       'a column holds a value of another type than its own'
FROM aggregate_snapshots
WHERE typeof(version) <> 'integer' OR typeof(aggregate_id) <> 'text'
   OR typeof(aggregate_type) <> 'text' OR typeof(fingerprint) <> 'text'
   OR typeof(snapshot_data) <> 'text'

-- name: texts
-- All texts of a row as bytes, for SQLite does not look whether they are UTF-8.
SELECT 'value-malformed', CAST(aggregate_id AS BLOB), global_position,
       CAST(concat_ws(char(10), aggregate_id, aggregate_type, event_type, event_version,
                      schema_version, event_id, event_data, metadata, occurred_at, created_at)
            AS BLOB)
FROM event_store_and_archive
WHERE 'blob' NOT IN (typeof(aggregate_id), typeof(aggregate_type), typeof(event_type),
    typeof(event_version), typeof(schema_version), typeof(event_id), typeof(event_data),
    typeof(metadata), typeof(occurred_at), typeof(created_at))
UNION ALL
SELECT 'snapshot-malformed', CAST(aggregate_id AS BLOB), NULL,
       CAST(concat_ws(char(10), aggregate_id, aggregate_type, version, fingerprint, snapshot_data)
            AS BLOB)
FROM aggregate_snapshots
WHERE 'blob' NOT IN (typeof(aggregate_id), typeof(aggregate_type), typeof(version),
    typeof(fingerprint), typeof(snapshot_data))

-- name: inspect_schema_versions
SELECT 'schema-version-out-of-range', aggregate_id, event_version, global_position, schema_version
FROM event_store_and_archive WHERE schema_version < 1

-- name: inspect_data
SELECT 'data-not-object', aggregate_id, event_version, global_position, kind
FROM (SELECT *, CASE WHEN json_valid(event_data) THEN json_type(event_data)
                     ELSE 'not JSON' END AS kind
      FROM event_store_and_archive)
WHERE kind <> 'object'

-- name: inspect_metadata
SELECT 'metadata-not-object', aggregate_id, event_version, global_position, kind
FROM (SELECT *, CASE WHEN json_valid(metadata) THEN json_type(metadata)
                     ELSE 'not JSON' END AS kind
      FROM event_store_and_archive WHERE metadata IS NOT NULL)
WHERE kind <> 'object'

-- name: inspect_event_ids
SELECT 'event-id-twice', aggregate_id, event_version, global_position, event_id
FROM event_store_and_archive
WHERE event_id IN (SELECT event_id FROM event_store_and_archive GROUP BY event_id HAVING count(*) > 1)

-- name: inspect_positions
SELECT 'position-out-of-range', aggregate_id, event_version, global_position, NULL
FROM event_store_and_archive WHERE global_position < 1
UNION ALL
SELECT 'position-twice', aggregate_id, event_version, global_position, NULL
FROM event_store_and_archive
WHERE global_position IN
    (SELECT global_position FROM event_store_and_archive GROUP BY global_position HAVING count(*) > 1)

-- name: inspect_sequence
SELECT 'position-above-sequence', aggregate_id, event_version, global_position, given.latest
FROM event_store_and_archive, (SELECT coalesce(max(seq), 0) AS latest FROM sqlite_sequence
                   WHERE name = 'event_store') AS given
WHERE global_position > given.latest

-- name: inspect_hashes
SELECT 'events-missing', NULL, NULL, global_position,
       'there is no event at position ' || global_position || ', though there is its hash'
FROM event_hashes WHERE global_position NOT IN (SELECT global_position FROM event_store_and_archive)

-- name: inspect_versions
-- One walk along the streams; most rows are as they should be.
WITH step AS (
    SELECT aggregate_id, event_version, global_position, aggregate_type,
           lag(event_version, 1, 0) OVER stream AS head,
           lag(event_version) OVER stream AS before,
           lag(aggregate_type) OVER stream AS type_before
    FROM event_store_and_archive
    WINDOW stream AS (PARTITION BY aggregate_id ORDER BY event_version)
)
SELECT kind, aggregate_id, event_version, global_position,
       CASE kind WHEN 'version-gap' THEN head WHEN 'type-mixed' THEN aggregate_type END
FROM step JOIN (SELECT 'version-out-of-range' AS kind UNION ALL SELECT 'version-twice'
                UNION ALL SELECT 'version-gap' UNION ALL SELECT 'type-mixed') AS damage
WHERE (event_version <> head + 1 OR event_version < 1 OR aggregate_type <> type_before)
  AND CASE kind WHEN 'version-out-of-range' THEN event_version < 1
                WHEN 'version-twice' THEN event_version = before
                WHEN 'version-gap' THEN event_version > max(head, 0) + 1
                ELSE aggregate_type <> type_before END

-- name: inspect_snapshots
WITH step AS (
    SELECT snapshot.*, max(event.event_version) AS head,
           max(event.aggregate_type = snapshot.aggregate_type) AS of_this_type
    FROM aggregate_snapshots AS snapshot LEFT JOIN event_store AS event USING (aggregate_id)
    WHERE typeof(snapshot.version) = 'integer' AND typeof(snapshot.aggregate_id) = 'text'
      AND typeof(snapshot.aggregate_type) = 'text' AND typeof(snapshot.snapshot_data) = 'text'
    GROUP BY snapshot.rowid
)
SELECT kind, aggregate_id, version, NULL,
       CASE kind WHEN 'snapshot-of-another-type' THEN aggregate_type ELSE head END
FROM step JOIN (SELECT 'snapshot-without-events' AS kind UNION ALL SELECT 'snapshot-ahead'
                UNION ALL SELECT 'snapshot-of-another-type'
                UNION ALL SELECT 'snapshot-out-of-range'
                UNION ALL SELECT 'snapshot-not-json') AS damage
WHERE CASE kind WHEN 'snapshot-without-events' THEN head IS NULL
                WHEN 'snapshot-ahead' THEN version > head
                WHEN 'snapshot-of-another-type' THEN NOT of_this_type
                WHEN 'snapshot-out-of-range' THEN head IS NOT NULL AND version < 1
                ELSE head IS NOT NULL AND NOT json_valid(snapshot_data) END

-- name: inspect_snapshot_ids
SELECT 'snapshot-twice', aggregate_id, NULL, NULL, count(*)
FROM aggregate_snapshots GROUP BY aggregate_id HAVING count(*) > 1

-- name: inspect_archive
-- What is in the archive comes before what is not, and there is something that is not.
SELECT 'archive-misplaced', aggregate_id, last, NULL,
       coalesce('version ' || first || ' is not', 'there is no later one')
FROM (SELECT aggregate_id, max(event_version) AS last,
             (SELECT min(event_version) FROM event_store AS rest
              WHERE rest.aggregate_id = archived.aggregate_id) AS first
      FROM event_archive AS archived GROUP BY aggregate_id)
WHERE last >= coalesce(first, 0)
