"""`ResilientLooking`: looks into a store that may be out for a moment."""

from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Protocol, TypeVar
from uuid import UUID

from hitherto.application.looking.values import Names, Statistics, Wanted
from hitherto.application.ports import Looking
from hitherto.application.records import LogPage, StoredEvent

T = TypeVar("T")


class Calls(Protocol):
    """How a call is made: retried, up to a deadline."""

    def __call__(self, name: str, call: Callable[[], Awaitable[T]]) -> Awaitable[T]:
        """What `call` gives."""
        ...


class ResilientLooking:
    """See `Resilient`.

    Args:
        looking: What does the work.
        call: How it is called.
    """

    def __init__(self, looking: Looking, call: Calls) -> None:
        self._looking = looking
        self._call = call

    async def event(self, event_id: UUID) -> StoredEvent | None:
        """See `Looking.event`."""
        return await self._call("event", lambda: self._looking.event(event_id))

    async def search(
        self,
        wanted: Wanted,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int = 1000,
        backward: bool = False,
    ) -> LogPage:
        """See `Looking.search`."""
        return await self._call(
            "search",
            lambda: self._looking.search(
                wanted, after=after, until=until, limit=limit, backward=backward
            ),
        )

    async def names(self) -> Names:
        """See `Looking.names`."""
        return await self._call("names", self._looking.names)

    async def statistics(self, *, now: datetime, snapshot_every: int, top: int = 10) -> Statistics:
        """See `Looking.statistics`; it has no deadline, for it reads all that is stored."""
        return await self._looking.statistics(now=now, snapshot_every=snapshot_every, top=top)
