"""`PsycopgTransactions`: a projection's effects through connections of psycopg 3."""

from collections.abc import Callable
from contextlib import AbstractAsyncContextManager
from typing import Any

from psycopg import AsyncConnection, Error

from hitherto.application.checkpoints import Progress, Work
from hitherto.infrastructure.postgres.encoding import progress_json
from hitherto.infrastructure.postgres.errors import reading, translated
from hitherto.infrastructure.postgres.lending import Lent
from hitherto.infrastructure.postgres.schema import Schema
from hitherto.infrastructure.taking_part import ADVANCE, opened, see_written

_WHERE = "the database of PsycopgTransactions"

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
        self._advance = Schema(schema).sql(ADVANCE.replace("{progress}", "%s")).encode()

    async def advance(self, progress: Progress, work: Work | None = None) -> None:
        """See `Checkpoints.advance`."""
        with reading(_WHERE), translated(_WHERE, Error):
            async with self._connect() as connection:
                lent = Lent(
                    connection,
                    repr(progress.generation.name),
                    where=_WHERE,
                    patience=progress.lease,
                    check=_nothing,  # `see_written` does
                    is_cut=lambda _: connection.closed,
                )
                with lent.blamed():
                    async with connection.transaction():
                        await self._write(lent, progress, work)

    async def _write(self, lent: Lent, progress: Progress, work: Work | None) -> None:
        connection: AsyncConnection[Any] = lent.connection
        await connection.execute(opened(progress.lease).encode())
        if work is not None:
            await lent.run(work)
        moved = await connection.execute(self._advance, (progress_json(progress),))
        see_written(await moved.fetchone())


async def _nothing() -> None:
    pass
