-- Appends, one round trip. Arrays come in: `ids`, `types` and `expected` with an element for each
-- append (sorted by id, no id twice), the others with an element for each event, of which
-- `append_of` names its append. A row for each append comes out:
--   n              which append, from 1
--   last_position  the position of its last event; NULL: it lost, nothing of it was written
-- and for one that lost, or that was there already,
--   standing       how many of its own leading events stand under their own ids
--   actual         the version of the aggregate
--   actual_type    its type
--
-- Only the first event of an append can meet a rival: whoever holds (id, expected + 1) owns what
-- follows. So the first events go in by ON CONFLICT DO NOTHING, which waits for a rival in flight,
-- and the rest of the winners' events after them.

CREATE FUNCTION {schema}.append_events(
    ids text[], types text[], expected int[],
    append_of int[], event_ids uuid[], event_types text[], schema_versions int[],
    versions int[], data jsonb[], metadata jsonb[], occurred_at timestamptz[]
)
RETURNS TABLE (n int, last_position bigint, standing int, actual int, actual_type text)
LANGUAGE plpgsql
SET lock_timeout = '100ms'
SET plan_cache_mode = force_generic_plan
AS $hitherto$
#variable_conflict use_column
DECLARE
    winners int[];
    positions bigint[];
BEGIN
    IF current_setting('transaction_isolation') <> 'read committed' THEN
        RAISE EXCEPTION 'an append needs the isolation level READ COMMITTED, not %',
            upper(current_setting('transaction_isolation')) USING ERRCODE = 'HH001';
    END IF;

    WITH inserted AS (
        INSERT INTO {schema}.event_store (
            event_id, event_type, aggregate_id, aggregate_type, event_version, schema_version,
            event_data, metadata, occurred_at)
        SELECT e.event_id, e.event_type, ids[e.a], types[e.a], e.version, e.schema_version,
            e.data, e.metadata, e.occurred_at
        FROM unnest(append_of, event_ids, event_types, schema_versions, versions, data, metadata,
                    occurred_at) WITH ORDINALITY
            AS e (a, event_id, event_type, schema_version, version, data, metadata,
                  occurred_at, place)
        WHERE e.version = expected[e.a] + 1
          AND (expected[e.a] = 0 OR EXISTS (
              SELECT FROM {schema}.event_store AS head
              WHERE head.aggregate_id = ids[e.a] AND head.event_version = expected[e.a]
                AND head.aggregate_type = types[e.a]))
        ORDER BY e.place
        ON CONFLICT (aggregate_id, event_version) DO NOTHING
        RETURNING aggregate_id, global_position
    )
    SELECT array_agg(array_position(ids, aggregate_id::text)), array_agg(global_position)
        INTO winners, positions FROM inserted;

    IF cardinality(append_of) > cardinality(ids) AND winners IS NOT NULL THEN
        WITH inserted AS (
            INSERT INTO {schema}.event_store (
                event_id, event_type, aggregate_id, aggregate_type, event_version, schema_version,
                event_data, metadata, occurred_at)
            SELECT e.event_id, e.event_type, ids[e.a], types[e.a], e.version, e.schema_version,
                e.data, e.metadata, e.occurred_at
            FROM unnest(append_of, event_ids, event_types, schema_versions, versions, data,
                        metadata, occurred_at) WITH ORDINALITY
                AS e (a, event_id, event_type, schema_version, version, data, metadata,
                      occurred_at, place)
            WHERE e.version > expected[e.a] + 1 AND e.a = ANY (winners)
            ORDER BY e.place
            RETURNING aggregate_id, global_position
        ), last AS (
            SELECT aggregate_id, max(global_position) AS position FROM inserted GROUP BY 1
        )
        SELECT array_agg(coalesce(last.position, winner.position) ORDER BY winner.place)
            INTO positions
            FROM unnest(winners, positions) WITH ORDINALITY AS winner (a, position, place)
            LEFT JOIN last ON last.aggregate_id = ids[winner.a];
    END IF;

    RETURN QUERY SELECT winner.a, winner.position, 0, NULL::int, NULL::text
        FROM unnest(winners, positions) AS winner (a, position);

    IF coalesce(cardinality(winners), 0) < cardinality(ids) THEN
        RETURN QUERY
        SELECT append.n::int, CASE WHEN own.stand = own.count THEN own.position END,
            own.stand::int, coalesce(head.event_version, 0), head.aggregate_type::text
        FROM unnest(ids) WITH ORDINALITY AS append (id, n)
        LEFT JOIN LATERAL (
            SELECT event_version, aggregate_type FROM {schema}.event_store
            WHERE aggregate_id = append.id ORDER BY event_version DESC LIMIT 1
        ) AS head ON true
        CROSS JOIN LATERAL (
            SELECT count(*) AS count, count(stored.event_id) AS stand,
                max(stored.global_position) AS position
            FROM unnest(append_of, event_ids, versions) AS e (a, event_id, version)
            LEFT JOIN {schema}.event_store AS stored
                ON stored.aggregate_id = append.id AND stored.event_version = e.version
                AND stored.event_id = e.event_id
            WHERE e.a = append.n
        ) AS own
        WHERE winners IS NULL OR append.n <> ALL (winners);

        -- What stands may be committed here but not yet on a synchronous standby: whoever wrote
        -- it was terminated while it waited. A record of our own, logged after it, makes this
        -- transaction wait for both; so a repeat is not acknowledged before it would outlive a
        -- failover. (An id alone, of pg_current_xact_id(), is no reason to wait.)
        IF EXISTS (SELECT FROM {schema}.event_store WHERE event_id = ANY (event_ids)) THEN
            PERFORM pg_logical_emit_message(true, 'hitherto', '');
        END IF;
    END IF;
END $hitherto$;

-- The same, but the appends win or lose together: when one has lost, the subtransaction rolls the
-- others back, and the rows tell which it was.
CREATE FUNCTION {schema}.append_together(
    ids text[], types text[], expected int[],
    append_of int[], event_ids uuid[], event_types text[], schema_versions int[],
    versions int[], data jsonb[], metadata jsonb[], occurred_at timestamptz[]
)
RETURNS TABLE (n int, last_position bigint, standing int, actual int, actual_type text)
LANGUAGE plpgsql
AS $hitherto$
DECLARE
    lost boolean := false;
BEGIN
    FOR n, last_position, standing, actual, actual_type IN
        SELECT * FROM {schema}.append_events(
            ids, types, expected, append_of, event_ids, event_types, schema_versions, versions,
            data, metadata, occurred_at)
    LOOP
        lost := lost OR last_position IS NULL;
        RETURN NEXT;
    END LOOP;
    IF lost THEN
        RAISE EXCEPTION USING ERRCODE = 'HH409', MESSAGE = 'an append of the group has lost';
    END IF;
EXCEPTION WHEN SQLSTATE 'HH409' THEN
    RETURN;
END $hitherto$;
