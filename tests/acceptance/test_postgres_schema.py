"""The tables: under any name, made once, left alone, and never changed."""

import asyncio
import os
import subprocess
import sys
from typing import Any

import asyncpg
import pytest
from tests.acceptance.postgres_stores import (
    catalog,
    opened,
    quoted,
    snapshot,
    use_everything,
    use_projections,
    with_database,
)
from tests.acceptance.postgres_writers import an_append
from tests.servers import new_schema, wheel_bin_dir

from hitherto import ConfigurationError, SchemaMismatch
from hitherto.infrastructure.postgres import PostgresStore, schema_sql
from hitherto.infrastructure.postgres import schema as schema_module
from hitherto.infrastructure.postgres.schema import latest_version
from hitherto.infrastructure.sql import migrations

pytestmark = pytest.mark.integration

HOSTILE = [
    "it's", 'double "quotes"', '"', "''", "$1", "$$", "$hitherto", "a $x$ b", " spaces  ", "ΕΛΛΆΔΑ",
    "🦉" * 15, "100%", "%s %I", "back\\slash", "\\", "select", "UPPER", "semi;colon", "--", "/*",
    "line\nbreak", ":variable", "a.b", "{schema}", "{schema_text}", "{filters}", "{}", "x" * 63,
    "0",
]  # fmt: skip


@pytest.mark.parametrize("name", HOSTILE)
async def test_any_name_of_a_schema_works(name: str, postgres_url: str, admin: Any) -> None:
    """Whatever is in it, it is only a name."""
    await admin.execute(f"DROP SCHEMA IF EXISTS {quoted(name)} CASCADE")
    try:
        async with opened(postgres_url, name) as store:
            await use_everything(store)
            await use_projections(store)
        async with opened(postgres_url, name) as store:
            assert len(await store.read("a")) == 3
        made = await admin.fetchval("SELECT count(*) FROM pg_namespace WHERE nspname = $1", name)
        assert made == 1
    finally:
        await admin.execute(f"DROP SCHEMA IF EXISTS {quoted(name)} CASCADE")


@pytest.mark.parametrize(
    "name",
    [
        "",
        "nul\0",
        "x" * 64,
        "é" * 32,
        "a$hitherto$b",
        "$hitherto$",
        "$migration$",
        "\ud800",
        "x\udfff",
        "pg_temp",
    ],
)
def test_an_impossible_name_is_refused(name: str) -> None:
    """Before anything is connected."""
    with pytest.raises(ConfigurationError, match="schema="):
        PostgresStore("postgresql://nowhere/none", schema=name)
    with pytest.raises(ConfigurationError, match="schema="):
        schema_sql(name)


async def test_eight_stores_that_open_a_fresh_schema_at_once_migrate_it_once(
    postgres_url: str, postgres_schema: str, admin: Any
) -> None:
    """Each of them then works."""
    stores = [PostgresStore(postgres_url, schema=postgres_schema) for _ in range(8)]
    try:
        await asyncio.gather(*(store.open() for store in stores))
        await asyncio.gather(
            *(store.append([an_append(f"a{n}")]) for n, store in enumerate(stores))
        )
        assert len((await stores[0].read_all()).events) == 8
        versions = await admin.fetch(f"SELECT version FROM {postgres_schema}.hitherto_migrations")
        assert sorted(row[0] for row in versions) == list(range(1, latest_version() + 1))
    finally:
        await asyncio.gather(*(store.close() for store in stores))


async def test_two_processes_that_open_an_empty_database_at_once_both_succeed(
    postgres_url: str, postgres_schema: str, admin: Any
) -> None:
    """As when a service is deployed for the first time, on two machines."""
    program = (
        "import asyncio, sys; from hitherto.infrastructure.postgres import PostgresStore as S;"
        "sys.stdin.readline(); asyncio.run(S(sys.argv[1]).open())"
    )
    database = f"{postgres_schema}_empty"
    await admin.execute(f"CREATE DATABASE {database}")
    try:
        command = [sys.executable, "-W", "ignore", "-c", program]
        url = with_database(postgres_url, database)
        processes = [
            await asyncio.create_subprocess_exec(
                *command, url, stdin=subprocess.PIPE, stderr=subprocess.PIPE
            )
            for _ in range(2)
        ]
        told = await asyncio.gather(*(each.communicate(b"go\n") for each in processes))
        assert [each.returncode for each in processes] == [0, 0], told
        async with opened(url) as store:
            await use_everything(store)
    finally:
        await admin.execute(f"DROP DATABASE {database} WITH (FORCE)")


async def test_opening_again_changes_nothing(
    postgres_url: str, postgres_schema: str, admin: Any
) -> None:
    """A second store finds the tables as they are, and the events in them."""
    async with opened(postgres_url, postgres_schema) as store:
        await store.append([an_append("a")])
        before = await catalog(admin, postgres_schema)
        async with opened(postgres_url, postgres_schema) as second:
            assert len(await second.read("a")) == 1
    assert await catalog(admin, postgres_schema) == before


async def test_two_schemas_do_not_see_each_other(postgres_url: str) -> None:
    """Each tenant has its own log, its own positions and its own snapshots."""
    async with (
        opened(postgres_url, new_schema()) as one,
        opened(postgres_url, new_schema()) as other,
    ):
        same = an_append("a")
        assert await one.append([same]) == (1,)
        assert (await other.read_all()).events == []
        assert await other.watermark() == 0
        assert await other.append([same]) == (1,)
        assert await one.save_snapshot(snapshot("a"))
        assert await other.read_snapshot("a") is None


async def test_tables_newer_than_the_code_are_refused(
    postgres_url: str, postgres_schema: str, admin: Any
) -> None:
    """Old code must not write into tables that it does not know."""
    async with opened(postgres_url, postgres_schema):
        pass
    await admin.execute(f"INSERT INTO {postgres_schema}.hitherto_migrations VALUES (999)")
    with pytest.raises(SchemaMismatch, match=r"version 999.*upgrade hitherto"):
        async with opened(postgres_url, postgres_schema):
            pass


async def test_a_store_that_may_not_migrate_only_looks(
    postgres_url: str, postgres_schema: str, admin: Any
) -> None:
    """Tables that are missing or old are told, with the remedy; nothing is made."""
    schemas = "SELECT count(*) FROM pg_namespace WHERE nspname = $1"
    with pytest.raises(SchemaMismatch, match=r"are not there, .*migrate=True"):
        async with opened(postgres_url, postgres_schema, migrate=False):
            pass
    assert await admin.fetchval(schemas, postgres_schema) == 0
    async with opened(postgres_url, postgres_schema):
        pass
    latest = latest_version()
    table = f"{postgres_schema}.hitherto_migrations"
    await admin.execute(f"DELETE FROM {table} WHERE version = {latest}")
    with pytest.raises(SchemaMismatch, match=rf"have version {latest - 1}, .*migrate=True"):
        async with opened(postgres_url, postgres_schema, migrate=False):
            pass
    await admin.execute(f"INSERT INTO {table} VALUES ({latest})")
    async with opened(postgres_url, postgres_schema, migrate=False) as store:
        assert await store.append([an_append("a")]) == (1,)


async def test_a_database_that_is_not_in_utf8_is_refused(
    postgres_url: str, postgres_schema: str, admin: Any
) -> None:
    """In SQL_ASCII the server would not check text."""
    name = postgres_schema + "_ascii"
    await admin.execute(
        f"CREATE DATABASE {name} ENCODING 'SQL_ASCII' LOCALE 'C' TEMPLATE template0"
    )
    try:
        with pytest.raises(SchemaMismatch, match="UTF8"):
            async with opened(with_database(postgres_url, name)):
                pass
    finally:
        await admin.execute(f"DROP DATABASE {name} WITH (FORCE)")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE {}.event_store SET event_data = '{{}}'",
        "UPDATE {}.event_store SET event_type = event_type",
        "DELETE FROM {}.event_store",
        "TRUNCATE {}.event_store",
        "TRUNCATE {}.event_store RESTART IDENTITY CASCADE",
        "MERGE INTO {}.event_store USING (SELECT 1) AS one ON true WHEN MATCHED THEN DELETE",
    ],
)
async def test_stored_events_cannot_be_changed_even_by_the_owner(
    statement: str, postgres_url: str, postgres_schema: str, admin: Any
) -> None:
    """Nor by a superuser, who is it here."""
    async with opened(postgres_url, postgres_schema) as store:
        await store.append([an_append("a")])
        if statement.startswith("MERGE") and admin.get_server_version().major < 15:
            pytest.skip("MERGE is there from PostgreSQL 15 on")
        with pytest.raises(asyncpg.InsufficientPrivilegeError, match="events are never changed"):
            await admin.execute(statement.format(postgres_schema))
        assert len(await store.read("a")) == 1


@pytest.mark.parametrize("name", ["printed", 'it\'s "a" $1 \\ {schema} % :x'])
async def test_the_printed_sql_makes_the_tables_that_a_store_makes(
    name: str, postgres_url: str, admin: Any
) -> None:
    """A DBA may run it with psql; a store then finds nothing to change."""
    by_store = new_schema()
    try:
        _feed_to_psql(postgres_url, schema_sql(name))
        before = await catalog(admin, name)
        assert all(before.values())
        async with opened(postgres_url, name) as store:
            assert await catalog(admin, name) == before
            await use_everything(store)
        async with opened(postgres_url, by_store):
            pass
        assert await catalog(admin, by_store) == before
    finally:
        await admin.execute(f"DROP SCHEMA IF EXISTS {quoted(name)} CASCADE")


@pytest.mark.parametrize("version", range(latest_version() + 1))
async def test_the_printed_sql_does_what_tables_of_any_version_lack(
    version: int,
    postgres_url: str,
    postgres_schema: str,
    admin: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """Run again, it changes nothing; events that are stored stay."""
    known = migrations("hitherto.infrastructure.postgres")
    with monkeypatch.context() as older:
        older.setattr(schema_module, "migrations", lambda _: known[:version])
        _feed_to_psql(postgres_url, schema_sql(postgres_schema))
    found = await admin.fetchval(f"SELECT max(version) FROM {postgres_schema}.hitherto_migrations")
    assert (found or 0) == version
    _feed_to_psql(postgres_url, schema_sql(postgres_schema))
    applied = f"SELECT * FROM {postgres_schema}.hitherto_migrations ORDER BY version"
    before = await catalog(admin, postgres_schema), await admin.fetch(applied)
    async with opened(postgres_url, postgres_schema) as store:
        await use_everything(store)
        _feed_to_psql(postgres_url, schema_sql(postgres_schema))
        assert (await catalog(admin, postgres_schema), await admin.fetch(applied)) == before
        assert len(await store.read("a")) == 3


async def test_the_printed_sql_leaves_newer_tables_alone(
    postgres_url: str, postgres_schema: str, admin: Any
) -> None:
    """As a store does."""
    await admin.execute(schema_sql(postgres_schema))
    await admin.execute(f"INSERT INTO {postgres_schema}.hitherto_migrations VALUES (999)")
    before = await catalog(admin, postgres_schema)
    _feed_to_psql(postgres_url, schema_sql(postgres_schema))
    assert await catalog(admin, postgres_schema) == before


def _feed_to_psql(url: str, script: str) -> None:
    """Run a script as a DBA would."""
    ended = subprocess.run(
        [str(wheel_bin_dir() / "psql"), "-X", "-v", "ON_ERROR_STOP=1", url],
        input=script.encode(),
        capture_output=True,
        check=False,
        env={**os.environ, "PGCLIENTENCODING": "UTF8"},
        timeout=60,
    )
    assert ended.returncode == 0, ended.stderr.decode()


async def test_the_tables_have_the_documented_columns_and_indexes(
    postgres_url: str, postgres_schema: str, admin: Any
) -> None:
    """Other tools rely on these names."""
    async with opened(postgres_url, postgres_schema):
        found = await catalog(admin, postgres_schema)
    columns = {(row[0], row[2]): row[3] for row in found["columns"]}
    for name, type_ in {
        "global_position": "bigint",
        "event_id": "uuid",
        "event_type": "character varying(255)",
        "aggregate_id": "character varying(255)",
        "aggregate_type": "character varying(255)",
        "event_version": "integer",
        "event_data": "jsonb",
        "metadata": "jsonb",
        "occurred_at": "timestamp with time zone",
        "created_at": "timestamp with time zone",
    }.items():
        assert columns["event_store", name] == type_
    for name, type_ in {
        "aggregate_id": "character varying(255)",
        "version": "integer",
        "snapshot_data": "json",
        "created_at": "timestamp with time zone",
    }.items():
        assert columns["aggregate_snapshots", name] == type_
    indexes = {row[0] for row in found["indexes"]}
    assert indexes >= {
        "idx_event_store_aggregate_version",
        "idx_event_store_global_position",
        "idx_event_store_aggregate_type",
        "idx_event_store_event_type",
        "idx_event_store_occurred_at",
    }


async def test_positions_are_drawn_one_by_one_and_text_keys_sort_by_byte(
    postgres_url: str, postgres_schema: str, admin: Any
) -> None:
    """A cached sequence would break the watermark; a locale's update would break an index."""
    async with opened(postgres_url, postgres_schema):
        found = await catalog(admin, postgres_schema)
    assert ("event_store_global_position_seq", "1") in found["sequences"]
    keys = [row for row in found["columns"] if row[3].startswith(("character", "text"))]
    assert len(keys) >= 6
    assert {row[6] for row in keys} == {"C"}


async def test_what_cannot_be_undone_is_the_owners_alone(
    postgres_url: str, postgres_schema: str, admin: Any
) -> None:
    """Without the script of roles, too: PUBLIC has no right to these functions."""
    async with opened(postgres_url, postgres_schema):
        found = await admin.fetch(
            "SELECT proname FROM pg_proc WHERE pronamespace = $1::text::regnamespace AND prosecdef "
            "AND NOT EXISTS (SELECT FROM aclexplode(proacl) WHERE grantee = 0) "
            "AND proacl IS NOT NULL",
            postgres_schema,
        )
    names = {"archive_events", "restore_events", "tombstone_aggregate", "erase_event"}
    assert names <= {name for (name,) in found}
