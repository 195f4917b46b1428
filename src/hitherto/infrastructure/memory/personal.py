"""Keys of subjects in memory: the reference."""

from collections.abc import Callable, Collection, Iterator, Sequence

from hitherto.application.ports.personal import SubjectKey, TextPlace
from hitherto.application.records import Snapshot

Texts = Callable[[], Iterator[tuple[TextPlace, str]]]


class MemoryPersonal:
    """See `PersonalData`.

    Args:
        snapshots: By aggregate id.
        texts: All that is stored as text, with its place.
    """

    def __init__(self, snapshots: dict[str, Snapshot], texts: Texts) -> None:
        self._keys: dict[str, list[SubjectKey]] = {}
        self._snapshots = snapshots
        self._texts = texts

    async def keys(self, subjects: Collection[str]) -> Sequence[SubjectKey]:
        """See `PersonalKeys.keys`."""
        return [key for subject in subjects for key in self._keys.get(subject, ())]

    async def make(self, subjects: Collection[str]) -> Sequence[SubjectKey]:
        """See `PersonalKeys.make`."""
        for subject in subjects:
            own = self._keys.setdefault(subject, [])
            if not own or own[-1].key is None:
                own.append(SubjectKey.new(subject))
        return [self._keys[subject][-1] for subject in subjects]

    async def shred(self, subject: str) -> int:
        """See `PersonalKeys.shred`."""
        own = self._keys.get(subject, [])
        alive = sum(each.key is not None for each in own)
        own[:] = [SubjectKey(subject=subject, number=each.number) for each in own]
        return alive

    async def drop_snapshots(self, aggregate_ids: Sequence[str]) -> int:
        """See `PersonalData.drop_snapshots`."""
        return sum(self._snapshots.pop(each, None) is not None for each in aggregate_ids)

    async def find(self, texts: Sequence[str], *, limit: int = 1000) -> Sequence[TextPlace]:
        """See `PersonalData.find`."""
        found = {place for place, stored in self._texts() if any(text in stored for text in texts)}
        return sorted(found)[:limit]
