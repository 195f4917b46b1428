-- name: event
SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data, metadata, occurred_at, created_at
FROM event_store_and_archive WHERE event_id = ?

-- name: search
-- A part of the log: what matches the filters, in an order.
SELECT global_position, event_id, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data, metadata, occurred_at, created_at
FROM event_store_and_archive WHERE global_position > ? AND global_position <= ? {filters}
ORDER BY global_position {order} LIMIT ?

-- name: names
-- The stored names, of which each is the next one in an index: no event is looked at.
WITH RECURSIVE event (name) AS (
    SELECT * FROM (SELECT event_type FROM event_store_and_archive ORDER BY event_type LIMIT 1)
    UNION ALL
    SELECT (SELECT event_type FROM event_store_and_archive
            WHERE event_type > event.name ORDER BY event_type LIMIT 1)
    FROM event WHERE event.name IS NOT NULL
), aggregate (name) AS (
    SELECT * FROM (SELECT aggregate_type FROM event_store_and_archive ORDER BY aggregate_type LIMIT 1)
    UNION ALL
    SELECT (SELECT aggregate_type FROM event_store_and_archive
            WHERE aggregate_type > aggregate.name ORDER BY aggregate_type LIMIT 1)
    FROM aggregate WHERE aggregate.name IS NOT NULL
)
SELECT 'event', name FROM event WHERE name IS NOT NULL
UNION ALL
SELECT 'aggregate', name FROM aggregate WHERE name IS NOT NULL

-- name: kinds
-- Events and bytes of each kind: of all, of the last 7 days (from ?1 on) and 30 days (from ?2 on).
SELECT aggregate_type, event_type, count(*), sum(size),
       count(*) FILTER (WHERE created_at >= ?1),
       coalesce(sum(size) FILTER (WHERE created_at >= ?1), 0),
       count(*) FILTER (WHERE created_at >= ?2),
       coalesce(sum(size) FILTER (WHERE created_at >= ?2), 0)
FROM (SELECT aggregate_type, event_type, created_at,
             octet_length(event_data) + coalesce(octet_length(metadata), 0) AS size
      FROM event_store_and_archive)
GROUP BY aggregate_type, event_type ORDER BY aggregate_type, event_type

-- name: lengths
-- The aggregates with the most events (so many, ?2), those with the most after their snapshot (of
-- ?1 at least), and how many there are, of all and of those.
WITH head AS MATERIALIZED (
    SELECT aggregate_id, max(event_version) AS events FROM event_store GROUP BY aggregate_id
), length AS MATERIALIZED (
    SELECT head.aggregate_id, head.events, snapshot.version AS snapshot,
           head.events - coalesce(snapshot.version, 0) AS since
    FROM head LEFT JOIN aggregate_snapshots AS snapshot USING (aggregate_id)
)
SELECT found.list, found.aggregate_id,
       (SELECT aggregate_type FROM event_store AS event
        WHERE event.aggregate_id = found.aggregate_id AND event.event_version = found.events),
       found.events, found.snapshot
FROM (
    SELECT * FROM (SELECT 'longest' AS list, aggregate_id, events, snapshot FROM length
                   ORDER BY events DESC, aggregate_id LIMIT ?2)
    UNION ALL
    SELECT * FROM (SELECT 'wanting', aggregate_id, events, snapshot FROM length
                   WHERE since >= ?1 ORDER BY since DESC, aggregate_id LIMIT ?2)
    UNION ALL
    SELECT 'count', NULL, count(*), count(*) FILTER (WHERE since >= ?1) FROM length
) AS found

-- name: relations
-- What takes the file's pages.
SELECT coalesce(made.type, 'table'), coalesce(made.tbl_name, page.name), page.name,
       sum(page.pgsize)
FROM dbstat('main', 1) AS page LEFT JOIN sqlite_master AS made ON made.name = page.name
GROUP BY page.name
ORDER BY coalesce(made.tbl_name, page.name), coalesce(made.type, 'table') DESC, page.name

-- name: file_size
SELECT page_count * page_size FROM pragma_page_count, pragma_page_size
