"""What transactions have in common that are not the store's own: a step of a worker is in them."""

import inspect
from collections.abc import Callable
from typing import Any

from hitherto.application.checkpoints import Progress, Work
from hitherto.errors import EventStoreUnavailable, HithertoError
from hitherto.infrastructure.checkpoints import handler_failed

IDLE = "SET LOCAL idle_in_transaction_session_timeout = {milliseconds}"
"""A worker that is frozen holds its locks no longer than its lease."""

LOST = "HH423"
"""The SQLSTATE of a checkpoint that another worker has taken over."""


async def run(
    work: Work, connection: Any, progress: Progress, *, broken: Callable[[], bool]
) -> None:
    """Run `work` with a connection.

    Raises:
        HandlerFailed: It raised.
        EventStoreUnavailable: It raised because the connection is broken.
    """
    try:
        result = work(connection)
        if inspect.isawaitable(result):
            await result
    except HithertoError:
        raise
    except Exception as error:
        if broken():
            raise unavailable(error) from error
        raise handler_failed(repr(progress.generation.name), error) from error


def unavailable(error: Exception) -> EventStoreUnavailable:
    """The error for a connection that cannot be made, or has broken."""
    return EventStoreUnavailable(f"the transaction of a projection broke: {error}")
