"""`ResilientPersonal`: keys of subjects in a store that may be out for a moment."""

from collections.abc import Collection, Sequence

from hitherto.application.ports.personal import PersonalData, SubjectKey, TextPlace
from hitherto.infrastructure.looking import Calls


class ResilientPersonal:
    """See `Resilient`.

    Args:
        personal: What does the work.
        call: How it is called.
    """

    def __init__(self, personal: PersonalData, call: Calls) -> None:
        self._personal = personal
        self._call = call

    async def keys(self, subjects: Collection[str]) -> Sequence[SubjectKey]:
        """See `PersonalKeys.keys`."""
        return await self._call("keys", lambda: self._personal.keys(subjects))

    async def make(self, subjects: Collection[str]) -> Sequence[SubjectKey]:
        """See `PersonalKeys.make`."""
        return await self._call("make_keys", lambda: self._personal.make(subjects))

    async def shred(self, subject: str) -> int:
        """See `PersonalKeys.shred`; where an answer was lost, it may tell of none."""
        return await self._call("shred", lambda: self._personal.shred(subject))

    async def drop_snapshots(self, aggregate_ids: Sequence[str]) -> int:
        """See `PersonalData.drop_snapshots`; where an answer was lost, it may tell of none."""
        return await self._call(
            "drop_snapshots", lambda: self._personal.drop_snapshots(aggregate_ids)
        )

    async def find(self, texts: Sequence[str], *, limit: int = 1000) -> Sequence[TextPlace]:
        """See `PersonalData.find`; it has no deadline, for it reads all that is stored."""
        return await self._personal.find(texts, limit=limit)
