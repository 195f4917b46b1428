-- Statements that run on connections of other people's, through any driver, whatever types these
-- have taught it: what is no number or text comes and goes as text.

-- name: look
-- How the transaction isolates, and whose tables it sees.
SELECT current_setting('transaction_isolation'),
       concat_ws('/', current_database(), '{schema_text}.event_store'::regclass::oid,
                 extract(epoch FROM min(applied_at)))
FROM {schema}.hitherto_migrations

-- name: append_together
SELECT * FROM {schema}.append_together(
    $1::text[], $2::text[], $3::int[], $4::int[], $5::text[]::uuid[], $6::text[], $7::int[],
    $8::int[], $9::text[]::jsonb[], $10::text[]::jsonb[], $11::text[]::timestamptz[],
    $12::text[]::bytea[])

-- name: append_alongside
SELECT * FROM {schema}.append_alongside(
    $1::text[], $2::text[], $3::int[], $4::int[], $5::text[]::uuid[], $6::text[], $7::int[],
    $8::int[], $9::text[]::jsonb[], $10::text[]::jsonb[], $11::text[]::timestamptz[],
    content_hashes => $12::text[]::bytea[], message_scope => $13::text, messages => $14::text[],
    fired_processes => $15::text[], fired_instances => $16::text[], fired_names => $17::text[],
    fired_due => $18::text[]::timestamptz[], timer_processes => $19::text[],
    timer_instances => $20::text[], timer_names => $21::text[],
    timer_due => $22::text[]::timestamptz[], inline_names => $23::text[],
    inline_versions => $24::int[])

-- name: told
-- What a query gives of events; times are microseconds since 1970.
SELECT global_position, event_id::text, event_type, schema_version, aggregate_id, aggregate_type,
       event_version, event_data, metadata,
       (extract(epoch FROM least(greatest(occurred_at, '0001-01-01 00:00:00Z'),
                                 '9999-12-31 23:59:59.999999Z')) * 1000000)::int8,
       (extract(epoch FROM least(greatest(created_at, '0001-01-01 00:00:00Z'),
                                 '9999-12-31 23:59:59.999999Z')) * 1000000)::int8
FROM ({query}) AS event
ORDER BY global_position {direction}

-- name: save_snapshot
INSERT INTO {schema}.aggregate_snapshots AS kept
    (aggregate_id, aggregate_type, version, fingerprint, snapshot_data)
VALUES ($1, $2, $3, $4, $5::text::json)
ON CONFLICT (aggregate_id) DO UPDATE
SET aggregate_type = excluded.aggregate_type, version = excluded.version,
    fingerprint = excluded.fingerprint, snapshot_data = excluded.snapshot_data, created_at = now()
WHERE kept.version < excluded.version OR kept.version = $6::int
RETURNING 1
