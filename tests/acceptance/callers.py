"""Callers that have a transaction of their own, each by another driver."""

import inspect
import os
from collections.abc import AsyncGenerator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from typing import Any
from urllib.parse import unquote, urlsplit

import asyncpg
import psycopg
import sqlalchemy
from sqlalchemy.ext.asyncio import AsyncSession, create_async_engine
from sqlalchemy.orm import Session

import hitherto
import hitherto.sync


class Undone(Exception):
    """Rolls a transaction back."""


class Caller:
    """One who writes rows of its own.

    Attributes:
        store: Where the events go.
        transaction: Begins a transaction, ends it as the block ends, and gives what has it.
        without: The same without a transaction.
    """

    def __init__(
        self,
        store: Any,
        transaction: Callable[[], AbstractAsyncContextManager[Any]],
        without: Callable[[], AbstractAsyncContextManager[Any]],
        execute: Callable[[Any, str], Any],
    ) -> None:
        self.store = store
        self.transaction = transaction
        self.without = without
        self._execute = execute

    def repository(self, aggregate: Any, **options: Any) -> Any:
        """Of the store's face."""
        face = hitherto.sync if isinstance(self.store, hitherto.sync.Store) else hitherto
        return face.Repository(self.store, aggregate, **options)

    async def execute(self, handed: Any, statement: str) -> None:
        """A statement of the caller's own."""
        await settled(self._execute(handed, statement))


async def settled(value: Any) -> Any:
    """What a call of either face gives."""
    return await value if inspect.isawaitable(value) else value


@asynccontextmanager
async def connected(url: str, **options: Any) -> AsyncGenerator[Any]:
    """A connection of asyncpg's."""
    connection = await asyncpg.connect(url, **options)
    try:
        yield connection
    finally:
        await connection.close()


Way = Callable[..., AbstractAsyncContextManager[Caller]]


@asynccontextmanager
async def by_asyncpg(url: str, schema: str, **options: Any) -> AsyncGenerator[Caller]:
    @asynccontextmanager
    async def transaction() -> AsyncGenerator[Any]:
        async with connection.transaction():
            yield connection

    @asynccontextmanager
    async def without() -> AsyncGenerator[Any]:
        yield connection

    async with (
        connected(url) as connection,
        hitherto.connect(url, schema=schema, **options) as store,
    ):
        # As applications do; what is ours has to get along with it.
        await connection.set_type_codec(
            "jsonb", encoder=_refuse, decoder=_refuse, schema="pg_catalog"
        )
        yield Caller(store, transaction, without, lambda handed, it: handed.execute(it))


def _refuse(_value: Any) -> Any:
    raise AssertionError("a codec of the caller's was asked")


@asynccontextmanager
async def by_psycopg_async(url: str, schema: str, **options: Any) -> AsyncGenerator[Caller]:
    @asynccontextmanager
    async def connecting(autocommit: bool) -> AsyncGenerator[Any]:
        async with await psycopg.AsyncConnection.connect(url, autocommit=autocommit) as found:
            yield found

    async with hitherto.connect(url, schema=schema, **options) as store:
        yield Caller(
            store,
            lambda: connecting(False),
            lambda: connecting(True),
            lambda handed, it: handed.execute(it),
        )


@asynccontextmanager
async def by_async_session(
    url: str, schema: str, driver: str = "asyncpg", **options: Any
) -> AsyncGenerator[Caller]:
    engine = create_async_engine(url.replace("postgresql://", f"postgresql+{driver}://"))

    @asynccontextmanager
    async def session(**options: Any) -> AsyncGenerator[Any]:
        async with AsyncSession(engine.execution_options(**options)) as session, session.begin():
            yield session

    async with hitherto.connect(url, schema=schema, **options) as store:
        yield Caller(
            store,
            session,
            lambda: session(isolation_level="AUTOCOMMIT"),
            lambda handed, it: handed.execute(sqlalchemy.text(it)),
        )
    await engine.dispose()


@asynccontextmanager
async def by_async_connection(url: str, schema: str, **options: Any) -> AsyncGenerator[Caller]:
    engine = create_async_engine(url.replace("postgresql://", "postgresql+psycopg://"))
    async with hitherto.connect(url, schema=schema, **options) as store:
        yield Caller(
            store,
            engine.begin,
            engine.execution_options(isolation_level="AUTOCOMMIT").connect,
            lambda handed, it: handed.execute(sqlalchemy.text(it)),
        )
    await engine.dispose()


@asynccontextmanager
async def by_psycopg(url: str, schema: str, **options: Any) -> AsyncGenerator[Caller]:
    @asynccontextmanager
    async def connecting(autocommit: bool) -> AsyncGenerator[Any]:
        with psycopg.connect(url, autocommit=autocommit) as connection:
            yield connection

    with hitherto.sync.connect(url, schema=schema, **options) as store:
        yield Caller(
            store,
            lambda: connecting(False),
            lambda: connecting(True),
            lambda handed, it: handed.execute(it),
        )


@asynccontextmanager
async def by_session(url: str, schema: str, **options: Any) -> AsyncGenerator[Caller]:
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))

    @asynccontextmanager
    async def session(**options: Any) -> AsyncGenerator[Any]:
        with Session(engine.execution_options(**options)) as session, session.begin():
            yield session

    with hitherto.sync.connect(url, schema=schema, **options) as store:
        yield Caller(
            store,
            session,
            lambda: session(isolation_level="AUTOCOMMIT"),
            lambda handed, it: handed.execute(sqlalchemy.text(it)),
        )
    engine.dispose()


@asynccontextmanager
async def by_connection(url: str, schema: str, **options: Any) -> AsyncGenerator[Caller]:
    engine = sqlalchemy.create_engine(url.replace("postgresql://", "postgresql+psycopg://"))

    @asynccontextmanager
    async def connection(**options: Any) -> AsyncGenerator[Any]:
        with engine.execution_options(**options).begin() as connection:
            yield connection

    with hitherto.sync.connect(url, schema=schema, **options) as store:
        yield Caller(
            store,
            connection,
            lambda: connection(isolation_level="AUTOCOMMIT"),
            lambda handed, it: handed.execute(sqlalchemy.text(it)),
        )
    engine.dispose()


@asynccontextmanager
async def by_django(url: str, schema: str, **options: Any) -> AsyncGenerator[Caller]:
    from django.db import connections
    from django.db.transaction import atomic

    alias = django_alias(url)
    handed = connections[alias]

    @asynccontextmanager
    async def transaction() -> AsyncGenerator[Any]:
        with atomic(alias):
            yield handed

    @asynccontextmanager
    async def without() -> AsyncGenerator[Any]:
        yield handed

    def execute(handed: Any, statement: str) -> None:
        with handed.cursor() as cursor:
            cursor.execute(statement)

    # Django looks whether a loop runs in its thread, as in these tests.
    os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"] = "true"
    with hitherto.sync.connect(url, schema=schema, **options) as store:
        yield Caller(store, transaction, without, execute)
    handed.close()
    del os.environ["DJANGO_ALLOW_ASYNC_UNSAFE"]


def django_alias(url: str) -> str:
    """The name of a database among those of Django's settings, whoever has made these."""
    import django
    from django.conf import settings
    from django.db import connections

    if not settings.configured:
        settings.configure(USE_TZ=False)  # which turns off the zones of what it reads
        django.setup()
    parts = urlsplit(url)
    alias = f"callers-{parts.port}"
    connections.settings = connections.configure_settings(
        {
            **connections.settings,
            alias: {
                "ENGINE": "django.db.backends.postgresql",
                "HOST": parts.hostname,
                "PORT": parts.port,
                "USER": unquote(parts.username or ""),
                "PASSWORD": unquote(parts.password or ""),
                "NAME": parts.path.lstrip("/"),
            },
        }
    )
    return alias


ASYNC: list[Way] = [by_asyncpg, by_psycopg_async, by_async_session, by_async_connection]
BLOCKING: list[Way] = [by_psycopg, by_session, by_connection, by_django]
ALL: list[Way] = [*ASYNC, *BLOCKING]
