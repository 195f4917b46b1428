"""What is asked of a backend when a stored payload must go, as by the order of a court."""

from collections.abc import Sequence
from datetime import datetime
from typing import Protocol
from uuid import UUID

import msgspec

from hitherto.application.records import StoredEvent


class Erasure(msgspec.Struct, frozen=True):
    """A payload that was replaced, as the store tells of it for good; not what it was before.

    The fields are in the order of the backends' columns.

    Attributes:
        event_id: Whose it is.
        aggregate_id: To which aggregate the event belongs.
        version: Of the aggregate with this event.
        data: The JSON object that took the place of the one before.
        metadata: The same of the metadata.
        fields: Which fields were replaced, those of the metadata as ``metadata.NAME``.
        reason: Why.
        erased_by: Who says so; PostgreSQL adds the role.
        erased_at: When, in UTC; None: not yet.
    """

    event_id: UUID
    aggregate_id: str
    version: int
    data: str
    metadata: str | None
    fields: tuple[str, ...]
    reason: str
    erased_by: str
    erased_at: datetime | None = None


class Erasures(Protocol):
    """Replaces payloads in place, and keeps account of that.

    Nothing else of an event changes: not its id, type, versions, position, times or hashes. A
    payload that differs from what its last erasure tells is refused by the tables themselves.

    Every method raises `EventStoreUnavailable` when the store cannot be reached.
    """

    async def erase(self, event: StoredEvent, erasure: Erasure) -> bool:
        """Replace the payload of an event, remove its aggregate's snapshot, and write that down.

        Args:
            event: As it was found.
            erasure: What is to be there instead.

        Returns:
            Whether the event was still as it was found; else nothing is done. True, too, where
            this very erasure was done before.
        """
        ...

    async def erasures(self) -> Sequence[Erasure]:
        """All that was erased, the oldest first; there is little of it, if any."""
        ...
