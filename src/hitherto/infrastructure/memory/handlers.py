"""Somebody's own code in the place of a transaction."""

import inspect
from collections.abc import Awaitable, Callable

from hitherto.application.checkpoints import handler_failed
from hitherto.errors import AggregateLocked, Unavailable


async def run(who: str, code: Callable[[], Awaitable[None] | None]) -> None:
    """Run `code`, async or not.

    Raises:
        HandlerFailed: It raised.
    """
    try:
        result = code()
        if inspect.isawaitable(result):
            await result
    except (Unavailable, AggregateLocked):  # nobody's fault
        raise
    except Exception as error:
        raise handler_failed(who, error) from error
