"""Other people's code in a transaction of the store's."""

import inspect
import time
from collections.abc import AsyncGenerator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

import asyncpg

from hitherto.errors import (
    EventStoreError,
    EventStoreUnavailable,
    HandlerFailed,
    HithertoError,
    Unavailable,
)
from hitherto.infrastructure.checkpoints import handler_failed
from hitherto.infrastructure.postgres.connections import Connections, is_cut
from hitherto.infrastructure.postgres.errors import LOCKED

# Classes of SQLSTATEs that tell of what the code has left behind: values that cannot be stored, a
# constraint that is checked at the end, a transaction that is aborted, too large a row.
_LEFT_BEHIND = {"21", "22", "23", "25", "44", "54"}


class Lent:
    """A transaction that is lent to other people's code.

    Args:
        connection: In which it is.
        who: Whose code that is, for errors.
        patience: Seconds that it may stand idle.

    Attributes:
        connection: For statements of the store's own.
        returned: Whether the code has been run.
    """

    def __init__(self, connection: Any, who: str, patience: float) -> None:
        self.connection = connection
        self.returned = False
        self._who = who
        self._patience = patience

    async def run(
        self, code: Callable[[Any], Awaitable[None] | None], *, lockable: bool = False
    ) -> None:
        """Run it.

        Args:
            code: Is given the connection.
            lockable: Whether a lock that somebody else holds is no failure of the code's.

        Raises:
            HandlerFailed: It raised, ended the transaction, or left it idle for too long.
            EventStoreUnavailable: The connection broke.
        """
        start = time.monotonic()
        failure: Exception | None = None
        ended = False
        try:
            result = code(self.connection)
            if inspect.isawaitable(result):
                await result
            ended = not self.connection.is_in_transaction()
            # COMMIT rolls an aborted transaction back without a word; this fails in one.
            await self.connection.execute("SELECT")
        except Exception as error:  # noqa: BLE001  # it is told apart below
            failure = error
        # The driver may have met the server's farewell before the end of the connection.
        if is_cut(self.connection) or isinstance(failure, asyncpg.InternalClientError):
            raise self._broken(time.monotonic() - start) from failure
        if lockable and isinstance(failure, asyncpg.PostgresError) and failure.sqlstate in LOCKED:
            raise failure
        if failure is not None and _is_outage(failure):
            raise failure
        if failure is not None:
            raise handler_failed(self._who, failure) from failure
        if ended:
            raise HandlerFailed(f"{self._who} failed: it ended its transaction")
        self.returned = True

    def _broken(self, seconds: float) -> HithertoError:
        """The driver does not tell why; a server that had enough of waiting leaves this trace."""
        if seconds < self._patience:
            return EventStoreUnavailable("the connection broke")
        return HandlerFailed(
            f"{self._who} failed: its transaction stood idle for {self._patience:g} s"
        )


def _is_outage(failure: Exception) -> bool:
    """Whether something is out, the server full or not to be written: no fault of the code."""
    if not isinstance(failure, asyncpg.PostgresError):
        return isinstance(failure, Unavailable)
    state = failure.sqlstate or ""
    return state[:2] in {"53", "58"} or state == "25006"


@asynccontextmanager
async def lent(connections: Connections, who: str, *, patience: float) -> AsyncGenerator[Lent]:
    """A transaction to lend; see `Connections.lent`.

    Raises:
        HandlerFailed: What its borrower left behind shows only later.
    """
    borrowed: Lent | None = None
    try:
        async with connections.lent(patience=patience) as connection:
            borrowed = Lent(connection, who, patience)
            yield borrowed
    except EventStoreError as error:
        cause = error.__cause__
        state = cause.sqlstate if isinstance(cause, asyncpg.PostgresError) else None
        if borrowed is not None and borrowed.returned and (state or "")[:2] in _LEFT_BEHIND:
            raise handler_failed(who, error) from cause
        raise
