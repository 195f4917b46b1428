"""The connections that handlers are given in tests: SQLite's in memory, or PostgreSQL's."""

import asyncio
import weakref
from collections.abc import AsyncGenerator, Callable, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager, suppress
from typing import Any, Protocol, TypeVar
from uuid import uuid4

import apsw

from hitherto.errors import ConfigurationError
from hitherto.infrastructure.background import background

T = TypeVar("T")

LOCK_TIMEOUT = "5s"
"""A test fails then, rather than wait for another's transaction, which may never end."""


class HandlersConnection(Protocol):
    """What a projection's tables are reached through.

    Attributes:
        raw: What its handlers are given.
    """

    raw: Any

    def transaction(self) -> AbstractAsyncContextManager[None]:
        """All or nothing."""
        ...

    async def rows(self, table: str) -> list[tuple[Any, ...]]:
        """All rows of a table."""
        ...


def blocking(operation: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run something on the loop of `hitherto.sync`, whether or not the caller has one."""
    return background().run(object(), operation)


def connection_to(url: str | None) -> HandlersConnection:
    """PostgreSQL's, or SQLite's if no URL is given.

    Raises:
        ConfigurationError: The URL is not PostgreSQL's, or its driver is not installed.
    """
    if url is None:
        return _Sqlite()
    if not url.startswith(("postgresql://", "postgres://")):
        raise ConfigurationError("url=…: give postgresql://…, or leave it out for SQLite's")
    try:
        import asyncpg  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ConfigurationError(
            "PostgreSQL needs its driver: pip install 'hitherto[postgres]'"
        ) from error

    async def connected() -> HandlersConnection:
        connection = _Postgres(await asyncpg.connect(url))
        await connection.begin()
        return connection

    return blocking(connected)


class _Sqlite:
    def __init__(self) -> None:
        self.raw: Any = apsw.Connection(":memory:")

    @asynccontextmanager
    async def transaction(self) -> AsyncGenerator[None]:
        with self.raw:
            yield

    async def rows(self, table: str) -> list[tuple[Any, ...]]:
        return list(self.raw.execute(f"SELECT * FROM {table}"))  # noqa: S608  # the test names it


class _Postgres:
    """In a transaction that ends, without a trace, when nobody refers to this any more."""

    def __init__(self, raw: Any) -> None:
        self.raw = raw
        weakref.finalize(self, _terminate, asyncio.get_running_loop(), raw)

    async def begin(self) -> None:
        schema = f"hitherto_given_{uuid4().hex}"
        await self.raw.transaction().start()
        await self.raw.execute(
            f"CREATE SCHEMA {schema}; SET LOCAL search_path = {schema}, public;"
            f"SET LOCAL lock_timeout = '{LOCK_TIMEOUT}'"
        )

    def transaction(self) -> AbstractAsyncContextManager[None]:
        savepoint: AbstractAsyncContextManager[None] = self.raw.transaction()
        return savepoint

    async def rows(self, table: str) -> list[tuple[Any, ...]]:
        found = await self.raw.fetch(f"SELECT * FROM {table}")  # noqa: S608  # the test names it
        return [tuple(row) for row in found]


def _terminate(loop: asyncio.AbstractEventLoop, connection: Any) -> None:
    with suppress(RuntimeError):  # The interpreter is ending, and has closed the loop.
        loop.call_soon_threadsafe(connection.terminate)
