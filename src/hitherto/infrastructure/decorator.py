"""`Decorator`: a backend that passes all calls on to another one."""

from collections.abc import Collection, Mapping, Sequence
from datetime import datetime

from hitherto.application.alongside import Alongside, Timer
from hitherto.application.findings import Finding
from hitherto.application.health import Health, Usage
from hitherto.application.ports import (
    Archive,
    Backend,
    Chain,
    Checkpoints,
    Erasures,
    Looking,
    PersonalData,
)
from hitherto.application.records import Append, LogPage, PlacedEvent, Snapshot, StoredEvent, Stream
from hitherto.application.within import CallersTransaction, within


class Decorator:
    """Does nothing of its own; a subclass overrides what it changes.

    Args:
        backend: What does the work.
    """

    def __init__(self, backend: Backend) -> None:
        self.backend = backend

    @property
    def checkpoints(self) -> Checkpoints:
        """See `Backend.checkpoints`."""
        return self.backend.checkpoints

    @property
    def looking(self) -> Looking:
        """See `Backend.looking`."""
        return self.backend.looking

    @property
    def chain(self) -> Chain:
        """See `Backend.chain`."""
        return self.backend.chain

    @property
    def personal(self) -> PersonalData:
        """See `Backend.personal`."""
        return self.backend.personal

    @property
    def archive(self) -> Archive:
        """See `Backend.archive`."""
        return self.backend.archive

    @property
    def erasures(self) -> Erasures:
        """See `Backend.erasures`."""
        return self.backend.erasures

    async def open(self) -> None:
        """See `EventStore.open`."""
        await self.backend.open()

    async def close(self) -> None:
        """See `EventStore.close`."""
        await self.backend.close()

    async def append(
        self, appends: Sequence[Append], *, alongside: Alongside | None = None
    ) -> tuple[int, ...]:
        """See `EventStore.append`."""
        return await self.backend.append(appends, alongside=alongside)

    def within(self, transaction: CallersTransaction) -> Backend:
        """See `Store.within`."""
        return within(self.backend, transaction)

    async def import_events(self, events: Sequence[PlacedEvent]) -> int:
        """See `EventStore.import_events`."""
        return await self.backend.import_events(events)

    async def load(
        self, aggregate_id: str, *, fingerprint: str | None, to_version: int | None = None
    ) -> Stream:
        """See `EventStore.load`."""
        return await self.backend.load(aggregate_id, fingerprint=fingerprint, to_version=to_version)

    async def load_many(
        self, aggregate_ids: Sequence[str], *, fingerprint: str | None
    ) -> Mapping[str, Stream]:
        """See `EventStore.load_many`."""
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
        return await self.backend.read_all(
            after=after, limit=limit, event_types=event_types, aggregate_types=aggregate_types
        )

    async def aggregate_ids(
        self, aggregate_type: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[str]:
        """See `EventStore.aggregate_ids`."""
        return await self.backend.aggregate_ids(aggregate_type, after=after, limit=limit)

    async def watermark(self) -> int:
        """See `EventStore.watermark`."""
        return await self.backend.watermark()

    async def wait(self, after: int) -> int:
        """See `EventStore.wait`."""
        return await self.backend.wait(after)

    async def handled(self, scope: str, keys: Sequence[str]) -> Collection[str]:
        """See `EventStore.handled`."""
        return await self.backend.handled(scope, keys)

    async def forget_handled(self, scope: str, *, before: datetime) -> int:
        """See `EventStore.forget_handled`."""
        return await self.backend.forget_handled(scope, before=before)

    async def due_timers(self, process: str, *, until: datetime, limit: int) -> Sequence[Timer]:
        """See `EventStore.due_timers`."""
        return await self.backend.due_timers(process, until=until, limit=limit)

    async def health_check(self) -> Health:
        """See `EventStore.health_check`."""
        return await self.backend.health_check()

    def usage(self) -> Usage:
        """See `EventStore.usage`."""
        return self.backend.usage()

    async def save_snapshot(self, snapshot: Snapshot, *, replacing: int | None = None) -> bool:
        """See `SnapshotStore.save_snapshot`."""
        return await self.backend.save_snapshot(snapshot, replacing=replacing)

    async def read_snapshot(self, aggregate_id: str) -> Snapshot | None:
        """See `SnapshotStore.read_snapshot`."""
        return await self.backend.read_snapshot(aggregate_id)

    async def snapshot_ids(
        self, aggregate_type: str, *, after: str = "", limit: int = 1000
    ) -> Sequence[str]:
        """See `SnapshotStore.snapshot_ids`."""
        return await self.backend.snapshot_ids(aggregate_type, after=after, limit=limit)

    async def inspect(self) -> Sequence[Finding]:
        """See `Inspection.inspect`."""
        return await self.backend.inspect()
