"""Which events count as archived, in memory: the reference. They stay where they are."""

from collections.abc import Collection, Mapping, Sequence
from datetime import UTC, datetime

import msgspec

from hitherto.application.ports.archive import Tombstone
from hitherto.application.records import StoredEvent
from hitherto.infrastructure.opening import Opening


class MemoryArchive:
    """See `Archive`.

    Args:
        streams: The events of each aggregate.
        writing: Held while events are appended.
    """

    def __init__(self, streams: Mapping[str, Sequence[StoredEvent]], writing: Opening) -> None:
        self._streams = streams
        self._writing = writing
        self._archived: dict[str, int] = {}  # how many of an aggregate's events
        self._tombstones: dict[str, Tombstone] = {}

    async def archive(self, heads: Mapping[str, int]) -> Mapping[str, int]:
        """See `Archive.archive`."""
        moved: dict[str, int] = {}
        for each, head in heads.items():
            count = head - 1 - self._archived.get(each, 0)
            if len(self._streams.get(each, ())) == head and count > 0:
                self._archived[each] = head - 1
                moved[each] = count
        return moved

    async def restore(self, aggregate_ids: Sequence[str]) -> Mapping[str, int]:
        """See `Archive.restore`."""
        there = [each for each in dict.fromkeys(aggregate_ids) if each in self._archived]
        return {each: self._archived.pop(each) for each in there}

    async def archived(self, aggregate_ids: Sequence[str]) -> Mapping[str, int]:
        """See `Archive.archived`."""
        return {each: self._archived[each] for each in aggregate_ids if each in self._archived}

    async def tombstone(self, tombstone: Tombstone) -> int:
        """See `Archive.tombstone`."""
        async with self._writing.lock():
            version = len(self._streams.get(tombstone.aggregate_id, ()))
            if version:
                dated = msgspec.structs.replace(tombstone, closed_at=datetime.now(UTC))
                self._tombstones.setdefault(tombstone.aggregate_id, dated)
            return version

    async def tombstones(self, aggregate_ids: Sequence[str]) -> Sequence[Tombstone]:
        """See `Archive.tombstones`."""
        return [self._tombstones[each] for each in aggregate_ids if each in self._tombstones]

    @property
    def closed(self) -> Collection[str]:
        """The aggregates that were closed for good."""
        return self._tombstones
