"""Other people's code in a transaction of the store's, or in one that the store takes part in."""

import inspect
import time
from collections.abc import AsyncGenerator, Awaitable, Callable, Generator
from contextlib import asynccontextmanager, contextmanager
from typing import Any

import asyncpg

from hitherto.application.checkpoints import handler_failed
from hitherto.errors import (
    AggregateLocked,
    EventStoreError,
    EventStoreUnavailable,
    HandlerFailed,
    HithertoError,
    Unavailable,
)
from hitherto.infrastructure.postgres.connections import Connections, is_cut
from hitherto.infrastructure.postgres.errors import (
    is_left_behind,
    is_nobodys,
    state_of,
    translation,
)

_IDLE = "25P03"  # what the server says of a transaction that stood idle for too long
_ENDED = ("08", "57P")  # classes of what else ends a connection, under a statement


class Lent:
    """A transaction that is lent to other people's code.

    Args:
        connection: In which it is.
        who: Whose code that is, for errors.
        where: Names the server in errors.
        patience: Seconds that it may stand idle.
        check: Fails where the code has not left the transaction as it has to.
        is_cut: Whether the connection is no more, for all that is known, an error included.

    Attributes:
        connection: For statements of the store's own.
        begun: Whether the code has been run, or is being run.
    """

    def __init__(
        self,
        connection: Any,
        who: str,
        *,
        where: str,
        patience: float,
        check: Callable[[], Awaitable[None]],
        is_cut: Callable[[Exception | None], bool],
    ) -> None:
        self.connection = connection
        self.begun: bool = False
        self._who = who
        self._where = where
        self._patience = patience
        self._check = check
        self._is_cut = is_cut

    async def run(self, code: Callable[[Any], Awaitable[None] | None]) -> None:
        """Run code, which is given the connection.

        Raises:
            HandlerFailed: It raised, ended the transaction, or left it idle for too long.
            EventStoreUnavailable: The connection broke, or something is out that it needs.
            AggregateLocked: Somebody else holds what it writes.
        """
        start = time.monotonic()
        failure: Exception | None = None
        self.begun = True
        try:
            result = code(self.connection)
            if inspect.isawaitable(result):
                await result
            await self._check()
        except Exception as error:  # noqa: BLE001  # it is told apart below
            failure = error
        # The driver may have met the server's farewell before the end of the connection.
        if self._is_cut(failure):
            raise self._broken(failure, time.monotonic() - start) from failure
        if failure is None:
            return
        if isinstance(failure, Unavailable | AggregateLocked):
            raise failure
        if is_nobodys(state_of(failure)):
            raise translation(failure, self._where) from failure
        raise handler_failed(self._who, failure) from failure

    @contextmanager
    def blamed(self) -> Generator[None]:
        """What fails in here, up to the transaction's end, may be what the code has left behind.

        Raises:
            HandlerFailed: It is.
        """
        try:
            yield
        except HithertoError:
            raise
        except Exception as error:
            state = state_of(error)
            left_behind = is_left_behind(state) if state else not self._is_cut(error)
            if self.begun and left_behind:
                raise handler_failed(self._who, error) from error
            raise

    def _broken(self, failure: Exception | None, seconds: float) -> HithertoError:
        states = _states(failure)
        idle = _IDLE in states
        if not idle and not any(each.startswith(_ENDED) for each in states):
            # asyncpg keeps no farewell that it hears between two statements.
            idle = seconds >= self._patience
        if not idle:
            return EventStoreUnavailable("the connection broke")
        return HandlerFailed(
            f"{self._who} failed: its transaction stood idle for {self._patience:g} s"
        )


def _states(error: BaseException | None) -> list[str]:
    """The SQLSTATE of an error, and those of what it came from."""
    found: list[BaseException] = []
    while error is not None and error not in found:
        found.append(error)
        error = error.__cause__ or error.__context__
    return [state_of(each) for each in found]


@asynccontextmanager
async def lent(connections: Connections, who: str, *, patience: float) -> AsyncGenerator[Lent]:
    """A transaction to lend; see `Connections.lent`.

    Raises:
        HandlerFailed: What its borrower left behind shows only later.
    """
    borrowed: Lent | None = None
    try:
        async with connections.lent(patience=patience) as connection:
            borrowed = _lent(connection, who, connections.where, patience)
            yield borrowed
    except EventStoreError as error:
        cause = error.__cause__
        if borrowed is not None and borrowed.begun and is_left_behind(state_of(cause)):
            raise handler_failed(who, error) from cause
        raise


def _lent(connection: Any, who: str, where: str, patience: float) -> Lent:
    async def check() -> None:
        ended = not connection.is_in_transaction()
        # COMMIT rolls an aborted transaction back without a word; this fails in one.
        await connection.execute("SELECT")
        if ended:
            raise RuntimeError("it ended its transaction")

    def cut(error: Exception | None) -> bool:
        return is_cut(connection) or isinstance(error, asyncpg.InternalClientError)

    return Lent(connection, who, where=where, patience=patience, check=check, is_cut=cut)
