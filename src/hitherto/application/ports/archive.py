"""What is asked of a backend about aggregates that are closed."""

from collections.abc import Mapping, Sequence
from datetime import datetime
from typing import Protocol

import msgspec


class Tombstone(msgspec.Struct, frozen=True):
    """That an aggregate was closed for good, as the store tells of it.

    The fields are in the order of the backends' columns.

    Attributes:
        aggregate_id: The aggregate.
        reason: Why.
        closed_by: Who says so; PostgreSQL adds the role.
        closed_at: When, in UTC; None: not yet.
    """

    aggregate_id: str
    reason: str
    closed_by: str
    closed_at: datetime | None = None


class Archive(Protocol):
    """Moves events of aggregates into a table of their own, and back; closes aggregates for good.

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

    async def tombstone(self, tombstone: Tombstone) -> int:
        """Close an aggregate for good: appends to it raise `AggregateTombstoned` from now on.

        An append that stands already may be repeated. Where there is a tombstone it stays as it is.

        Returns:
            The version at which the aggregate will stay; 0: it has no event, and nothing was done.

        Raises:
            AggregateLocked: The aggregate is closed, but a transaction that has appended, to
                whatever aggregate, stays open, and may have written an event of it.
        """
        ...

    async def tombstones(self, aggregate_ids: Sequence[str]) -> Sequence[Tombstone]:
        """Those of these aggregates that were closed for good."""
        ...
