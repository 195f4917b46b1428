"""Payloads that are replaced, in memory: the reference."""

from collections.abc import Callable, MutableMapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from hitherto.application.ports.erasures import Erasure
from hitherto.application.records import Snapshot, StoredEvent


class MemoryErasures:
    """See `Erasures`.

    Args:
        by_id: The stored events.
        replace: Puts an event in the place of the one with its id.
        snapshots: By aggregate id.
    """

    def __init__(
        self,
        by_id: MutableMapping[UUID, StoredEvent],
        replace: Callable[[StoredEvent], None],
        snapshots: MutableMapping[str, Snapshot],
    ) -> None:
        self._by_id = by_id
        self._replace = replace
        self._snapshots = snapshots
        self._erasures: list[Erasure] = []

    async def erase(self, event: StoredEvent, erasure: Erasure) -> bool:
        """See `Erasures.erase`."""
        stored = self._by_id.get(event.event_id)
        if stored is None or stored != event:
            done = [_undated(each) for each in self._erasures if each.event_id == event.event_id]
            return done[-1:] == [erasure]
        self._replace(msgspec.structs.replace(stored, data=erasure.data, metadata=erasure.metadata))
        self._snapshots.pop(event.aggregate_id, None)
        self._erasures.append(msgspec.structs.replace(erasure, erased_at=datetime.now(UTC)))
        return True

    async def erasures(self) -> Sequence[Erasure]:
        """See `Erasures.erasures`."""
        return list(self._erasures)


def _undated(erasure: Erasure) -> Erasure:
    return msgspec.structs.replace(erasure, erased_at=None)
