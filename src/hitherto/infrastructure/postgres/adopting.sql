-- name: table
-- A table, as the search path tells.
SELECT c.oid::bigint AS oid, n.nspname, c.relname, c.relkind::text
FROM pg_class AS c JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE c.oid = to_regclass($1)

-- name: columns
-- Of a virtual one also how it is computed, for a trigger is not told its value; and whether JSON is
-- made by a cast of the type's own, as of hstore, which the type cannot read.
SELECT attname, format_type(atttypid, NULL) AS type, attgenerated <> '' AS generated,
       CASE attgenerated::text WHEN 'v' THEN pg_get_expr(d.adbin, d.adrelid) END AS computed,
       EXISTS (SELECT FROM pg_cast AS c
               WHERE c.castsource = atttypid AND c.casttarget = 'json'::regtype
                 AND c.castmethod = 'f' AND c.oid >= 16384) AS has_json
FROM pg_attribute LEFT JOIN pg_attrdef AS d ON d.adrelid = attrelid AND d.adnum = attnum
WHERE attrelid = $1::bigint::oid AND attnum > 0 AND NOT attisdropped
ORDER BY attnum

-- name: is_unique
SELECT a.attnotnull AND EXISTS (
    SELECT FROM pg_index AS i
    WHERE i.indrelid = a.attrelid AND i.indisunique AND i.indimmediate AND i.indisvalid
      AND i.indpred IS NULL AND i.indnkeyatts = 1 AND i.indkey[0] = a.attnum)
FROM pg_attribute AS a WHERE a.attrelid = $1::bigint::oid AND a.attname = $2

-- name: is_captured
SELECT EXISTS (
    SELECT FROM pg_trigger
    WHERE tgrelid = $1::bigint::oid AND tgname = '0_hitherto_capture' AND tgenabled <> 'D')

-- name: is_inherited
-- Not by partitions, to which triggers pass on.
SELECT EXISTS (
    SELECT FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = $1::bigint::oid AND NOT c.relispartition)

-- name: count
SELECT count(*) FROM {table}

-- name: page
-- In one statement, so that the changes are those that the rows contain.
SELECT {columns}, ARRAY(SELECT o.change_id::text FROM {outbox} AS o WHERE o.key = t.{key}::text)
FROM {table} AS t WHERE {after} ORDER BY t.{key} LIMIT $1

-- name: page_alone
SELECT {columns}, ARRAY[]::text[]
FROM {table} AS t WHERE {after} ORDER BY t.{key} LIMIT $1

-- name: rows
SELECT {columns} FROM {table} AS t WHERE t.{key} = ANY($1::{key_type}[])

-- name: rows_locked
-- In one order, so that no two of these wait for each other; not in the way of foreign keys.
SELECT {columns} FROM {table} AS t WHERE t.{key} = ANY($1::{key_type}[])
ORDER BY t.{key} FOR NO KEY UPDATE

-- name: install
-- Triggers fire by name: this one before what writes the row once more. JSON is kept as text: JSONB
-- would refuse some that a column of type json takes, and so the write. Values are told in full,
-- whatever the session of who writes has set.
CREATE TABLE IF NOT EXISTS {outbox} (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    change_id uuid NOT NULL DEFAULT gen_random_uuid(),
    key text NOT NULL,
    before json,
    after json,
    error text
);
CREATE INDEX IF NOT EXISTS {outbox_key} ON {outbox} (key);
CREATE INDEX IF NOT EXISTS {outbox_error} ON {outbox} (key) WHERE error IS NOT NULL;
CREATE OR REPLACE FUNCTION {function}() RETURNS trigger
LANGUAGE plpgsql SECURITY DEFINER SET search_path = pg_catalog, pg_temp
SET extra_float_digits = 1 SET intervalstyle = 'postgres' AS $function$
BEGIN
    IF TG_OP = 'TRUNCATE' THEN
        RAISE EXCEPTION 'changes of % are captured by hitherto, which TRUNCATE would elude', TG_TABLE_NAME
            USING HINT = 'DELETE the rows, or remove the capture first: hitherto adopt … --capture remove';
    -- What a write of hitherto's sets off in other rows, such as ON DELETE CASCADE, is captured.
    ELSIF current_setting('hitherto.adopting', true) IS NOT DISTINCT FROM
          ({name} || ' ' || CASE TG_OP WHEN 'DELETE' THEN OLD.{key}::text ELSE NEW.{key}::text END)
    THEN
        NULL;
    ELSIF TG_OP = 'INSERT' THEN
        INSERT INTO {outbox} (key, after) VALUES (NEW.{key}::text, {new});
    ELSIF TG_OP = 'DELETE' THEN
        INSERT INTO {outbox} (key, before) VALUES (OLD.{key}::text, {old});
    ELSIF OLD.{key} = NEW.{key} THEN
        INSERT INTO {outbox} (key, before, after)
        VALUES (NEW.{key}::text, {old}, {new});
    ELSE
        INSERT INTO {outbox} (key, before) VALUES (OLD.{key}::text, {old});
        INSERT INTO {outbox} (key, after) VALUES (NEW.{key}::text, {new});
    END IF;
    RETURN NULL;
END $function$;
REVOKE ALL ON FUNCTION {function}() FROM PUBLIC;
DROP TRIGGER IF EXISTS "0_hitherto_capture" ON {table};
DROP TRIGGER IF EXISTS "0_hitherto_truncate" ON {table};
CREATE TRIGGER "0_hitherto_capture" AFTER INSERT OR UPDATE OR DELETE ON {table}
    FOR EACH ROW EXECUTE FUNCTION {function}();
CREATE TRIGGER "0_hitherto_truncate" BEFORE TRUNCATE ON {table}
    FOR EACH STATEMENT EXECUTE FUNCTION {function}();

-- name: remove
DROP TRIGGER IF EXISTS "0_hitherto_capture" ON {table};
DROP TRIGGER IF EXISTS "0_hitherto_truncate" ON {table};
DROP FUNCTION IF EXISTS {function}();
DROP TABLE IF EXISTS {outbox};

-- name: changes
-- The table's own types read the JSON.
SELECT o.id, o.change_id::text, o.key, o.before IS NOT NULL, o.after IS NOT NULL,
       {before_columns}, {after_columns}
FROM (SELECT * FROM {outbox} AS w
      WHERE NOT EXISTS (SELECT FROM {outbox} AS r WHERE r.key = w.key AND r.error IS NOT NULL)
      ORDER BY id LIMIT $1) AS o
     LEFT JOIN LATERAL (
         SELECT {told_columns} FROM json_populate_record(NULL::{table}, o.before) AS r
         WHERE o.before IS NOT NULL) AS b ON true
     LEFT JOIN LATERAL (
         SELECT {told_columns} FROM json_populate_record(NULL::{table}, o.after) AS r
         WHERE o.after IS NOT NULL) AS a ON true
ORDER BY o.id

-- name: finish
DELETE FROM {outbox} WHERE id = ANY($1::bigint[])

-- name: refuse
UPDATE {outbox} SET error = $2 WHERE id = $1

-- name: refused
SELECT key, error, count(*) OVER () FROM {outbox} WHERE error IS NOT NULL ORDER BY id LIMIT $1

-- name: retry
UPDATE {outbox} SET error = NULL WHERE error IS NOT NULL

-- name: waiting
SELECT DISTINCT key FROM {outbox} WHERE key = ANY($1::text[])

-- name: settle
-- The lock's patience is for others that settle; rows are waited for a moment only, so that no
-- writer of the table ends in a deadlock for it.
SELECT set_config('lock_timeout', '2s', true),
       set_config('idle_in_transaction_session_timeout', '10s', true)

-- name: settle_alone
SELECT pg_advisory_xact_lock(hashtextextended('hitherto.adopt', $1::bigint)),
       set_config('lock_timeout', '100ms', true)

-- name: adopting
-- Of which row the next write is hitherto's.
SELECT set_config('hitherto.adopting', $1, true)
