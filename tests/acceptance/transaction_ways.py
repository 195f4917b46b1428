"""The ways in which a step of a projection can be written to PostgreSQL."""

from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any

from psycopg import AsyncConnection
from sqlalchemy import text
from sqlalchemy.ext.asyncio import AsyncSession, async_sessionmaker, create_async_engine
from tests.contract.projecting import Deposited

from hitherto import Context, Projection, Transactions, on
from hitherto.infrastructure.psycopg import PsycopgTransactions
from hitherto.infrastructure.sqlalchemy import SqlAlchemyTransactions


class Paid(Projection[Any], name="paid"):
    """Writes a row for each deposit, which would be refused a second time."""

    schema = ""
    before: str = ""
    fail_once: bool = False

    @on
    async def deposited(self, event: Deposited, context: Context[Any]) -> None:
        if self.before:
            await self.execute(context.connection, self.before)
        place = f"{context.recorded.aggregate_id}-{context.recorded.version}"
        await self.insert(context.connection, place, event.amount)
        if self.fail_once:
            self.fail_once = False
            raise RuntimeError("after the row was written")

    async def insert(self, connection: Any, place: str, amount: int) -> None:
        query = f"INSERT INTO {self.schema}.paid VALUES ('{place}', {amount})"
        await self.execute(connection, query)

    async def execute(self, connection: Any, query: str) -> None:
        await connection.execute(query)


class PaidBySession(Paid, name="paid"):
    async def execute(self, connection: AsyncSession, query: str) -> None:
        await connection.execute(text(query))


class Ways:
    """One way to write, and how to look at what was written.

    Attributes:
        transactions: None: the store's own.
    """

    def __init__(
        self, url: str, schema: str, projection: Paid, transactions: Transactions | None
    ) -> None:
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


Way = Callable[[str, str], AbstractAsyncContextManager[Ways]]


@asynccontextmanager
async def by_store(url: str, schema: str) -> AsyncGenerator[Ways]:
    yield Ways(url, schema, Paid(), None)


@asynccontextmanager
async def by_session(url: str, schema: str, **options: Any) -> AsyncGenerator[Ways]:
    engine = create_async_engine(url.replace("postgresql://", "postgresql+asyncpg://"), **options)
    sessions = async_sessionmaker(engine)
    yield Ways(url, schema, PaidBySession(), SqlAlchemyTransactions(sessions, schema=schema))
    await engine.dispose()


@asynccontextmanager
async def by_psycopg_session(url: str, schema: str, **options: Any) -> AsyncGenerator[Ways]:
    engine = create_async_engine(url.replace("postgresql://", "postgresql+psycopg://"), **options)
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

    yield Ways(url, schema, Paid(), PsycopgTransactions(connecting, schema=schema))


SESSIONS: list[Way] = [by_session, by_psycopg_session]
ADAPTERS: list[Way] = [*SESSIONS, by_psycopg]
ALL: list[Way] = [by_store, *ADAPTERS]
