"""`Turns`: within a process updates of one aggregate do not collide."""

import asyncio
from collections.abc import AsyncGenerator
from contextlib import asynccontextmanager
from weakref import WeakValueDictionary

_LONGEST = 5.0  # seconds


class Turns:
    """Lets updates of one aggregate take turns."""

    def __init__(self) -> None:
        self._turns: WeakValueDictionary[str, asyncio.Lock] = WeakValueDictionary()

    @asynccontextmanager
    async def turn(self, aggregate_id: str) -> AsyncGenerator[None]:
        """Around an update of the aggregate.

        It only saves conflicts: who has waited for long goes on without.
        """
        lock = self._turns.setdefault(aggregate_id, asyncio.Lock())
        try:
            async with asyncio.timeout(_LONGEST):
                await lock.acquire()
        except TimeoutError:
            yield
            return
        try:
            yield
        finally:
            lock.release()
