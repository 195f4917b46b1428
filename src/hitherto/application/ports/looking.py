"""What is asked of a backend by people who look into it."""

from datetime import datetime
from typing import Protocol
from uuid import UUID

from hitherto.application.looking.values import Names, Statistics, Wanted
from hitherto.application.records import LogPage, StoredEvent


class Looking(Protocol):
    """Finds events by what they say, and counts. It changes nothing.

    Every method raises `EventStoreUnavailable` when the store cannot be reached.
    """

    async def event(self, event_id: UUID) -> StoredEvent | None:
        """The event of this id."""
        ...

    async def search(
        self,
        wanted: Wanted,
        *,
        after: int = 0,
        until: int | None = None,
        limit: int = 1000,
        backward: bool = False,
    ) -> LogPage:
        """Events of a part of the log that match, filtered by the store.

        Where no index tells of a filter, it looks at each event of that part.

        Args:
            wanted: What they must match.
            after: The position before the part's first.
            until: The part's last position; it ends at the watermark at the latest.
            limit: The most events.
            backward: The latest first.

        Returns:
            Them, and where to read on: after its checkpoint, or if `backward` until it.

        Raises:
            InvalidInput: A bound or the limit makes no sense.
        """
        ...

    async def names(self) -> Names:
        """The stored names that there are. It looks each one up, however many events there are."""
        ...

    async def statistics(self, *, now: datetime, snapshot_every: int, top: int = 10) -> Statistics:
        """What there is and how it grows. It reads everything, and takes as long as that takes.

        Args:
            now: The end of the last 7 and 30 days, with a time zone.
            snapshot_every: After how many events an aggregate wants a snapshot.
            top: How many aggregates to tell of in each list.
        """
        ...
