"""Connections to PostgreSQL: a pool that grows on demand, also behind PgBouncer."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from hitherto.application.records import PoolUse
from hitherto.errors import ConfigurationError, EventStoreUnavailable
from hitherto.infrastructure.postgres.errors import translated
from hitherto.infrastructure.urls import without_password

_SESSION = """SELECT set_config('default_transaction_isolation', 'read committed', false),
                     set_config('jit', 'off', false)"""


class Connections:
    """A pool of connections to one database.

    A pooler in transaction mode, such as PgBouncer, is noticed by itself: the server process that
    answers is not the one that the connection was told of. Then every use is one transaction, and
    nothing is prepared or set for the session.

    Args:
        url: What asyncpg takes, several hosts included.
        limit: The most connections.
        timeout: Seconds until connecting fails.

    Attributes:
        where: The URL as it may be shown.
        failover: Whether the URL names several hosts.
    """

    def __init__(self, url: str, *, limit: int, timeout: float) -> None:
        self.where = without_password(url)
        self.failover = "," in self.where
        self._url = url
        self._limit = limit
        self._timeout = timeout
        self._pool: Any = None
        self._through_pooler = False
        self._opening = asyncio.Lock()

    async def open(self, prepare: Callable[[Any], Awaitable[None]]) -> None:
        """Connect once, `prepare` the database in one transaction, and set up the pool."""
        async with self._opening:
            if self._pool is not None:
                return
            with translated(self.where):
                connection = await self._connect()
                try:
                    async with connection.transaction(isolation="read_committed"):
                        process = await connection.fetchval("SELECT pg_backend_pid()")
                        self._through_pooler = process != connection.get_server_pid()
                        await prepare(connection)
                finally:
                    await connection.close(timeout=self._timeout)
                self._pool = await self._make_pool()

    async def close(self) -> None:
        """Close all connections, after the operations under way."""
        pool, self._pool = self._pool, None
        if pool is not None:
            with translated(self.where):
                await pool.close()

    @asynccontextmanager
    async def session(self) -> AsyncGenerator[Any]:
        """A connection for one operation; driver errors inside leave as hitherto's."""
        if self._pool is None:
            raise EventStoreUnavailable(f"the store on {self.where} is closed: open it first")
        with translated(self.where):
            async with self._pool.acquire() as connection:
                if not self._through_pooler:
                    yield connection
                    return
                async with connection.transaction(isolation="read_committed"):
                    yield connection

    def use(self) -> PoolUse | None:
        """How many connections there are; None while closed."""
        if self._pool is None:
            return None
        return PoolUse(
            size=self._pool.get_size(), idle=self._pool.get_idle_size(), limit=self._limit
        )

    async def _connect(self) -> Any:
        try:
            return await asyncpg.connect(self._url, statement_cache_size=0, **self._options())
        except asyncpg.exceptions.ClientConfigurationError as error:
            raise ConfigurationError(f"the URL {self.where} is wrong: {error}") from error
        except (ValueError, OverflowError):  # Its text may quote a part of the password.
            raise ConfigurationError(
                f"the URL {self.where} is wrong: check hosts and ports, and percent-encode "
                "special characters in the user and the password"
            ) from None

    async def _make_pool(self) -> Any:
        options = self._options()
        if self._through_pooler:
            options["statement_cache_size"] = 0
        else:
            options["init"] = _set_session
        return await asyncpg.create_pool(
            self._url, min_size=0, max_size=self._limit, reset=_keep_session, **options
        )

    def _options(self) -> dict[str, Any]:
        options: dict[str, Any] = {"timeout": self._timeout}
        if self.failover and "target_session_attrs" not in self._url:
            options["target_session_attrs"] = "read-write"
        return options


async def _set_session(connection: Any) -> None:
    # Appends and readers rely on READ COMMITTED; compiling a short query costs more than it saves.
    await connection.fetch(_SESSION)


async def _keep_session(_connection: Any) -> None:
    """No operation here leaves anything in the session, so resetting it would cost for nothing."""
