-- Three roles for this store. None can log in: make those that do members of one of them. The
-- script may be run again at any time, and is to be after each migration: the writer and the
-- reader then have these rights on the store, and no others.
BEGIN;
SELECT pg_advisory_xact_lock(hashtextextended('hitherto.migrate', 0));

DO $roles$ BEGIN
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {owner_text}) THEN
        CREATE ROLE {owner} NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {writer_text}) THEN
        CREATE ROLE {writer} NOLOGIN;
    END IF;
    IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = {reader_text}) THEN
        CREATE ROLE {reader} NOLOGIN;
    END IF;
    -- Who is no superuser can give what it has only to a role of which it is a member.
    IF NOT pg_has_role({owner_text}, 'USAGE') THEN
        GRANT {owner} TO CURRENT_USER;
    END IF;
END $roles$;

-- The owner has the tables and may migrate them. It could also take the guards off the events, so
-- no application should be it.
GRANT USAGE, CREATE ON SCHEMA {schema} TO {owner};
ALTER TABLE {schema}.hitherto_migrations OWNER TO {owner};
ALTER TABLE {schema}.event_store OWNER TO {owner};
ALTER TABLE {schema}.event_archive OWNER TO {owner};
ALTER VIEW {schema}.event_store_and_archive OWNER TO {owner};
ALTER TABLE {schema}.aggregate_snapshots OWNER TO {owner};
ALTER FUNCTION {schema}.refuse_change OWNER TO {owner};
ALTER FUNCTION {schema}.register_append OWNER TO {owner};
ALTER FUNCTION {schema}.registered_appends OWNER TO {owner};
ALTER FUNCTION {schema}.read_watermark OWNER TO {owner};
ALTER FUNCTION {schema}.append_events OWNER TO {owner};
ALTER FUNCTION {schema}.chain_event OWNER TO {owner};
ALTER FUNCTION {schema}.append_together OWNER TO {owner};
ALTER FUNCTION {schema}.await_appends OWNER TO {owner};
ALTER FUNCTION {schema}.archive_events OWNER TO {owner};
ALTER FUNCTION {schema}.restore_events OWNER TO {owner};
ALTER FUNCTION {schema}.tombstone_aggregate OWNER TO {owner};
ALTER FUNCTION {schema}.erase_event OWNER TO {owner};
ALTER TABLE {schema}.projection_generations OWNER TO {owner};
ALTER TABLE {schema}.projection_checkpoints OWNER TO {owner};
ALTER TABLE {schema}.projection_workers OWNER TO {owner};
ALTER TABLE {schema}.projection_parked_events OWNER TO {owner};
ALTER TABLE {schema}.projection_documents OWNER TO {owner};
ALTER TABLE {schema}.handled_messages OWNER TO {owner};
ALTER TABLE {schema}.process_timers OWNER TO {owner};
ALTER TABLE {schema}.aggregate_tombstones OWNER TO {owner};
ALTER TABLE {schema}.event_erasures OWNER TO {owner};
ALTER TABLE {schema}.personal_keys OWNER TO {owner};
ALTER FUNCTION {schema}.projection_lock OWNER TO {owner};
ALTER FUNCTION {schema}.attend_projection OWNER TO {owner};
ALTER FUNCTION {schema}.advance_projection OWNER TO {owner};
ALTER FUNCTION {schema}.append_alongside OWNER TO {owner};

REVOKE ALL ON SCHEMA {schema} FROM {writer}, {reader};
REVOKE ALL ON {schema}.hitherto_migrations, {schema}.event_store, {schema}.event_archive,
    {schema}.event_store_and_archive, {schema}.aggregate_snapshots,
    {schema}.projection_generations, {schema}.projection_checkpoints,
    {schema}.projection_workers, {schema}.projection_parked_events,
    {schema}.projection_documents, {schema}.handled_messages, {schema}.process_timers,
    {schema}.personal_keys, {schema}.event_erasures, {schema}.aggregate_tombstones
    FROM PUBLIC, {writer}, {reader};
REVOKE ALL ON SEQUENCE {schema}.event_store_global_position_seq,
    {schema}.event_erasures_erasure_number_seq FROM PUBLIC, {writer}, {reader};
REVOKE ALL ON FUNCTION {schema}.refuse_change, {schema}.register_append,
    {schema}.registered_appends, {schema}.read_watermark, {schema}.append_events,
    {schema}.append_together, {schema}.append_alongside, {schema}.chain_event,
    {schema}.await_appends, {schema}.archive_events, {schema}.restore_events,
    {schema}.erase_event, {schema}.tombstone_aggregate,
    {schema}.attend_projection, {schema}.advance_projection, {schema}.projection_lock
    FROM PUBLIC, {writer}, {reader};

-- The reader reads, the log up to its watermark and the views too; with the keys, personal fields.
GRANT USAGE ON SCHEMA {schema} TO {writer}, {reader};
GRANT SELECT ON {schema}.hitherto_migrations, {schema}.event_store, {schema}.event_archive,
    {schema}.event_store_and_archive, {schema}.aggregate_snapshots,
    {schema}.projection_generations, {schema}.projection_checkpoints,
    {schema}.projection_parked_events, {schema}.projection_documents, {schema}.personal_keys,
    {schema}.event_erasures, {schema}.aggregate_tombstones
    TO {writer}, {reader};
GRANT SELECT ON SEQUENCE {schema}.event_store_global_position_seq TO {writer}, {reader};
GRANT EXECUTE ON FUNCTION {schema}.registered_appends, {schema}.read_watermark
    TO {writer}, {reader};

-- The writer also adds events, whose positions, times of storing and chained hashes it cannot
-- choose, and keeps snapshots and what belongs to projections and processes.
GRANT INSERT (
    event_id, event_type, aggregate_id, aggregate_type, event_version, schema_version, event_data,
    metadata, occurred_at, content_hash) ON {schema}.event_store TO {writer};
GRANT EXECUTE ON FUNCTION {schema}.append_events, {schema}.append_together,
    {schema}.append_alongside, {schema}.projection_lock, {schema}.attend_projection,
    {schema}.advance_projection
    TO {writer};
GRANT INSERT, UPDATE ON {schema}.aggregate_snapshots TO {writer};
-- It archives, closes and erases nothing: that is the owner's, and of whom the owner grants
-- archive_events, restore_events, tombstone_aggregate (with await_appends) and erase_event, after
-- this script, which revokes it.
-- It makes keys, and destroys none: to forget is the owner's.
GRANT INSERT (subject, number, key) ON {schema}.personal_keys TO {writer};
GRANT INSERT, UPDATE ON {schema}.projection_generations TO {writer};
GRANT SELECT, INSERT, UPDATE, DELETE ON {schema}.projection_checkpoints,
    {schema}.projection_workers, {schema}.projection_parked_events,
    {schema}.projection_documents, {schema}.handled_messages, {schema}.process_timers
    TO {writer};
COMMIT;
