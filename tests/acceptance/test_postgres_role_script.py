"""`hitherto schema --roles`: an owner, a writer and a reader, and what each may and may not do."""

from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

import asyncpg
import msgspec
import pytest
from tests.acceptance.postgres_stores import (
    catalog,
    opened,
    quoted,
    snapshot,
    use_everything,
    use_projections,
)
from tests.acceptance.postgres_writers import an_append, new_event
from tests.acceptance.test_postgres_roles import LimitedRole
from tests.acceptance.test_postgres_schema import _feed_to_psql
from tests.servers import new_schema

from hitherto import (
    Batch,
    Context,
    HandlerFailed,
    Projection,
    ProjectionWorker,
    Repository,
    SchemaMismatch,
    connect,
    on,
)
from hitherto.application.records import PlacedEvent
from hitherto.infrastructure.chaining import Chained
from hitherto.infrastructure.postgres import schema_sql
from hitherto.infrastructure.postgres.roles import roles_sql
from hitherto.testing.repository_contract.domain import Account, Opened

pytestmark = pytest.mark.integration

ROLES = ("owner", "writer", "reader")
HOSTILE = ["it's", 'a "b"', "{schema}", "{owner}", "$$", ":variable", "back\\", "a\n--b", "x" * 56]
_OWNED = """
    SELECT relname, relowner::regrole::text FROM pg_class
    WHERE relnamespace = $1::text::regnamespace AND relkind IN ('r', 'S', 'v')
    UNION ALL
    SELECT proname, proowner::regrole::text FROM pg_proc
    WHERE pronamespace = $1::text::regnamespace"""
_INSERT = """INSERT INTO {schema}.event_store
    (event_id, event_type, aggregate_id, aggregate_type, event_version, event_data, occurred_at"""
_VALUES = "gen_random_uuid(), 'E', gen_random_uuid(), 'T', 1, '{{}}', now()"


@dataclass
class Made:
    """A schema with its tables and roles, and login roles that are members of these."""

    admin: Any
    url: str
    schema: str

    def login(self, role: str) -> str:
        """The URL of the login role that is a member of this one."""
        return LimitedRole(self.admin, self.url, f"{self.schema}_{role}_login").url

    @asynccontextmanager
    async def session(self, role: str) -> AsyncIterator[Any]:
        """A session of that login role."""
        connection = await asyncpg.connect(self.login(role))
        try:
            yield connection
        finally:
            await connection.close()


@pytest.fixture(params=["postgres_url", "debian_postgres_url"])
async def made(request: pytest.FixtureRequest) -> AsyncIterator[Made]:
    """On the newest server, and on an older one."""
    url: str = request.getfixturevalue(request.param)
    schema = new_schema()
    admin: Any = await asyncpg.connect(url)
    await admin.execute(schema_sql(schema))
    await admin.execute(roles_sql(schema))
    for role in ROLES:
        name = f"{schema}_{role}"
        await admin.execute(f"CREATE ROLE {name}_login LOGIN PASSWORD 'secret' IN ROLE {name}")
    yield Made(admin, url, schema)
    await _drop(admin, schema, schema)
    await admin.close()


async def test_a_store_works_as_the_writer(made: Made) -> None:
    """No right to make tables is needed where they are up to date."""
    async with opened(made.login("writer"), made.schema) as store:
        await use_everything(store)
        await store.append([an_append("long", count=300)])
        await store.append([an_append("long", 300), an_append("short")])
        assert await store.import_events([placed("imported")]) == 1
        await use_projections(store)


async def test_a_repository_works_as_the_writer(made: Made) -> None:
    """Its snapshots too, which the reader can use."""
    async with connect(made.login("writer"), schema=made.schema) as store:
        accounts = Repository(store, Account, snapshot_every=2)
        await accounts.save(Account.open("a"))
        await accounts.update("a", lambda account: account.deposit(2))
        await accounts.save_all(Account.open("b"), Account.open("c"))
        assert await accounts.snapshot(await accounts.load("b"))
        assert await store.backend.read_snapshot("a") is not None
    async with connect(made.login("reader"), schema=made.schema) as store:
        accounts = Repository(store, Account)
        assert (await accounts.load("a")).balance == 2
        assert set(await accounts.load_many(["b", "c", "d"])) == {"b", "c"}
        assert len(await accounts.history("a")) == 2
        assert await accounts.exists("c")
        assert len([event async for event in store.read_all()]) == 4
        assert await store.watermark() > 0
        assert (await store.health_check()).status != "unhealthy"
        assert not await store.backend.inspect()


async def test_the_reader_sees_the_views_and_how_far_they_are(made: Made) -> None:
    """And when the log grows; to work on them is refused."""
    async with opened(made.login("writer"), made.schema) as store:
        generation = await use_projections(store)
        async with opened(made.login("reader"), made.schema) as reader:
            checkpoints = reader.checkpoints
            assert {each.name for each in await checkpoints.status()} >= {"view", "inline"}
            assert await checkpoints.position("view") is not None
            assert await checkpoints.parked("view") == []
            assert await checkpoints.find_documents("view", "things")
            assert await reader.wait(0) > 0
            with pytest.raises(SchemaMismatch, match=r"permission denied .* grant this role"):
                await checkpoints.attend(generation, "reader", lease=6, held={})
            with pytest.raises(SchemaMismatch, match=r"permission denied .* grant this role"):
                await checkpoints.pause("view", paused=True)


_PLACES = {
    "a schema of its own": """
        CREATE SCHEMA {schema}_views AUTHORIZATION {schema}_writer_login;
        GRANT USAGE ON SCHEMA {schema}_views TO {schema}_reader;
        ALTER DEFAULT PRIVILEGES FOR ROLE {schema}_writer_login IN SCHEMA {schema}_views
            GRANT SELECT ON TABLES TO {schema}_reader""",
    "the store's": "GRANT CREATE ON SCHEMA {schema} TO {schema}_writer_login",
}


@pytest.mark.parametrize("place", _PLACES)
async def test_a_view_has_tables_where_the_page_lets_the_writer_make_them(
    made: Made, place: str
) -> None:
    """As often as it is rebuilt, though the script is run again; elsewhere it may make none."""
    own = place == "a schema of its own"
    table = f"{made.schema}_views.names" if own else f"{made.schema}.names"

    class Names(Projection[asyncpg.Connection], name="names", tables=[table]):
        async def setup(self, connection: Any, batch: Batch[Any]) -> None:
            await connection.execute(f"CREATE TABLE {batch.table(table)} (account text)")

        @on
        async def opened(self, event: Opened, context: Context[Any]) -> None:
            account = context.recorded.aggregate_id
            into = context.table(table)
            await context.connection.execute(f"INSERT INTO {into} VALUES ($1)", account)

    async with connect(made.login("writer"), schema=made.schema, migrate=False) as store:
        await Repository(store, Account).save(Account.open("a"))
        with pytest.raises(HandlerFailed, match=r"permission denied|does not exist"):
            await ProjectionWorker(store, Names()).catch_up()
        await made.admin.execute(_PLACES[place].format(schema=made.schema))
        for _ in range(2):
            await made.admin.execute(roles_sql(made.schema))
            await ProjectionWorker(store, Names(), rebuild=True).catch_up()
            async with made.session("reader" if own else "writer") as session:
                assert await session.fetch(f"SELECT account FROM {table}") == [("a",)]


async def test_the_reader_sees_who_holds_it_back(made: Made) -> None:
    """An append in flight, of which the locks tell it."""
    async with (
        opened(made.login("reader"), made.schema) as store,
        made.session("writer") as writer,
    ):
        before = await store.watermark()
        async with writer.transaction():
            await writer.execute(_insert(made.schema))
            await _insert_elsewhere(made)
            assert await store.watermark() == before
            assert (await store.health_check()).watermark_lag == 2
        assert await store.watermark() == before + 2


async def test_the_reader_is_refused_what_writes(made: Made) -> None:
    """By an error of hitherto's that names the remedy."""
    appends = [
        [an_append("a")],
        [an_append("a", count=2)],
        [an_append("a", count=300)],
        [an_append("a"), an_append("b")],
    ]
    async with opened(made.login("reader"), made.schema) as store:
        for group in appends:
            with pytest.raises(SchemaMismatch, match=r"permission denied .* grant this role"):
                await store.append(group)
        with pytest.raises(SchemaMismatch, match=r"permission denied .* grant this role"):
            await store.save_snapshot(snapshot("a"))
        with pytest.raises(SchemaMismatch, match=r"permission denied .* grant this role"):
            await store.import_events([placed("a")])
        assert await store.read("a") == []


@pytest.mark.parametrize("role", ["writer", "reader"])
async def test_nobody_but_the_owner_can_change_what_is_stored_or_its_guards(
    made: Made, role: str
) -> None:
    """Nor choose an event's position, the next position, or when it was stored."""
    await _insert_elsewhere(made)
    statements = [
        "UPDATE {schema}.event_store SET event_data = '{{}}'",
        "UPDATE {schema}.event_store SET created_at = now() WHERE false",
        "SELECT * FROM {schema}.event_store FOR UPDATE",
        "DELETE FROM {schema}.event_store",
        "TRUNCATE {schema}.event_store",
        "DROP TABLE {schema}.event_store",
        "DROP INDEX {schema}.idx_event_store_aggregate_version",
        "DROP FUNCTION {schema}.refuse_change CASCADE",
        "DROP SCHEMA {schema} CASCADE",
        "DROP TRIGGER event_store_is_append_only ON {schema}.event_store",
        "ALTER TABLE {schema}.event_store DISABLE TRIGGER ALL",
        "ALTER TABLE {schema}.event_store ALTER event_data DROP NOT NULL",
        "ALTER TABLE {schema}.event_store OWNER TO CURRENT_USER",
        "ALTER FUNCTION {schema}.refuse_change RENAME TO refuse_nothing",
        "CREATE RULE nothing AS ON INSERT TO {schema}.event_store DO INSTEAD NOTHING",
        "CREATE TRIGGER t BEFORE INSERT ON {schema}.event_store EXECUTE FUNCTION refuse_change()",
        "CREATE OR REPLACE FUNCTION {schema}.refuse_change() RETURNS int LANGUAGE sql RETURN 1",
        "CREATE TABLE {schema}.another ()",
        "CREATE INDEX ON {schema}.event_store (created_at)",
        "SET session_replication_role = replica",
        'SET ROLE "{schema}_owner"',
        "DELETE FROM {schema}.aggregate_snapshots",
        "TRUNCATE {schema}.aggregate_snapshots",
        "DELETE FROM {schema}.projection_generations",
        "INSERT INTO {schema}.hitherto_migrations (version) VALUES (99)",
        "DELETE FROM {schema}.hitherto_migrations",
        "SELECT setval('{schema}.event_store_global_position_seq', 1)",
        "SELECT nextval('{schema}.event_store_global_position_seq')",
        "ALTER SEQUENCE {schema}.event_store_global_position_seq RESTART",
        f"{_INSERT}, created_at) VALUES ({_VALUES}, now())",
        f"{_INSERT}, global_position) OVERRIDING SYSTEM VALUE VALUES ({_VALUES}, 1)",
    ]
    before = await catalog(made.admin, made.schema)
    stored = await made.admin.fetch(f"SELECT * FROM {made.schema}.event_store")
    async with made.session(role) as session:
        await session.execute(f"GRANT ALL ON {made.schema}.event_store TO CURRENT_USER")  # in vain
        for statement in statements:
            sql = statement.format(schema=made.schema)
            with pytest.raises(asyncpg.InsufficientPrivilegeError):
                await session.execute(sql)
                pytest.fail(f"not refused: {sql}")
    assert await catalog(made.admin, made.schema) == before
    assert await made.admin.fetch(f"SELECT * FROM {made.schema}.event_store") == stored


async def test_a_row_of_another_tool_needs_the_columns_that_the_writer_may_give(
    made: Made,
) -> None:
    """The statement that was refused above, without the column that was too much."""
    async with made.session("writer") as session:
        await session.execute(_insert(made.schema))
    assert await made.admin.fetchval(f"SELECT count(*) FROM {made.schema}.event_store") == 1


async def test_all_of_the_store_belongs_to_the_owner_who_may_migrate_it(made: Made) -> None:
    """What a later migration makes must be in the script too."""
    owned = await made.admin.fetch(_OWNED, made.schema)
    assert len(owned) >= 10
    assert {owner for _, owner in owned} == {f"{made.schema}_owner"}
    for (table,) in await made.admin.fetch(
        "SELECT oid::regclass::text FROM pg_class"
        " WHERE relnamespace = $1::text::regnamespace AND relkind = 'r'",
        made.schema,
    ):
        await made.admin.execute(f"DROP TABLE {table} CASCADE")
    async with made.session("owner") as session:
        for name, kind in await session.fetch(
            "SELECT oid::regprocedure::text, prokind FROM pg_proc"
            " WHERE pronamespace = $1::text::regnamespace",
            made.schema,
        ):
            assert kind == b"f"
            await session.execute(f"DROP FUNCTION {name}")
    owner = f"{made.schema}_owner"
    await made.admin.execute(f"ALTER ROLE {owner}_login SET role = {owner}")
    async with opened(made.login("owner"), made.schema) as store:
        await use_everything(store)
    assert {name for name, _ in await made.admin.fetch(_OWNED, made.schema)} == {
        name for name, _ in owned
    }
    assert {owner for _, owner in await made.admin.fetch(_OWNED, made.schema)} == {owner}


async def test_run_again_the_script_changes_nothing(made: Made) -> None:
    """Not the rights either."""
    before = await catalog(made.admin, made.schema), await _rights(made)
    await made.admin.execute(roles_sql(made.schema))
    assert (await catalog(made.admin, made.schema), await _rights(made)) == before


async def test_run_again_the_script_takes_away_what_is_too_much(made: Made) -> None:
    """As where somebody granted more for an afternoon."""
    before = await _rights(made)
    writer, reader = f"{made.schema}_writer", f"{made.schema}_reader"
    await made.admin.execute(f"""
        GRANT ALL ON ALL TABLES IN SCHEMA {made.schema} TO {writer}, PUBLIC;
        GRANT UPDATE (event_data) ON {made.schema}.event_store TO {reader};
        GRANT ALL ON ALL SEQUENCES IN SCHEMA {made.schema} TO {writer}, PUBLIC;
        GRANT ALL ON ALL FUNCTIONS IN SCHEMA {made.schema} TO {reader}, PUBLIC;
        GRANT ALL ON SCHEMA {made.schema} TO {writer}, {reader};
    """)
    assert await _rights(made) != before
    await made.admin.execute(roles_sql(made.schema))
    assert await _rights(made) == before


async def test_a_role_that_is_no_superuser_can_run_the_script(made: Made) -> None:
    """It needs CREATEROLE, and the right to make a schema."""
    name, schema = f"{made.schema}_dba", new_schema()
    database = await made.admin.fetchval("SELECT quote_ident(current_database())")
    await made.admin.execute(f"CREATE ROLE {name} LOGIN CREATEROLE PASSWORD 'secret'")
    await made.admin.execute(f"GRANT CREATE ON DATABASE {database} TO {name}")
    session = await asyncpg.connect(LimitedRole(made.admin, made.url, name).url)
    try:
        for _ in range(2):
            await session.execute(schema_sql(schema))
            await session.execute(roles_sql(schema))
        owned = await made.admin.fetch(_OWNED, schema)
        assert {owner for _, owner in owned} == {f"{schema}_owner"}
    finally:
        await session.close()
        await _drop(made.admin, schema, schema)
        await made.admin.execute(f"DROP OWNED BY {name}; DROP ROLE {name}")


@pytest.mark.parametrize("name", HOSTILE)
async def test_any_name_of_a_schema_or_a_role_works(
    name: str, postgres_url: str, admin: Any
) -> None:
    """Whatever is in it, it is only a name, to psql too."""
    try:
        _feed_to_psql(postgres_url, f"{schema_sql(name)}\n\n{roles_sql(name)}")
        for role in ROLES:
            assert await admin.fetchval(
                "SELECT rolcanlogin FROM pg_roles WHERE rolname = $1", f"{name}_{role}"
            ) is False  # fmt: skip
        await admin.execute(f"SET ROLE {quoted(f'{name}_reader')}")
        assert await admin.fetch(f"SELECT * FROM {quoted(name)}.event_store") == []
    finally:
        await admin.execute("RESET ROLE")
        await _drop(admin, name, name)


def placed(aggregate_id: str) -> PlacedEvent:
    """An event of a history."""
    return PlacedEvent(
        **msgspec.structs.asdict(new_event()),
        aggregate_id=aggregate_id,
        aggregate_type="Thing",
        version=1,
    )


def _insert(schema: str) -> str:
    return f"{_INSERT}) VALUES ({_VALUES})".format(schema=schema)


async def _insert_elsewhere(made: Made) -> None:
    await made.admin.execute(_insert(made.schema))


async def _rights(made: Made) -> list[tuple[Any, ...]]:
    rows = await made.admin.fetch(
        """
        SELECT relname, relacl::text, ARRAY(
            SELECT attname || attacl::text FROM pg_attribute
            WHERE attrelid = c.oid AND attacl NOTNULL ORDER BY attnum)
        FROM pg_class c WHERE relnamespace = $1::text::regnamespace
        UNION ALL SELECT proname, proacl::text, NULL FROM pg_proc
        WHERE pronamespace = $1::text::regnamespace
        UNION ALL SELECT nspname, nspacl::text, NULL FROM pg_namespace WHERE nspname = $1
        ORDER BY 1""",
        made.schema,
    )
    return [tuple(row) for row in rows]


async def _drop(admin: Any, schema: str, prefix: str) -> None:
    await admin.execute(f"DROP SCHEMA IF EXISTS {quoted(schema)} CASCADE")
    names = [f"{prefix}_{role}{login}" for login in ("_login", "") for role in ROLES]
    for name in names:
        if await admin.fetchval("SELECT count(*) FROM pg_roles WHERE rolname = $1::text", name):
            await admin.execute(f"DROP OWNED BY {quoted(name)}; DROP ROLE {quoted(name)}")


async def test_the_writer_chains_events_and_cannot_choose_their_hashes(made: Made) -> None:
    """It gives the hash of a content; the chain is the store's."""
    async with opened(made.login("writer"), made.schema) as store:
        chained = Chained(store)
        await chained.append([an_append("a", count=2)])
        await chained.append([an_append("long", count=300), an_append("b")])
        assert await chained.import_events([placed("imported")]) == 1
    async with opened(made.login("reader"), made.schema) as store:
        assert all(link.event_hash for link in await store.chain.links())
    insert = _INSERT.format(schema=made.schema)
    values = _VALUES.format()
    async with made.session("writer") as session:
        with pytest.raises(asyncpg.InsufficientPrivilegeError):
            await session.execute(f"{insert}, event_hash) VALUES ({values}, '')")
        await session.execute(f"{insert}, content_hash) VALUES ({values}, '')")
