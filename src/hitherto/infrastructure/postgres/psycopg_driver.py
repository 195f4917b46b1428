"""`PsycopgDriver`: statements through somebody else's connection of psycopg 3."""

from collections.abc import Sequence
from typing import Any, cast

from psycopg import AsyncRawCursor, Connection, Error, RawCursor
from psycopg.pq import TransactionStatus
from psycopg.rows import tuple_row

from hitherto.infrastructure.postgres.drivers import as_text, settled

_OPEN = {TransactionStatus.INTRANS, TransactionStatus.INERROR}


class PsycopgDriver:
    """See `Driver`."""

    errors: tuple[type[Exception], ...] = (Error,)

    def __init__(self, connection: Any) -> None:
        self.connection = connection
        self._cursor: Any = RawCursor if self.blocks(connection) else AsyncRawCursor

    @staticmethod
    def blocks(connection: Any) -> bool:
        """Whether its calls are not to be awaited."""
        return isinstance(connection, Connection)

    def is_in_transaction(self) -> bool:
        """See `Driver.is_in_transaction`."""
        return self.connection.info.transaction_status in _OPEN

    async def fetch(self, query: str, *arguments: Any) -> Sequence[Any]:
        """See `Driver.fetch`."""
        cursor = self._cursor(self.connection, row_factory=tuple_row)
        await settled(cursor.execute(query.encode(), list(map(as_text, arguments)) or None))
        rows = await settled(cursor.fetchall())
        await settled(cursor.close())
        return cast("Sequence[Any]", rows)

    async def execute(self, statements: str) -> None:
        """See `Driver.execute`."""
        cursor = self._cursor(self.connection)
        await settled(cursor.execute(statements.encode()))
        await settled(cursor.close())

    def terminate(self) -> None:
        """See `Driver.terminate`."""
        self.connection.pgconn.finish()
