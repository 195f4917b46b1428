"""Behind PgBouncer in transaction mode, where each transaction may run on another connection."""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from typing import Any

import asyncpg
import pytest
import pytest_asyncio
from tests.acceptance.postgres_stores import opened, use_everything, with_database
from tests.acceptance.postgres_writers import Reader, an_append, committed, writers
from tests.contract.emptied import empty_schema
from tests.servers import PgBouncer, pgbouncer_program

from hitherto import AggregateVersionConflict
from hitherto.infrastructure.postgres import PostgresStore
from hitherto.testing import StoreContract

pytestmark = pytest.mark.integration

POOL_SIZE = 3


@pytest.fixture(scope="module")
def pooled_url(postgres_url: str) -> Iterator[str]:
    """The test's server, through a pooler with few connections."""
    program = pgbouncer_program()
    if program is None:
        pytest.skip("no pgbouncer here: apt install pgbouncer")
    pooler = PgBouncer(program, postgres_url, pool_size=POOL_SIZE)
    yield pooler.url
    pooler.stop()


@pytest.fixture
async def store(pooled_url: str, postgres_schema: str) -> AsyncIterator[PostgresStore]:
    """An empty store that would use many more connections than the pooler has."""
    async with opened(pooled_url, postgres_schema, max_connections=30) as store:
        yield store


class ThroughPooler:
    @pytest_asyncio.fixture
    async def backend(self, postgres_url: str, pooled_url: str) -> AsyncGenerator[PostgresStore]:
        async with (
            empty_schema(postgres_url) as schema,
            opened(pooled_url, schema, max_connections=10) as store,
        ):
            yield store


class TestStore(ThroughPooler, StoreContract):
    pass


async def test_many_more_saves_at_once_than_the_pooler_has_connections_all_succeed(
    store: PostgresStore,
) -> None:
    """Each works on whatever connection it is given, where nothing was prepared for it."""
    async with asyncio.timeout(30):
        await asyncio.gather(
            *(_append_and_load(store, f"a{n}", versions=5) for n in range(20 * POOL_SIZE))
        )
    assert len((await store.read_all()).events) == 20 * POOL_SIZE * 5


async def _append_and_load(store: PostgresStore, name: str, *, versions: int) -> None:
    for version in range(versions):
        await store.append([an_append(name, version)])
        assert len((await store.load(name, fingerprint=None)).events) == version + 1


async def test_of_many_appends_at_one_version_through_the_pooler_one_wins(
    store: PostgresStore,
) -> None:
    """The others are told so, by the same error as without a pooler."""
    results = await asyncio.gather(
        *(store.append([an_append("a")]) for _ in range(10 * POOL_SIZE)), return_exceptions=True
    )
    lost = [result for result in results if isinstance(result, AggregateVersionConflict)]
    assert len(lost) == 10 * POOL_SIZE - 1, results


async def test_an_append_held_open_behind_the_pooler_holds_the_reader_back(
    store: PostgresStore, pooled_url: str, postgres_schema: str
) -> None:
    """Its registration stays with its transaction."""
    reader = Reader(store)
    async with writers(pooled_url, postgres_schema, 1, statement_cache_size=0) as (slow,):
        await slow("BEGIN")
        await slow.append("slow")
        await store.append([an_append("quick")])
        assert await reader.poll() == []
        await slow("COMMIT")
    assert await reader.poll() == [1, 2]


async def test_a_reader_behind_the_pooler_loses_nothing_among_many_writers(
    store: PostgresStore, pooled_url: str, postgres_schema: str, admin: Any
) -> None:
    """It sees each committed event once and in order, while others come and go."""
    reader = Reader(store)
    async with opened(pooled_url, postgres_schema, max_connections=10) as other:
        tasks = [
            asyncio.create_task(_append_for_a_while(each, f"a{number}", versions=40))
            for number, each in enumerate([store, other] * 4)
        ]
        while not all(task.done() for task in tasks):
            await reader.poll()
        await asyncio.gather(*tasks)
    await reader.poll()
    assert reader.seen == await committed(admin, postgres_schema)
    assert len(reader.seen) == 8 * 40


async def _append_for_a_while(store: PostgresStore, name: str, *, versions: int) -> None:
    for version in range(0, versions, 2):
        await store.append([an_append(name, version, 2)])


async def test_nothing_of_the_store_stays_on_the_connections_of_others(
    store: PostgresStore, pooled_url: str, postgres_url: str
) -> None:
    """Neither settings, nor prepared statements, nor locks: the pooler hands them all over."""
    await asyncio.gather(*(store.append([an_append(f"a{n}")]) for n in range(10 * POOL_SIZE)))
    await asyncio.gather(*(store.read_all() for _ in range(10)))
    fresh = await asyncpg.connect(postgres_url, statement_cache_size=0)
    others = [await asyncpg.connect(pooled_url, statement_cache_size=0) for _ in range(POOL_SIZE)]
    try:
        expected = await _state_of(fresh)
        for each in others:  # in transactions at once, so that each has a connection of its own
            await each.execute("BEGIN")
        assert [await _state_of(each) for each in others] == [expected] * POOL_SIZE
    finally:
        for each in (fresh, *others):
            await each.close()


async def _state_of(session: Any) -> list[Any]:
    """What a client could notice of those before it."""
    settings = await session.fetch(
        """SELECT name, setting FROM pg_settings
           WHERE name IN ('lock_timeout', 'jit', 'default_transaction_isolation', 'search_path',
                          'statement_timeout', 'synchronous_commit') ORDER BY name"""
    )
    left = await session.fetchrow(
        """SELECT (SELECT count(*) FROM pg_prepared_statements WHERE name <> '') AS prepared,
                  (SELECT count(*) FROM pg_locks
                   WHERE locktype = 'advisory' AND pid = pg_backend_pid()) AS locks"""
    )
    return [*map(tuple, settings), tuple(left)]


@pytest.mark.parametrize("through", ["pooled_url", "postgres_url"])
async def test_a_database_with_another_default_isolation_is_served_all_the_same(
    through: str, request: pytest.FixtureRequest, pooled_url: str, postgres_schema: str, admin: Any
) -> None:
    """With or without a pooler, the store asks for READ COMMITTED itself."""
    database = f"{postgres_schema}_strict"
    await admin.execute(f"CREATE DATABASE {database}")
    await admin.execute(
        f"ALTER DATABASE {database} SET default_transaction_isolation = 'serializable'"
    )
    try:
        url = with_database(request.getfixturevalue(through), database)
        async with opened(url) as store:
            await use_everything(store)
    finally:
        await admin.execute(f"DROP DATABASE {database} WITH (FORCE)")
