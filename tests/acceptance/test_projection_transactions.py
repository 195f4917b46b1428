"""Effects through SQLAlchemy's sessions and psycopg's connections: exactly once, or not at all."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import pytest_asyncio
from psycopg import AsyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from tests.contract.projecting import Deposited, deposit

from hitherto import (
    Context,
    HandlerFailed,
    LeaseLost,
    Projection,
    ProjectionWorker,
    Store,
    Transactions,
    connect,
    on,
)
from hitherto.application.checkpoints import Generation, Progress
from hitherto.infrastructure.psycopg import PsycopgTransactions
from hitherto.infrastructure.sqlalchemy import SqlAlchemyTransactions

pytestmark = pytest.mark.integration

_TABLE = "CREATE TABLE {schema}.paid (place text PRIMARY KEY, amount int)"


class Paid(Projection[Any], name="paid"):
    """Writes a row for each deposit, which would be refused a second time."""

    schema = ""
    fail_once: bool = False

    @on
    async def deposited(self, event: Deposited, context: Context[Any]) -> None:
        place = f"{context.recorded.aggregate_id}-{context.recorded.version}"
        await self.insert(context.connection, place, event.amount)
        if self.fail_once:
            self.fail_once = False
            raise RuntimeError("after the row was written")

    async def insert(self, connection: Any, place: str, amount: int) -> None:
        raise NotImplementedError


class PaidBySession(Paid, name="paid"):
    async def insert(self, connection: AsyncSession, place: str, amount: int) -> None:
        query = text(f"INSERT INTO {self.schema}.paid VALUES (:place, :amount)")
        await connection.execute(query, {"place": place, "amount": amount})


class PaidByPsycopg(Paid, name="paid"):
    async def insert(self, connection: AsyncConnection[Any], place: str, amount: int) -> None:
        query: Any = f"INSERT INTO {self.schema}.paid VALUES (%s, %s)"
        await connection.execute(query, (place, amount))


class Ways:
    """One way to write, and how to look at what was written."""

    def __init__(self, url: str, schema: str, projection: Paid, transactions: Transactions) -> None:
        self.url = url
        self.schema = schema
        self.projection = projection
        self.transactions = transactions
        projection.schema = schema

    async def rows(self, *statements: str) -> list[Any]:
        """What the last of some statements gives."""
        connection = await AsyncConnection.connect(self.url, autocommit=True)
        async with connection:
            for statement in statements:
                query: Any = statement.replace("{schema}", self.schema)
                cursor = await connection.execute(query)
            return await cursor.fetchall() if cursor.description else []


@asynccontextmanager
async def by_session(url: str, schema: str) -> AsyncGenerator[Ways]:
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"))
    sessions = async_sessionmaker(engine)
    yield Ways(url, schema, PaidBySession(), SqlAlchemyTransactions(sessions, schema=schema))
    await engine.dispose()


@asynccontextmanager
async def by_psycopg_session(url: str, schema: str) -> AsyncGenerator[Ways]:
    engine = create_async_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    sessions = async_sessionmaker(engine)
    yield Ways(url, schema, PaidBySession(), SqlAlchemyTransactions(sessions, schema=schema))
    await engine.dispose()


@asynccontextmanager
async def by_psycopg(url: str, schema: str) -> AsyncGenerator[Ways]:
    @asynccontextmanager
    async def connecting() -> AsyncGenerator[AsyncConnection[Any]]:
        connection = await AsyncConnection.connect(url)
        async with connection:
            yield connection

    yield Ways(url, schema, PaidByPsycopg(), PsycopgTransactions(connecting, schema=schema))


@pytest_asyncio.fixture(params=[by_session, by_psycopg_session, by_psycopg])
async def ways(
    request: pytest.FixtureRequest, postgres_url: str, postgres_schema: str
) -> AsyncGenerator[Ways]:
    async with request.param(postgres_url, postgres_schema) as found:
        yield found


@pytest_asyncio.fixture
async def store(ways: Ways) -> AsyncGenerator[Store]:
    async with connect(ways.url, schema=ways.schema, max_connections=5) as store:
        await ways.rows(_TABLE)
        yield store


def _worker(store: Store, ways: Ways, **options: Any) -> ProjectionWorker[Any]:
    return ProjectionWorker(store, ways.projection, transactions=ways.transactions, **options)


async def test_effects_and_checkpoint_are_one_transaction(store: Store, ways: Ways) -> None:
    """Each event once, over several workers."""
    await deposit(store, "a", 1, 2)
    await _worker(store, ways).catch_up()
    await deposit(store, "a", 3)
    await _worker(store, ways).catch_up()
    rows = await ways.rows("SELECT place, amount FROM {schema}.paid ORDER BY place")
    assert rows == [("a-2", 1), ("a-3", 2), ("a-4", 3)]


async def test_a_handler_that_fails_leaves_nothing(store: Store, ways: Ways) -> None:
    """What it had written is gone, so the next attempt is not refused."""
    await deposit(store, "a", 1, 2)
    ways.projection.fail_once = True
    await _worker(store, ways).catch_up()
    assert await ways.rows("SELECT count(*) FROM {schema}.paid") == [(2,)]
    assert await store.backend.checkpoints.parked("paid") == []


async def test_a_worker_that_was_replaced_writes_nothing(store: Store, ways: Ways) -> None:
    """Its token is too old."""
    position = await deposit(store, "a", 1)
    checkpoints = store.backend.checkpoints
    generation = await checkpoints.prepare(
        "paid", version=1, partitions=1, rebuild=False, setup=lambda *_: None
    )
    (old,) = (await checkpoints.attend(generation, "one", lease=0.01, held={})).leases
    await asyncio.sleep(0.02)
    await checkpoints.attend(generation, "other", lease=60, held={})
    with pytest.raises(LeaseLost):
        await ways.transactions.advance(_progress(generation, old.token, position), _insert(ways))
    assert await ways.rows("SELECT count(*) FROM {schema}.paid") == [(0,)]


async def test_an_error_is_told_as_the_handlers(store: Store, ways: Ways) -> None:
    """With its cause; also one that the server raises."""
    position = await deposit(store, "a", 1)
    checkpoints = store.backend.checkpoints
    generation = await checkpoints.prepare(
        "paid", version=1, partitions=1, rebuild=False, setup=lambda *_: None
    )
    (lease,) = (await checkpoints.attend(generation, "one", lease=60, held={})).leases
    progress = _progress(generation, lease.token, position)
    await ways.transactions.advance(progress, _insert(ways))
    with pytest.raises(HandlerFailed, match="paid"):
        await ways.transactions.advance(progress, _insert(ways))


async def test_a_connection_that_is_cut_is_an_outage(store: Store, ways: Ways) -> None:
    """It counts no attempt, and the batch is done again."""
    await deposit(store, "a", 1)
    projection, cut = ways.projection, [True]
    insert = projection.insert

    async def insert_and_cut(connection: Any, place: str, amount: int) -> None:
        await insert(connection, place, amount)
        if cut.pop() if cut else False:
            await ways.rows(
                "SELECT pg_terminate_backend(pid) FROM pg_stat_activity "
                "WHERE state = 'idle in transaction' AND query LIKE 'INSERT INTO {schema}.paid%'"
            )
            await insert(connection, f"{place}-again", amount)

    projection.insert = insert_and_cut  # type: ignore[method-assign]
    await _worker(store, ways, attempts=1).catch_up()
    assert await ways.rows("SELECT place FROM {schema}.paid") == [("a-2",)]
    assert await store.backend.checkpoints.parked("paid") == []


def _progress(generation: Generation, token: int, position: int) -> Progress:
    return Progress(
        generation=generation, leases={0: token}, position=position, handled={0: 1}, lease=60
    )


def _insert(ways: Ways) -> Any:
    return lambda connection: ways.projection.insert(connection, "x", 1)
