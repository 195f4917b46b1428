-- name: exists
SELECT 1 FROM sqlite_schema WHERE type = ? AND name = ?

-- name: other_outboxes
SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name GLOB 'hitherto_outbox_*'

-- name: columns
SELECT name, type, "notnull", pk, hidden FROM pragma_table_xinfo(?) WHERE hidden <> 1

-- name: unique_columns
-- The only columns of whole unique indexes.
SELECT max(i.name) FROM pragma_index_list(?1) AS l, pragma_index_info(l.name) AS i
WHERE l."unique" AND NOT l.partial GROUP BY l.name HAVING count(*) = 1

-- name: without_key
SELECT 1 FROM {table} WHERE {key} IS NULL LIMIT 1

-- name: count
SELECT count(*) FROM {table}

-- name: page
SELECT {columns}, CAST(t.{key} AS TEXT),
       (SELECT group_concat(o.change_id) FROM {outbox} AS o WHERE o.key = CAST(t.{key} AS TEXT))
FROM {table} AS t WHERE {after} ORDER BY t.{key} LIMIT ?1

-- name: page_alone
SELECT {columns}, CAST(t.{key} AS TEXT), NULL
FROM {table} AS t WHERE {after} ORDER BY t.{key} LIMIT ?1

-- name: rows
SELECT {columns}, CAST(t.{key} AS TEXT)
FROM {table} AS t WHERE t.{key} IN (SELECT value FROM json_each(?))

-- name: outbox
-- Values are kept in columns without a type, as they are: JSON has no blobs, and rounds numbers.
CREATE TABLE IF NOT EXISTS {outbox} (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    change_id TEXT NOT NULL DEFAULT (lower(hex(randomblob(16)))),
    key TEXT NOT NULL,
    was INTEGER NOT NULL,
    is_there INTEGER NOT NULL,
    error TEXT
);
CREATE INDEX IF NOT EXISTS {outbox_key} ON {outbox} (key);
CREATE INDEX IF NOT EXISTS {outbox_error} ON {outbox} (key) WHERE error IS NOT NULL;
CREATE TABLE IF NOT EXISTS hitherto_adopting (table_name TEXT PRIMARY KEY, key TEXT NOT NULL);

-- name: triggers
-- A row of hitherto_adopting is seen only in the transaction that writes back, and is gone with it.
-- What that sets off in other rows, such as ON DELETE CASCADE, is captured.
CREATE TRIGGER {insert} AFTER INSERT ON {table}
WHEN NOT EXISTS (SELECT 1 FROM hitherto_adopting
                 WHERE table_name = {name} AND key = CAST(NEW.{key} AS TEXT)) BEGIN
    INSERT INTO {outbox} (key, was, is_there, {after_names})
    VALUES (CAST(NEW.{key} AS TEXT), 0, 1, {new});
END;
CREATE TRIGGER {delete} AFTER DELETE ON {table}
WHEN NOT EXISTS (SELECT 1 FROM hitherto_adopting
                 WHERE table_name = {name} AND key = CAST(OLD.{key} AS TEXT)) BEGIN
    INSERT INTO {outbox} (key, was, is_there, {before_names})
    VALUES (CAST(OLD.{key} AS TEXT), 1, 0, {old});
END;
CREATE TRIGGER {update} AFTER UPDATE ON {table}
WHEN OLD.{key} IS NEW.{key}
     AND NOT EXISTS (SELECT 1 FROM hitherto_adopting
                 WHERE table_name = {name} AND key = CAST(NEW.{key} AS TEXT)) BEGIN
    INSERT INTO {outbox} (key, was, is_there, {before_names}, {after_names})
    VALUES (CAST(NEW.{key} AS TEXT), 1, 1, {old}, {new});
END;
CREATE TRIGGER {rekey} AFTER UPDATE ON {table}
WHEN OLD.{key} IS NOT NEW.{key}
     AND NOT EXISTS (SELECT 1 FROM hitherto_adopting
                 WHERE table_name = {name} AND key = CAST(NEW.{key} AS TEXT)) BEGIN
    INSERT INTO {outbox} (key, was, is_there, {before_names})
    VALUES (CAST(OLD.{key} AS TEXT), 1, 0, {old});
    INSERT INTO {outbox} (key, was, is_there, {after_names})
    VALUES (CAST(NEW.{key} AS TEXT), 0, 1, {new});
END;

-- name: drop_triggers
DROP TRIGGER IF EXISTS {insert};
DROP TRIGGER IF EXISTS {delete};
DROP TRIGGER IF EXISTS {update};
DROP TRIGGER IF EXISTS {rekey};

-- name: changes
SELECT id, change_id, key, was, is_there, {before_names}, {after_names}
FROM {outbox} AS w
WHERE NOT EXISTS (SELECT 1 FROM {outbox} AS r WHERE r.key = w.key AND r.error IS NOT NULL)
ORDER BY id LIMIT ?

-- name: finish
DELETE FROM {outbox} WHERE id IN (SELECT value FROM json_each(?))

-- name: refuse
UPDATE {outbox} SET error = ?2 WHERE id = ?1

-- name: refused
SELECT key, error, count(*) OVER () FROM {outbox} WHERE error IS NOT NULL ORDER BY id LIMIT ?

-- name: retry
UPDATE {outbox} SET error = NULL WHERE error IS NOT NULL

-- name: waiting
SELECT DISTINCT key FROM {outbox} WHERE key IN (SELECT value FROM json_each(?))

-- name: adopting
INSERT OR REPLACE INTO hitherto_adopting (table_name, key) VALUES ({name}, ?)

-- name: adopted
DELETE FROM hitherto_adopting WHERE table_name = {name}
