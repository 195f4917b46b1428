"""Hash chains in plain Python: the reference."""

from collections.abc import Mapping, Sequence
from heapq import nsmallest

from hitherto.application.chain.links import Head, Link, event_hash
from hitherto.application.records import StoredEvent


class MemoryChain:
    """See `Chain`.

    Args:
        log: All events.
        streams: Those of each aggregate.
    """

    def __init__(
        self, log: Sequence[StoredEvent], streams: Mapping[str, Sequence[StoredEvent]]
    ) -> None:
        self._log = log
        self._streams = streams
        self._hashes: dict[int, tuple[bytes, bytes]] = {}

    def extend(self, event: StoredEvent, content: bytes) -> None:
        """Add the hashes of the event that was stored last."""
        previous = None
        if event.version > 1:
            before = self._streams[event.aggregate_id][event.version - 2]
            _, previous = self._of(before)
        own = event_hash(previous, content, event.position, event.stored_at)
        self._hashes[event.position] = content, own

    async def first(self) -> int | None:
        """See `Chain.first`."""
        return min(self._hashes, default=None)

    async def links(self, *, after: tuple[str, int] = ("", 0), limit: int = 1000) -> Sequence[Link]:
        """See `Chain.links`."""
        events = [each for each in self._log if _place(each) > after]
        return [Link(event, *self._of(event)) for event in nsmallest(limit, events, _place)]

    async def heads(self, *, after: str = "", until: int, limit: int = 1000) -> Sequence[Head]:
        """See `Chain.heads`."""
        heads: dict[str, StoredEvent] = {}
        for event in self._log:
            if event.aggregate_id > after and event.position <= until:
                heads[event.aggregate_id] = event
        return [
            Head(each, heads[each].version, self._of(heads[each])[1])
            for each in sorted(heads)[:limit]
        ]

    def _of(self, event: StoredEvent) -> tuple[bytes | None, bytes | None]:
        return self._hashes.get(event.position, (None, None))


def _place(event: StoredEvent) -> tuple[str, int]:
    return event.aggregate_id, event.version
