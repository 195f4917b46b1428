"""`ResilientArchive`: the archive of a store that may be out for a moment."""

from collections.abc import Mapping, Sequence

from hitherto.application.ports import Archive
from hitherto.application.ports.archive import Tombstone
from hitherto.infrastructure.looking import Calls


class ResilientArchive:
    """See `Resilient`.

    Args:
        archive: What does the work.
        call: How it is called.
    """

    def __init__(self, archive: Archive, call: Calls) -> None:
        self._archive = archive
        self._call = call

    async def archive(self, heads: Mapping[str, int]) -> Mapping[str, int]:
        """See `Archive.archive`; where an answer was lost, it may tell of none."""
        return await self._call("archive", lambda: self._archive.archive(heads))

    async def restore(self, aggregate_ids: Sequence[str]) -> Mapping[str, int]:
        """See `Archive.restore`; where an answer was lost, it may tell of none."""
        return await self._call("restore", lambda: self._archive.restore(aggregate_ids))

    async def archived(self, aggregate_ids: Sequence[str]) -> Mapping[str, int]:
        """See `Archive.archived`."""
        return await self._call("archived", lambda: self._archive.archived(aggregate_ids))

    async def tombstone(self, tombstone: Tombstone) -> int:
        """See `Archive.tombstone`."""
        return await self._call("tombstone", lambda: self._archive.tombstone(tombstone))

    async def tombstones(self, aggregate_ids: Sequence[str]) -> Sequence[Tombstone]:
        """See `Archive.tombstones`."""
        return await self._call("tombstones", lambda: self._archive.tombstones(aggregate_ids))
