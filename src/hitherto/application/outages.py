"""`outlived`: a step that is done again until what it needs can be reached."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import TypeVar

from hitherto.errors import AggregateLocked, Unavailable

T = TypeVar("T")

FIRST_PAUSE, LONGEST_PAUSE = 0.05, 5.0  # seconds


async def outlived(
    step: Callable[[], Awaitable[T]], stopped: asyncio.Event, waits: Callable[[Exception], None]
) -> T | None:
    """What a step gives at last; None once stopped.

    Args:
        step: May be done any number of times.
        stopped: Set, it ends the waiting.
        waits: Told of each outage.

    Raises:
        Unavailable: It will not pass by itself.
    """
    pause = FIRST_PAUSE
    while not stopped.is_set():
        try:
            return await step()
        except (Unavailable, AggregateLocked) as error:
            if isinstance(error, Unavailable) and not error.transient:
                raise
            waits(error)
        with suppress(TimeoutError):
            async with asyncio.timeout(pause):
                await stopped.wait()
        pause = min(2 * pause, LONGEST_PAUSE)
    return None
