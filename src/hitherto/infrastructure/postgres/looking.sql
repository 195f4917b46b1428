-- name: event
SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data::text, metadata::text, occurred_at, created_at
FROM {schema}.event_store_and_archive WHERE event_id = $1

-- name: watermark
-- In a statement of its own, before that which reads up to it.
SELECT watermark FROM {schema}.read_watermark()

-- name: search
-- A part of the log: what matches the filters, in an order.
SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data::text, metadata::text, occurred_at, created_at
FROM {schema}.event_store_and_archive
WHERE global_position > $1 AND global_position <= $2 {filters}
ORDER BY global_position {order} LIMIT $3

-- name: names
-- The stored names, of which each is the next one in an index: no event is looked at.
WITH RECURSIVE event (name) AS (
    (SELECT event_type::text FROM {schema}.event_store_and_archive ORDER BY event_type LIMIT 1)
    UNION ALL
    SELECT (SELECT event_type::text FROM {schema}.event_store_and_archive
            WHERE event_type > event.name ORDER BY event_type LIMIT 1)
    FROM event WHERE event.name IS NOT NULL
), aggregate (name) AS (
    (SELECT aggregate_type::text FROM {schema}.event_store_and_archive ORDER BY aggregate_type LIMIT 1)
    UNION ALL
    SELECT (SELECT aggregate_type::text FROM {schema}.event_store_and_archive
            WHERE aggregate_type > aggregate.name ORDER BY aggregate_type LIMIT 1)
    FROM aggregate WHERE aggregate.name IS NOT NULL
)
SELECT 'event', name FROM event WHERE name IS NOT NULL
UNION ALL
SELECT 'aggregate', name FROM aggregate WHERE name IS NOT NULL

-- name: kinds
-- Events and bytes of each kind: of all, of the last 7 days (from $1 on) and 30 days (from $2 on).
-- The bytes are those on the disk, compressed where they are.
SELECT aggregate_type, event_type, count(*), sum(size),
       count(*) FILTER (WHERE created_at >= $1),
       coalesce(sum(size) FILTER (WHERE created_at >= $1), 0),
       count(*) FILTER (WHERE created_at >= $2),
       coalesce(sum(size) FILTER (WHERE created_at >= $2), 0)
FROM (SELECT aggregate_type, event_type, created_at,
             pg_column_size(event_data) + coalesce(pg_column_size(metadata), 0) AS size
      FROM {schema}.event_store_and_archive) AS event
GROUP BY aggregate_type, event_type ORDER BY aggregate_type, event_type

-- name: lengths
-- The aggregates with the most events (so many, $2), those with the most after their snapshot (of
-- $1 at least), and how many there are, of all and of those.
WITH head AS MATERIALIZED (
    SELECT aggregate_id, max(event_version) AS events
    FROM {schema}.event_store GROUP BY aggregate_id
), length AS MATERIALIZED (
    SELECT head.aggregate_id, head.events, snapshot.version AS snapshot,
           head.events - coalesce(snapshot.version, 0) AS since
    FROM head LEFT JOIN {schema}.aggregate_snapshots AS snapshot USING (aggregate_id)
)
SELECT found.list, found.aggregate_id,
       (SELECT aggregate_type FROM {schema}.event_store AS event
        WHERE event.aggregate_id = found.aggregate_id AND event.event_version = found.events),
       found.events, found.snapshot
FROM (
    (SELECT 'longest' AS list, aggregate_id, events, snapshot FROM length
     ORDER BY events DESC, aggregate_id LIMIT $2)
    UNION ALL
    (SELECT 'wanting', aggregate_id, events, snapshot FROM length
     WHERE since >= $1::int ORDER BY since DESC, aggregate_id LIMIT $2)
    UNION ALL
    SELECT 'count', NULL, count(*), count(*) FILTER (WHERE since >= $1::int) FROM length
) AS found

-- name: relations
-- The store's tables, and how often each of their indexes was used. The schema may hold tables of
-- others.
SELECT kind, owner AS table, name, size, scans
FROM pg_stat_user_tables AS t
CROSS JOIN LATERAL (
    SELECT 'table' AS kind, t.relname AS owner, t.relname AS name,
           pg_table_size(t.relid) AS size, NULL::bigint AS scans
    UNION ALL
    SELECT 'index', t.relname, i.indexrelname, pg_relation_size(i.indexrelid), i.idx_scan
    FROM pg_stat_user_indexes AS i WHERE i.relid = t.relid
) AS relation
WHERE t.schemaname = $1
  AND t.relname ~ '^(event_store|event_archive|aggregate|projection|process|handled|hitherto)(_|$)'
ORDER BY owner, kind DESC, name

-- name: log
-- Up to where it can be read, what is held back, and by how many appends.
SELECT watermark, held_back, (SELECT count(*) FROM {schema}.registered_appends()) AS open_appends
FROM {schema}.read_watermark()
