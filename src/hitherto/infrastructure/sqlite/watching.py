"""`Watch`: tells tasks that wait when the log grows, whichever process writes it."""

import asyncio
from collections.abc import Awaitable, Callable

from hitherto.errors import EventStoreUnavailable
from hitherto.infrastructure.waiting import Waiters

_PAUSE = 0.05  # seconds between two looks


class Watch:
    """Looks at the file for all who wait, and only while somebody does.

    Args:
        look: Reads the watermark.
    """

    def __init__(self, look: Callable[[], Awaitable[int]]) -> None:
        self._look = look
        self._seen = 0
        self._waiters = Waiters()
        self._looking: asyncio.Task[None] | None = None
        self._refusal: EventStoreUnavailable | None = None

    def moved(self, position: int) -> None:
        """The watermark is there now, at least."""
        if position > self._seen:
            self._seen = position
            self._waiters.wake()

    async def wait(self, after: int) -> int:
        """Wait until the watermark is above `after`; returns it.

        Raises:
            EventStoreUnavailable: The store is closed, or refuses for good.
        """
        while self._seen <= after:
            if self._looking is None or self._looking.done():
                self._refusal = None
                self._looking = asyncio.create_task(self._look_while_one_waits())
            await self._waiters.wait()
            if self._refusal is not None:
                raise EventStoreUnavailable(str(self._refusal), transient=False)
        return self._seen

    async def close(self) -> None:
        """Send away who waits: the store is being closed."""
        self._seen = 0
        self._refuse(EventStoreUnavailable("the store was closed", transient=False))
        looking, self._looking = self._looking, None
        if looking is not None:
            looking.cancel()
            await asyncio.wait([looking])

    async def _look_while_one_waits(self) -> None:
        while self._waiters:
            try:
                self.moved(await self._look())
            except EventStoreUnavailable as error:
                if not error.transient:
                    self._refuse(error)
                    return
            await asyncio.sleep(_PAUSE)

    def _refuse(self, refusal: EventStoreUnavailable) -> None:
        self._refusal = refusal
        self._waiters.wake()
