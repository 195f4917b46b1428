"""`Probe`: a backend that stands in front of another one, counts its calls and breaks on demand."""

import asyncio
from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from hitherto.application.alongside import Alongside, Timer
from hitherto.application.findings import Finding
from hitherto.application.health import Health, Usage
from hitherto.application.ports import Backend
from hitherto.application.records import Append, LogPage, PlacedEvent, Snapshot, StoredEvent, Stream
from hitherto.errors import EventStoreUnavailable
from hitherto.infrastructure.decorator import Decorator


class Probe(Decorator):
    """Passes everything on to `backend`, unless told to fail.

    Opening and closing are not counted, nor is what is behind `checkpoints` and the other ports.

    Attributes:
        backend: The backend behind it.
        calls: The names of the methods that were called since the last `reset`.
        broken: The names of methods that fail without reaching the backend.
        answers_to_lose: How many of the next appends reach the backend and then fail, as when a
            connection breaks before the answer arrives.
        rivals: Appends of another writer, each of which comes just before one of the next ones.
    """

    def __init__(self, backend: Backend) -> None:
        super().__init__(backend)
        self.calls: list[str] = []
        self.broken: set[str] = set()
        self.answers_to_lose: int = 0
        self.rivals: list[Append] = []

    def reset(self) -> None:
        """Forget the calls, and break nothing any more."""
        self.calls.clear()
        self.broken.clear()
        self.answers_to_lose = 0
        self.rivals.clear()

    async def append(
        self, appends: Sequence[Append], *, alongside: Alongside | None = None
    ) -> tuple[int, ...]:
        """See `EventStore.append`."""
        await self._called("append")
        if self.rivals:
            await self.backend.append([self.rivals.pop(0)])
        positions = await self.backend.append(appends, alongside=alongside)
        if self.answers_to_lose:
            self.answers_to_lose -= 1
            raise EventStoreUnavailable("the connection broke before the answer arrived")
        return positions

    async def import_events(self, events: Sequence[PlacedEvent]) -> int:
        """See `EventStore.import_events`."""
        await self._called("import_events")
        return await self.backend.import_events(events)

    async def load(
        self, aggregate_id: str, *, fingerprint: str | None, to_version: int | None = None
    ) -> Stream:
        """See `EventStore.load`."""
        await self._called("load")
        return await self.backend.load(aggregate_id, fingerprint=fingerprint, to_version=to_version)

    async def load_many(
        self, aggregate_ids: Sequence[str], *, fingerprint: str | None
    ) -> Mapping[str, Stream]:
        """See `EventStore.load_many`."""
        await self._called("load_many")
        return await self.backend.load_many(aggregate_ids, fingerprint=fingerprint)

    async def read(
        self,
        aggregate_id: str,
        *,
        from_version: int = 1,
        to_version: int | None = None,
        limit: int | None = None,
        backward: bool = False,
    ) -> Sequence[StoredEvent]:
        """See `EventStore.read`."""
        await self._called("read")
        return await self.backend.read(
            aggregate_id,
            from_version=from_version,
            to_version=to_version,
            limit=limit,
            backward=backward,
        )

    async def read_all(
        self,
        *,
        after: int = 0,
        limit: int = 1000,
        event_types: Sequence[str] | None = None,
        aggregate_types: Sequence[str] | None = None,
    ) -> LogPage:
        """See `EventStore.read_all`."""
        await self._called("read_all")
        return await self.backend.read_all(
            after=after, limit=limit, event_types=event_types, aggregate_types=aggregate_types
        )

    async def aggregate_ids(
        self, aggregate_type: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[str]:
        """See `EventStore.aggregate_ids`."""
        await self._called("aggregate_ids")
        return await self.backend.aggregate_ids(aggregate_type, after=after, limit=limit)

    async def watermark(self) -> int:
        """See `EventStore.watermark`."""
        await self._called("watermark")
        return await self.backend.watermark()

    async def wait(self, after: int) -> int:
        """See `EventStore.wait`."""
        await self._called("wait")
        return await self.backend.wait(after)

    async def handled(self, scope: str, keys: Sequence[str]) -> Collection[str]:
        """See `EventStore.handled`."""
        await self._called("handled")
        return await self.backend.handled(scope, keys)

    async def forget_handled(self, scope: str, *, before: datetime) -> int:
        """See `EventStore.forget_handled`."""
        await self._called("forget_handled")
        return await self.backend.forget_handled(scope, before=before)

    async def due_timers(self, process: str, *, until: datetime, limit: int) -> Sequence[Timer]:
        """See `EventStore.due_timers`."""
        await self._called("due_timers")
        return await self.backend.due_timers(process, until=until, limit=limit)

    async def health_check(self) -> Health:
        """See `EventStore.health_check`."""
        await self._called("health_check")
        return await self.backend.health_check()

    def usage(self) -> Usage:
        """See `EventStore.usage`."""
        return self.backend.usage()

    async def save_snapshot(self, snapshot: Snapshot, *, replacing: int | None = None) -> bool:
        """See `SnapshotStore.save_snapshot`."""
        await self._called("save_snapshot")
        return await self.backend.save_snapshot(snapshot, replacing=replacing)

    async def read_snapshot(self, aggregate_id: str) -> Snapshot | None:
        """See `SnapshotStore.read_snapshot`."""
        await self._called("read_snapshot")
        return await self.backend.read_snapshot(aggregate_id)

    async def snapshot_ids(
        self, aggregate_type: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[str]:
        """See `SnapshotStore.snapshot_ids`."""
        await self._called("snapshot_ids")
        return await self.backend.snapshot_ids(aggregate_type, after=after, limit=limit)

    async def inspect(self) -> Sequence[Finding]:
        """See `Inspection.inspect`."""
        await self._called("inspect")
        return await self.backend.inspect()

    async def _called(self, method: str) -> None:
        self.calls.append(method)
        await asyncio.sleep(0)  # lets other tasks in, as every real store does
        if method in self.broken:
            raise EventStoreUnavailable(f"the test broke {method}")
