"""`PsycopgTransactions`: a projection's effects through connections of psycopg 3."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from psycopg import AsyncConnection, Error, InterfaceError, OperationalError

from hitherto.application.checkpoints import Progress, Work
from hitherto.infrastructure.checkpoints import handler_failed, lease_lost
from hitherto.infrastructure.postgres.encoding import progress_json
from hitherto.infrastructure.postgres.schema import Schema
from hitherto.infrastructure.taking_part import IDLE, LOST, run, unavailable

Connecting = Callable[[], AbstractAsyncContextManager[AsyncConnection[Any]]]
"""Gives a connection for one transaction, such as the method `connection` of psycopg's pool."""


class PsycopgTransactions:
    """Commits effects and checkpoint in one transaction of psycopg, in the store's own database.

    Hand it to a worker; handlers are given the `AsyncConnection`::

        pool = AsyncConnectionPool(url)
        worker = ProjectionWorker(
            store, Balances(), transactions=PsycopgTransactions(pool.connection)
        )

    Args:
        connect: Gives a connection to the database that holds the store's tables.
        schema: The schema of these tables.
    """

    def __init__(self, connect: Connecting, *, schema: str = "public") -> None:
        self._connect = connect
        query = Schema(schema).sql("SELECT {schema}.advance_projection(%s::jsonb)")
        self._advance = query.encode()

    async def advance(self, progress: Progress, work: Work | None = None) -> None:
        """See `Checkpoints.advance`."""
        try:
            async with self._connect() as connection, connection.transaction():
                idle = IDLE.format(milliseconds=int(progress.lease * 1000))
                await connection.execute(idle.encode())
                await self._write(connection, progress, work)
        except Error as error:
            if error.sqlstate == LOST:
                raise lease_lost(progress.generation) from error
            if isinstance(error, OperationalError | InterfaceError):
                raise unavailable(error) from error
            raise handler_failed(repr(progress.generation.name), error) from error

    async def _write(
        self, connection: AsyncConnection[Any], progress: Progress, work: Work | None
    ) -> None:
        if work is not None:
            await run(work, connection, progress, broken=lambda: connection.closed)
        await connection.execute(self._advance, (progress_json(progress),))
