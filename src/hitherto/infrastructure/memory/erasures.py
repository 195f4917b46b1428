"""Payloads that are replaced, in memory: the reference."""

from collections.abc import Callable, Iterator, MutableMapping, Sequence
from datetime import UTC, datetime
from uuid import UUID

import msgspec

from hitherto.application.ports.erasures import Erasure
from hitherto.application.ports.personal import TextPlace
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
        told = [*self._erasures, msgspec.structs.replace(erasure, erased_at=datetime.now(UTC))]
        self._erasures = [
            msgspec.structs.replace(each, data=erasure.data, metadata=erasure.metadata)
            if each.event_id == event.event_id
            else each
            for each in told
        ]
        return True

    async def erasures(self) -> Sequence[Erasure]:
        """See `Erasures.erasures`."""
        return list(self._erasures)

    def texts(self) -> Iterator[tuple[TextPlace, str]]:
        """What the accounts tell, with its place."""
        for each in self._erasures:
            place = TextPlace(table="event_erasures", name=each.aggregate_id, key=str(each.version))
            yield place, f"{each.data} {each.metadata} {each.reason}"


def _undated(erasure: Erasure) -> Erasure:
    return msgspec.structs.replace(erasure, erased_at=None)
