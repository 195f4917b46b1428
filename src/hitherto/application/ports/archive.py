"""What is asked of a backend about aggregates that are closed."""

from collections.abc import Mapping, Sequence
from typing import Protocol


class Archive(Protocol):
    """Moves events of aggregates into a table of their own, and back.

    The last event of an aggregate is never moved, so its version stays taken, and it may go on. To
    readers nothing changes: whoever reads an aggregate or the log is given all events, in order.

    Every method raises `EventStoreUnavailable` when the store cannot be reached.
    """

    async def archive(self, heads: Mapping[str, int]) -> Mapping[str, int]:
        """Move all events but the last of some aggregates, all or nothing.

        Args:
            heads: The version at which each one was found closed; one that has gone on since
                then is left alone.

        Returns:
            How many events were moved, of each aggregate of which there were any to move.

        Raises:
            AggregateLocked: A transaction that has appended stays open, to whatever aggregate.
        """
        ...

    async def restore(self, aggregate_ids: Sequence[str]) -> Mapping[str, int]:
        """Move all archived events of some aggregates back, all or nothing.

        Returns:
            How many events were moved, of each aggregate that had any in the archive.
        """
        ...

    async def archived(self, aggregate_ids: Sequence[str]) -> Mapping[str, int]:
        """How many events are in the archive, of each of these aggregates that has any there."""
        ...
